"""Where the middle of a series of runs is, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from .autocorrelation import dependence
from .drift import WAY, drift
from .numerics import Array

COARSE = 2.4
"""Relative variance of the squared standard error, times the degrees of freedom of a sample (2 for a mean's)."""


@dataclass(frozen=True)
class Location:
    """Arrays, one value for each series.

    Attributes:
        variance: of the median about the level that the runs had, dependence included.
        inflation: the factor in it that dependence makes.
        doubt: relative variance of `variance`.
        bias: how far that level may be from the median, since it moved.
        count: length of the series.
    """

    variance: Array
    inflation: Array
    doubt: Array
    bias: Array
    count: int


def locate(series: Array) -> Location:
    """Say how sure the median of each series (last axis, in the order of the runs) is."""
    count = series.shape[-1]
    bias, steady = drift(series)
    found = dependence(steady)
    doubt = (1 + COARSE / max(count - 1, 1)) * (1 + found.doubt) - 1
    variance = bootstrap_variance(steady) * found.inflation * np.where(bias > 0, 1 + WAY, 1)
    return Location(variance, found.inflation, doubt, bias, count)


def bootstrap_variance(sample: Array) -> Array:
    """Return the variance of the median over all bootstrap resamples (last axis).

    Not drawn but exact, since how often a resample's median is the i-th value is known (Efron 1979; Maritz and Jarrett
    1978); for even lengths by the continuous weights of Harrell and Davis (1982).
    """
    ordered = np.sort(sample, axis=-1)
    ordered = ordered - ordered[..., sample.shape[-1] // 2, None]
    weights = _weights(sample.shape[-1])
    mean = ordered @ weights
    with np.errstate(under="ignore"):
        return np.asarray(np.maximum((ordered - mean[..., None]) ** 2 @ weights, 0))


@lru_cache(maxsize=64)
def _weights(count: int) -> Array:
    half = (count + 1) / 2
    return np.diff(special.betainc(half, half, np.arange(count + 1) / count))
