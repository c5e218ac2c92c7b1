"""One metric of one inspection in numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .numerics import Array, middle, power_of_e, scaled, served, unscaled
from .trend import trend
from .two_sample_test import FEWEST, Sample, samples

PERCENTILES = (5, 25, 50, 75, 90, 95, 99)

FAR = 3.5
"""Modified z-score beyond which a value is an outlier (Iglewicz and Hoaglin 1993)."""

FEWEST_OUTLIERS = 5
"""Values below which none is called an outlier."""


def describe(numbers: Sequence[float], items: Sequence[int], confidence: float) -> dict[str, Any]:
    """Return what the summary says of a metric's numbers, but for the numbers themselves.

    :param numbers: in the order of items; at least one.
    :param items: which item each is of.
    """
    values = np.array(numbers, dtype=np.float64)
    small, exponent = scaled(values)
    deviations = np.abs(small - middle(small))
    spread = float(small.std(ddof=1)) if len(values) > 1 else math.nan
    return {
        "n": len(values),
        "median": served(middle(values)),
        "mean": served(np.clip(unscaled(float(small.mean()), exponent), values.min(), values.max())),
        "standard_deviation": served(unscaled(spread, exponent)),
        "median_absolute_deviation": served(unscaled(float(middle(deviations)), exponent)),
        "min": served(values.min()),
        "max": served(values.max()),
        "percentiles": {str(percent): _percentile(np.sort(values), percent) for percent in PERCENTILES},
        "interval": _interval(values, confidence),
        "outliers": [{"item": items[at], "value": served(values[at])} for at in _outliers(deviations)],
        "trend": _trend(small, np.array(items, dtype=np.float64), confidence),
    }


def _percentile(ordered: Array, percent: int) -> float | None:
    """Between the two nearest values in proportion (Hyndman and Fan's type 7), without overflow."""
    place = (len(ordered) - 1) * percent / 100
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    part = place - math.floor(place)
    return served(np.clip(low * (1 - part) + high * part, low, high))


def _interval(values: Array, confidence: float) -> dict[str, float] | None:
    """Of the median: its bootstrap standard error, times a quantile of Student's t.

    It contains the median, whatever rounding does, and goes beyond 0 only where values do.
    """
    if len(values) < FEWEST:
        return None
    (sample,) = samples([values])
    low, high = (served(_value(float(end), sample)) for end in sample.interval(confidence))
    if low is None or high is None:
        return None
    least, most, median = float(values.min()), float(values.max()), float(middle(values))
    if least == most:  # Logarithms are rounded.
        low = high = median
    low = max(low, 0.0) if least >= 0 else low
    high = min(high, 0.0) if most <= 0 else high
    return {"low": min(low, median) + 0.0, "high": max(high, median) + 0.0, "confidence": confidence}


def _value(place: float, sample: Sample) -> float:
    return power_of_e(place) if sample.logarithmic else unscaled(place, sample.exponent)


def _outliers(deviations: Array) -> list[int]:
    """Where they are; `deviations` are those from the median, absolute."""
    if len(deviations) < FEWEST_OUTLIERS:
        return []
    # More than half of the values may be the same.
    sigma = 1.4826 * float(middle(deviations)) or 1.2533 * float(deviations.mean())
    return [int(at) for at in np.flatnonzero(deviations > FAR * sigma)]


def _trend(values: Array, items: Array, confidence: float) -> dict[str, Any] | None:
    """Of the scaled values; None for a single one. The change is relative to the start of the line."""
    if len(values) < 2:
        return None
    found = trend(values, items)
    direction = {1.0: "rising", -1.0: "falling"}.get(float(found.sign)) if found.clear(confidence) else None
    start, way = float(found.start), float(found.slope) * float(items[-1] - items[0])
    change = served(way / start) if start > 1e-300 else None
    return {"direction": direction or "none", "change": change, "p": served(found.p)}
