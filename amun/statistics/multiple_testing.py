"""Correction for having asked several questions at once."""

from __future__ import annotations

from collections.abc import Sequence


def corrected(p: Sequence[float]) -> list[float]:
    """Return Holm's (1979) corrected p values, in the same order.

    With them, the probability that any of the equal is called different stays at the level, however many were tested.
    """
    result = [1.0] * len(p)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=lambda index: p[index])):
        largest = max(largest, min(p[index] * (len(p) - rank), 1.0))
        result[index] = largest
    return result
