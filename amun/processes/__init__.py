"""The processes that `amun serve` starts and watches, and what `amun doctor` finds out."""
