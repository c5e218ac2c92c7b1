"""What one inspection's metrics are like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amun.model.specification import Metric

from .metrics import by_path, described, ordered, seen
from .runs import Run
from .selection import counted, counts, tally


def summarise(
    runs: Sequence[Run], declared: Sequence[Metric] = (), *, clean: bool = False, confidence: float = 0.95
) -> dict[str, Any]:
    """Return `items`, `runs`, `metrics`, `absent` and `truncated` of the answer to ``GET /inspect/{id}/summary``.

    :param runs: one for each item, warm-ups included.
    :param declared: the specification's `metrics`; one that no item has is in `absent` alone.
    :param clean: leave out items that were disturbed.
    :param confidence: of the interval of the median, between 0 and 1.
    """
    known, counting = by_path(declared), counted(runs, clean)
    there = seen([run.values for run in counting])
    paths = [path for path in ordered(there, known) if path in there]
    return {
        "items": tally(runs, clean),
        "runs": [_run(run, clean) for run in runs],
        "metrics": [_metric(path, known, counting, confidence) for path in paths],
        "absent": [absent for path in known if (absent := _absent(path, counting))],
        "truncated": any(run.truncated for run in runs),
    }


def _absent(path: str, counting: Sequence[Run]) -> dict[str, Any] | None:
    """The items that count and have no number of a declared metric: it was not printed, or not finite."""
    without = [run for run in counting if path not in run.values]
    if not without:
        return None
    return {
        "path": path,
        "missing": [run.item for run in without if path not in run.not_finite],
        "not_finite": [run.item for run in without if path in run.not_finite],
    }


def _run(run: Run, clean: bool) -> dict[str, Any]:
    return {
        "item": run.item,
        "warmup": run.warmup,
        "outcome": run.outcome,
        "quality": run.quality,
        "reasons": [dict(reason) for reason in run.reasons],
        "counted": counts(run, clean),
    }


def _metric(path: str, known: dict[str, Metric], counting: Sequence[Run], confidence: float) -> dict[str, Any]:
    # Not before it is asked for: NumPy and SciPy take most of a second to import.
    from .describe import describe

    having = [run for run in counting if path in run.values]
    numbers = describe([run.values[path] for run in having], [run.item for run in having], confidence)
    values = [{"item": run.item, "value": run.values[path], "quality": run.quality} for run in having]
    return described(path, known).to_document() | numbers | {"values": values}
