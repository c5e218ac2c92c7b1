"""Whether inspections differ, metric by metric and pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..specification import Metric
from .extract import Run


def compare(
    samples: Sequence[tuple[str, str, Sequence[Run]]],
    declared: Sequence[Metric] = (),
    *,
    paths: Sequence[str] | None = None,
    clean: bool = False,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Return `items` (one of each inspection), `metrics`, `tests` and `verdict` of the answer to ``POST /compare``.

    :param samples: label, inspection id and runs of each inspection.
    :param declared: the `metrics` of their specifications, without repetitions; the first is what the verdict is of.
    :param paths: the metrics to test; None for those declared, or where none are, for all that are worth it.
    :param clean: leave out items that were disturbed.
    :param confidence: between 0 and 1.
    """
    raise NotImplementedError
