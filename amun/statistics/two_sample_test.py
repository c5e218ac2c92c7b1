"""Whether two samples differ: the one place that decides it.

Two questions are asked, and both must be answered with yes. A rank test (Mann and Whitney's, as a t test of the ranks:
Conover and Iman 1981) asks whether one sample's values are larger than the other's, and the medians are compared by
their bootstrap variances (Welch and Satterthwaite). Both reckon with runs that resemble their neighbours. The p served
is the larger of the two, an intersection-union test; so what is called different has an interval that excludes "equal".

Ratios are compared by their logarithms, unless a value is zero or negative: then differences are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.stats import rankdata

from .median_interval import Location, locate
from .numerics import Array, divided, middle, scaled

FEWEST = 3
"""Runs on either side below which nothing is tested: what a sample of two scatters cannot be told."""


@dataclass(frozen=True)
class Sample:
    """Series of runs, one a row, on the scale on which they are compared.

    Attributes:
        values: their logarithms, or the values over a power of two.
        median: of each series, on that scale.
        logarithmic: which of the two scales it is.
        exponent: of the power of two.
    """

    values: Array
    median: Array
    location: Location
    logarithmic: bool
    exponent: int

    @property
    def count(self) -> int:
        return int(self.values.shape[-1])

    def interval(self, confidence: float) -> tuple[Array, Array]:
        """Return the ends of the interval of the median."""
        chance = special.stdtrit(2 / self.location.doubt, (1 + confidence) / 2) * np.sqrt(self.location.variance)
        reach = chance + self.location.bias
        return self.median - reach, self.median + reach


def samples(series: Sequence[Array]) -> list[Sample]:
    """Put series that are to be compared on one scale. Last axis: runs, in their order; at least one."""
    logarithmic = all(bool(np.all(one > 0)) for one in series)
    exponent = 0 if logarithmic else max(scaled(one)[1] for one in series)
    made = []
    for one in series:
        values, median = (np.log(v) if logarithmic else np.ldexp(v, -exponent) for v in (one, middle(one)))
        made.append(Sample(values, median, locate(values), logarithmic, exponent))
    return made


@dataclass(frozen=True)
class Evidence:
    """What two samples say of their difference; arrays, one value for each pair of rows.

    Attributes:
        shift: median of the second less that of the first, on their scale: the logarithm of the ratio, mostly.
        variance: of the shift.
        freedom: degrees of freedom with which the variance is known.
        bias: how far the levels of the two may be from the medians together, since they moved.
        p: of the hypothesis that they are equal.
        delta: Cliff's delta, from -1 (all of the second are smaller) to 1 (all are larger).
        tested: whether the samples were large enough for any of it.
    """

    shift: Array
    variance: Array
    freedom: Array
    bias: Array
    p: Array
    delta: Array
    tested: bool

    def interval(self, confidence: float) -> tuple[Array, Array]:
        """Return the ends of the interval of the shift; it excludes 0 where p is below 1 - `confidence`."""
        reach = special.stdtrit(self.freedom, (1 + confidence) / 2) * np.sqrt(self.variance) + self.bias
        return self.shift - reach, self.shift + reach


def weigh(a: Sample, b: Sample) -> Evidence:
    """Compare two samples of one scale."""
    shift = b.median - a.median
    variance, freedom = combined(a.location, b.location)
    t, delta = rank_t(a, b)
    p_ranks = rank_p(t, a.count, b.count)
    bias = a.location.bias + b.location.bias
    p_medians = 2 * special.stdtr(freedom, -divided(np.maximum(np.abs(shift) - bias, 0), np.sqrt(variance), 0))
    tested = min(a.count, b.count) >= FEWEST
    p = np.minimum(np.maximum(p_ranks, p_medians), 1) if tested else np.ones_like(p_ranks)
    return Evidence(shift, variance, freedom, bias, p, delta, tested)


def combined(a: Location, b: Location) -> tuple[Array, Array]:
    """Return the variance of the difference of two medians, and its degrees of freedom (Welch and Satterthwaite)."""
    variance = a.variance + b.variance
    share = divided(a.variance, variance, 0.5)
    return variance, 2 / (share**2 * a.doubt + (1 - share) ** 2 * b.doubt)


def rank_t(a: Sample, b: Sample, shift: Array | None = None) -> tuple[Array, Array]:
    """Return the t of the ranks and Cliff's delta; `shift` is added to the second sample before."""
    values = b.values if shift is None else b.values + shift[..., None]
    ranks = rankdata(np.concatenate([a.values, values], axis=-1), axis=-1)
    count = a.count + b.count
    ranks_a, ranks_b = ranks[..., : a.count], ranks[..., a.count :]
    apart = ranks_b.mean(axis=-1) - ranks_a.mean(axis=-1)
    squares = ranks_a.var(axis=-1) * a.count + ranks_b.var(axis=-1) * b.count
    error = squares / max(count - 2, 1) * (a.location.inflation / a.count + b.location.inflation / b.count)
    return divided(apart, np.sqrt(error), 0), np.clip(2 * apart / count, -1, 1)


def rank_p(t: Array, a: int, b: int) -> Array:
    """Return p, two-sided, of a t of the ranks of samples of these sizes."""
    return np.asarray(np.maximum(2 * special.stdtr(max(a + b - 2, 1), -np.abs(t)), least_p(a, b)))


def least_p(a: float | Array, b: float | Array) -> Array:
    """The least p a rank test of samples of these sizes can have: that of one of their arrangements, or its mirror."""
    arrangements = special.gammaln(a + b + 1) - special.gammaln(a + 1) - special.gammaln(b + 1)
    return np.asarray(np.minimum(2 * np.exp(-arrangements), 1))
