"""Whether a metric rises or falls from the first item to the last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from .autocorrelation import dependence
from .numerics import Array, Flags, divided, middle

FEWEST = 5
"""Runs below which no trend is looked for."""

MOST_POINTS = 250
"""The slope of a longer series is that of the medians of so many pieces of it."""


DOUBT = 0.3
"""How much of the doubt about the dependence counts as such about the score's variance; found by simulation."""


@dataclass(frozen=True)
class Trend:
    """Arrays, one value for each series.

    Attributes:
        sign: 1 where later values are larger, -1 where they are smaller.
        slope: per unit of time; the median of the slopes between all pairs (Theil 1950, Sen 1968).
        start: the value at the beginning of the line with that slope through the medians.
        p: of the hypothesis that there is no trend (Mann 1945, Kendall 1975), corrected for runs that resemble their
            neighbours, as Hamed and Rao (1998) do, by what is left when the line is taken away.
    """

    sign: Array
    slope: Array
    start: Array
    p: Array

    def clear(self, confidence: float) -> Flags:
        return self.p < 1 - confidence


def trend(series: Array, time: Array) -> Trend:
    """Look for a trend along the last axis.

    :param series: at least two values each.
    :param time: when each was measured, ascending.
    """
    count = series.shape[-1]
    pieces = np.array_split(np.arange(count), min(count, MOST_POINTS))
    points = np.stack([middle(series[..., piece]) for piece in pieces], axis=-1)
    moments = np.array([time[piece].mean() for piece in pieces])
    early, late = np.triu_indices(len(pieces), 1)
    slope = middle((points[..., late] - points[..., early]) / (moments[late] - moments[early]))
    start = middle(series) - slope * (np.median(time) - time[0])
    left = series - slope[..., None] * time
    score, variance = _kendall(series)
    found = dependence(left)
    t = divided(np.maximum(np.abs(score) - 1, 0), np.sqrt(variance * found.inflation), 0)
    p = 2 * special.stdtr(2 / (DOUBT * found.doubt + 1 / count), -t) if count >= FEWEST else np.ones(series.shape[:-1])
    return Trend(np.sign(score), slope, start, np.asarray(p))


def _kendall(series: Array) -> tuple[Array, Array]:
    """Kendall's score (pairs that rise less pairs that fall), and its variance if the order meant nothing."""
    count = series.shape[-1]
    score, equal = np.zeros(series.shape[:-1]), np.zeros(series.shape)
    for lag in range(1, count):
        step = np.sign(series[..., lag:] - series[..., :-lag])
        score += step.sum(axis=-1)
        equal[..., lag:] += step == 0
        equal[..., :-lag] += step == 0
    # Summed over a value's t occurrences, this is t (t - 1) (2 t + 5).
    ties = (equal * (2 * equal + 7)).sum(axis=-1)
    return score, (count * (count - 1) * (2 * count + 5) - ties) / 18
