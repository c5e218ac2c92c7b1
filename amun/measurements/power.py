"""What so many runs could have shown, and how many would be needed; "could" is with a probability of `POWER`."""

from __future__ import annotations

import numpy as np
from scipy import special

from .arrays import Array, Flags, divided
from .decision import FEWEST, Evidence, Sample, least_p, rank_p, rank_t

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

_STEPS = 24
_RUNS = np.unique(np.concatenate([np.arange(FEWEST, 200), np.geomspace(200, MOST_RUNS, 400).round()])).astype(int)


def detectable(a: Sample, b: Sample, evidence: Evidence, level: float) -> Array:
    """Return the smallest shift (on the samples' scale) that a test at `level` finds in these samples' place.

    Infinity where so few runs find none, of whatever size.
    """
    if not evidence.tested or least_p(a.count, b.count) > level:
        return np.full(evidence.shift.shape, np.inf)
    luck = special.stdtrit(evidence.freedom, LUCK) * np.sqrt(evidence.variance)
    by_medians = special.stdtrit(evidence.freedom, 1 - level / 2) * np.sqrt(evidence.variance)
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
    runs = _RUNS.astype(float)
    one = (a.location.variance * a.count + b.location.variance * b.count)[..., None]
    error = np.sqrt(one / runs)
    now = min(a.count, b.count)
    freedom = evidence.freedom[..., None] * np.maximum((runs + 10) / (now + 10), 1)
    luck = special.stdtrit(evidence.freedom, LATER)[..., None]
    by_medians = shift[..., None] >= (special.stdtrit(freedom, 1 - level / 2) + luck) * error
    enough = by_medians & _by_rank_test(a, b, shift, level, luck)
    enough &= np.array([least_p(int(runs), int(runs)) <= level for runs in _RUNS])
    first = _RUNS[np.argmax(enough, axis=-1)].astype(float)
    return np.where(enough.any(axis=-1) & evidence.tested, first, np.inf)


def _by_rank_test(a: Sample, b: Sample, shift: Array, level: float, luck: Array) -> Flags:
    """Whether the rank test would find the shift, for each number of runs."""
    # It grows with the root of the number of runs.
    t = MARGIN * rank_t(a, b, a.median - b.median + shift)[0]
    weight = a.location.inflation / a.count + b.location.inflation / b.count
    each = (a.location.inflation + b.location.inflation)[..., None]
    expected = t[..., None] * np.sqrt(divided(weight[..., None], each / _RUNS, 1))
    return np.asarray(expected >= special.stdtrit(2 * _RUNS - 2, 1 - level / 2) + luck)
