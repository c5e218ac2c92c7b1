"""Runs: one pod an item, its process, its disk, its memory."""
