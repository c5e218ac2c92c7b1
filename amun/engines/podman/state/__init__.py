"""The state directory: which file says what, and how files are written."""
