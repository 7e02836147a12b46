"""Text to vectors: servers and local models, checks before anything is stored, the cache, the fetch."""
