"""Vectors that were made elsewhere, turned into a pair: read, matched, checked, and only then written."""
