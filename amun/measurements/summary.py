"""What one inspection's metrics are like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..specification import Metric
from .extract import Run


def summarise(
    runs: Sequence[Run], declared: Sequence[Metric] = (), *, clean: bool = False, confidence: float = 0.95
) -> dict[str, Any]:
    """Return `items`, `runs`, `metrics` and `truncated` of the answer to ``GET /inspect/{id}/summary``.

    :param runs: one for each item, in the order of items, warm-ups included.
    :param declared: the specification's `metrics`.
    :param clean: leave out items that were disturbed.
    :param confidence: of the interval of the median, between 0 and 1.
    """
    raise NotImplementedError
