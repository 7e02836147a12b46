"""Text to vectors: servers and local models, checks before anything is stored, cache and fetch."""
