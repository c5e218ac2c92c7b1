"""What so many runs could have shown, and how many would be needed; "could" is with a probability of `POWER`."""

from __future__ import annotations

import numpy as np
from scipy import special

from .numerics import Array, Flags
from .two_sample_test import FEWEST, Evidence, Sample, least_p, rank_p, rank_t

POWER = 0.8
"""Probability, at least, with which a difference of the size told is found."""

LUCK = 0.95
"""What is reckoned with instead: how far runs scatter is itself an estimate, and may be too small."""

LATER = 0.9
"""The same for more runs, of which more will be known."""

MOST_RUNS = 1_000_000
"""More than these are not worth a number."""

MARGIN = 0.85
"""By how much the t of the ranks may turn out smaller another time, as the runs then seem to depend on each other."""

_STEPS = 14

_RUNS = np.unique(np.concatenate([np.arange(FEWEST, 100), np.geomspace(100, MOST_RUNS, 160).round()]))
"""Numbers of runs among which that needed is looked for."""


def detectable(a: Sample, b: Sample, evidence: Evidence, level: float) -> Array:
    """Return the smallest shift (on the samples' scale) that a test at `level` finds in these samples' place.

    Infinity where so few runs find none, of whatever size.
    """
    if not evidence.tested or least_p(a.count, b.count) > level:
        return np.full(evidence.shift.shape, np.inf)
    luck = special.stdtrit(evidence.freedom, LUCK) * np.sqrt(evidence.variance)
    by_medians = special.stdtrit(evidence.freedom, 1 - level / 2) * np.sqrt(evidence.variance) + evidence.bias
    return np.asarray(_by_ranks(a, b, by_medians, level) + luck)


def _by_ranks(a: Sample, b: Sample, least: Array, level: float) -> Array:
    """The smallest shift, from `least` on, by which the rank test tells the samples from one median apart."""

    def found(shift: Array) -> Flags:
        return rank_p(MARGIN * rank_t(a, b, a.median - b.median + shift)[0], a.count, b.count) <= level

    enough = least
    if np.all(done := found(least) | (least == 0)):
        return enough
    apart = np.ptp(a.values, axis=-1) + np.ptp(b.values, axis=-1)
    low, high = least, np.maximum(2 * apart, least)
    possible = found(high)
    for _ in range(_STEPS):
        half = (low + high) / 2
        fits = found(half)
        low, high = np.where(fits, low, half), np.where(fits, half, high)
    return np.where(done, least, np.where(possible, high, np.inf))


def needed(a: Sample, b: Sample, evidence: Evidence, shift: Array, level: float) -> Array:
    """Return how many runs of each would show this shift in a test at `level`; infinity for more than `MOST_RUNS`.

    Supposes that more runs would scatter, and resemble their neighbours, as these do.
    """
    if not evidence.tested:
        return np.full(evidence.shift.shape, np.inf)
    enough = _Outlook(a, b, evidence, shift, level).enough
    low, high = np.zeros(shift.shape, dtype=int), np.full(shift.shape, len(_RUNS) - 1)
    possible = enough(_RUNS[high])
    for _ in range(len(_RUNS).bit_length()):
        half = (low + high) // 2
        fits = enough(_RUNS[half])
        low, high = np.where(fits, low, np.minimum(half + 1, high)), np.where(fits, half, high)
    return np.where(possible, _RUNS[high], np.inf)


class _Outlook:
    """What runs of another number than these would show, as far as these can tell."""

    def __init__(self, a: Sample, b: Sample, evidence: Evidence, shift: Array, level: float) -> None:
        self.shift = shift
        self.level = level
        self.now = min(a.count, b.count)
        self.freedom = evidence.freedom
        self.bias = evidence.bias
        self.luck = special.stdtrit(evidence.freedom, LATER)
        self.variance = a.location.variance * a.count + b.location.variance * b.count
        # The t of the ranks grows with the root of the number of runs; this is what it would be with one of each.
        weight = a.location.inflation / a.count + b.location.inflation / b.count
        t = MARGIN * rank_t(a, b, a.median - b.median + shift)[0]
        self.t = t * np.sqrt(weight / (a.location.inflation + b.location.inflation))

    def enough(self, runs: Array) -> Flags:
        """Whether so many of each would do."""
        freedom = self.freedom * np.maximum((runs + 10) / (self.now + 10), 1)
        reach = (special.stdtrit(freedom, 1 - self.level / 2) + self.luck) * np.sqrt(self.variance / runs) + self.bias
        limit = special.stdtrit(2 * runs - 2, 1 - self.level / 2) + self.luck
        with np.errstate(invalid="ignore"):
            by_ranks = self.t * np.sqrt(runs) >= limit
        return np.asarray((self.shift >= reach) & by_ranks & (least_p(runs, runs) <= self.level))
