"""A series whose level moves while it is measured has no level that is surer than that movement.

A machine that grows warm, or a neighbour that comes to stay: what follows from the middle of such a series depends on
when it was taken. Where ranks go with time too clearly for chance, half the way it went bounds how wrong the median may
be. It is a bound and no scatter: what it is added to is that of the runs about the moving level.
"""

from __future__ import annotations

import numpy as np
from scipy import special
from scipy.stats import rankdata

from .autocorrelation import dependence
from .numerics import Array, divided, middle

CLEAR = 0.05
"""p (of Spearman's correlation with time, in as many runs as those about the moving level are worth) below which a
series counts as drifting."""

WAY = 2 * 3 * 0.75**2
"""Variance of half the way, in that of the median: 0.75 times the difference of the medians of two thirds."""

FEWEST = 5


def drift(series: Array) -> tuple[Array, Array]:
    """Return how far the level of each series (last axis) may be from its median, and the series without its drift.

    The first is half the way that the level went; where it went nowhere clearly, 0, and the series is as it was.
    """
    count = series.shape[-1]
    if count < FEWEST:
        return np.zeros(series.shape[:-1]), series
    time = np.arange(count) - (count - 1) / 2
    ranks = rankdata(series, axis=-1) - (count + 1) / 2
    correlation = divided(ranks @ time, np.sqrt((ranks * ranks).sum(axis=-1) * (time @ time)), 0)
    third = max(count // 3, 1)
    way = 1.5 * (middle(series[..., -third:]) - middle(series[..., :third]))
    steady = series - way[..., None] * (time / count)
    freedom = (count - 2) / dependence(steady).inflation
    t = correlation * np.sqrt(freedom / np.maximum(1 - correlation * correlation, 1e-12))
    clear = 2 * special.stdtr(freedom, -np.abs(t)) < CLEAR
    return np.where(clear, np.abs(way) / 2, 0), np.where(clear[..., None], steady, series)
