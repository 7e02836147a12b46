"""The questions: a folder for each experiment, and what they share. Knows nothing of pytest, stores or executors."""
