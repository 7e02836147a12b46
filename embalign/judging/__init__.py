"""Curves and results that other tools measured: read as people keep them, judged, and said in words."""
