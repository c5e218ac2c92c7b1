"""Figures: from samples to the lines of a table. Nothing here measures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, what came out, and what was aimed at."""

    what: str
    result: str
    aim: str = ""


def spread(samples: Sequence[float], unit: str = "") -> str:
    """The median, and the least and greatest of more than one sample: ``1.52 s (1.49 to 1.60)``."""
    median = " ".join(filter(None, [number(statistics.median(samples)), unit]))
    return median if len(samples) == 1 else f"{median} ({number(min(samples))} to {number(max(samples))})"


def ratios(these: Sequence[float], those: Sequence[float]) -> list[float]:
    """Each sample over the one that was taken beside it."""
    return [this / that for this, that in zip(these, those, strict=True)]


def number(value: float) -> str:
    """Three digits or so: what more would say is noise."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}"


def table(figures: Iterable[Figure]) -> str:
    """The figures as a simple table of reStructuredText."""
    rows = [("Measured", "Result", "Aim"), *((figure.what, figure.result, figure.aim) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    rule = "  ".join("=" * width for width in widths)
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])
