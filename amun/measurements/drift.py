"""A series whose level moves while it is measured has no level that is surer than that movement.

A machine that grows warm, or a neighbour that comes to stay: what follows from the middle of such a series depends on
when it was taken. Where ranks go with time too clearly for chance, the movement counts as uncertainty of the median.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from .arrays import Array, divided, middle
from .ordering import midranks

CLEAR = 0.02
"""p (of Spearman's correlation with time, runs taken as independent) below which a series counts as drifting."""

FEWEST = 5


def drift_variance(series: Array) -> Array:
    """Return what drift adds to the variance of each series' median (last axis): half the way it went, squared."""
    count = series.shape[-1]
    if count < FEWEST:
        return np.zeros(series.shape[:-1])
    time = np.arange(count) - (count - 1) / 2
    ranks = midranks(series) - (count + 1) / 2
    correlation = divided(ranks @ time, np.sqrt((ranks * ranks).sum(axis=-1) * (time @ time)), 0)
    t = correlation * np.sqrt((count - 2) / np.maximum(1 - correlation * correlation, 1e-12))
    third = max(count // 3, 1)
    way = 1.5 * (middle(series[..., -third:]) - middle(series[..., :third]))
    clear = 2 * special.stdtr(count - 2, -np.abs(t)) < CLEAR
    return np.where(clear, way * way / 4, 0)
