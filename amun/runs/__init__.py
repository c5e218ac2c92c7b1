"""What a run leaves: its log's frames, its report, the kernel's counters, and how it is judged."""
