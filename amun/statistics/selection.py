"""Which items count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .runs import Run


def counts(run: Run, clean: bool) -> bool:
    """Whether a run is part of the statistics: it succeeded, is no warm-up and, if asked for, was not disturbed."""
    return run.outcome == "succeeded" and not run.warmup and not (clean and run.quality == "disturbed")


def counted(runs: Sequence[Run], clean: bool = False) -> list[Run]:
    """Return the runs that are part of the statistics, in the order of items."""
    return sorted((run for run in runs if counts(run, clean)), key=lambda run: run.item)


def tally(runs: Sequence[Run], clean: bool = False) -> dict[str, int]:
    """Return how many items there are of each kind.

    `disturbed` and `unknown` are among those that would count if nothing were left out; `left_out` are those that do
    not count because they were disturbed.
    """
    eligible = counted(runs)
    qualities = Counter(run.quality or "unknown" for run in eligible)
    return {
        "total": len(runs),
        "warmup": sum(run.warmup for run in runs),
        "over": sum(run.outcome is not None for run in runs),
        "counted": len(counted(runs, clean)),
        "failed": sum(run.outcome in ("failed", "error") for run in runs),
        "disturbed": qualities["disturbed"],
        "unknown": qualities["unknown"],
        "left_out": qualities["disturbed"] if clean else 0,
    }
