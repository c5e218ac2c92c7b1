"""How much less a series of runs says than as many independent ones would.

Neighbouring runs resemble each other: caches, clock rates, temperature, neighbours on the machine. A median of 20 such
runs may scatter as that of 5 independent ones does, and no test may overlook that. From a short series it cannot be
told how strong the resemblance is, so a guess that experience suggests is combined with what the data say: each of a
few models of dependence gets a weight, its prior times its likelihood (Whittle's, of the periodogram of the ranks, with
the periodogram's expectation at that length in place of the spectrum, as in Sykulski et al.'s debiased likelihood).

The models are noise, autoregressions of order 1, and slow ones with noise on top (a machine whose pace wanders).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import rankdata

from .numerics import Array


@dataclass(frozen=True)
class Model:
    """Correlation `share` * `memory` ** k between runs that are k apart."""

    share: float
    memory: float
    prior: float


MODELS = (
    Model(0, 0, 0.37),
    Model(1, 0.15, 0.12),
    Model(1, 0.3, 0.14),
    Model(1, 0.5, 0.13),
    Model(1, 0.7, 0.1),
    Model(1, 0.85, 0.06),
    Model(0.5, 0.9, 0.05),
    Model(0.3, 0.95, 0.03),
    Model(1, 0.95, 0.005),
    Model(0.6, 0.98, 0.005),
)
"""Priors such that equal stacks are told apart no more often than promised for correlations up to 0.7, whatever the
length of the series (the simulations of the test suite hold that), at the least cost in power."""

DOUBT = 0.5
"""How much of the spread of the models' inflations counts as doubt about the variance; found by those simulations."""


@dataclass(frozen=True)
class Dependence:
    """Arrays, one value for each series.

    Attributes:
        inflation: by how much the variance of a mean or median of this series is larger than that of independent runs
            with the same spread; 1 at least.
        doubt: relative variance of that estimate.
    """

    inflation: Array
    doubt: Array


def dependence(series: Array) -> Dependence:
    """Estimate the dependence along the last axis, in the order in which the runs were made."""
    weights, inflations = _weights(series), _expected(series.shape[-1])[1]
    logs = np.log(inflations)
    mean = weights @ logs
    spread = np.maximum(weights @ (logs * logs) - mean * mean, 0)
    return Dependence(np.exp(mean), DOUBT * spread)


def _weights(series: Array) -> Array:
    """Posterior weight of each model."""
    count = series.shape[-1]
    priors = np.array([model.prior for model in MODELS]) / sum(model.prior for model in MODELS)
    if count < 3:
        return np.broadcast_to(priors, (*series.shape[:-1], len(MODELS)))
    expected, _ = _expected(count)
    seen = np.abs(np.fft.rfft(rankdata(series, axis=-1)))[..., 1:] ** 2 + 1e-9
    # The last frequency of an even length has one degree of freedom, the others have two.
    degrees = np.ones(expected.shape[-1])
    degrees[-1] -= 0.5 * (count % 2 == 0)
    scale = (seen * degrees) @ (1 / expected).T / degrees.sum()
    likelihood = np.log(priors) - np.log(expected) @ degrees - degrees.sum() * np.log(scale)
    weights = np.exp(likelihood - likelihood.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


@lru_cache(maxsize=64)
def _expected(count: int) -> tuple[Array, Array]:
    """Expected periodogram (but for frequency 0) and inflation of each model, for series of this length."""
    lags = np.arange(count)
    periodograms, inflations = [], []
    for model in MODELS:
        correlation = model.share * model.memory**lags
        correlation[0] = 1
        correlation = correlation * (1 - lags / count)
        periodograms.append(np.maximum(2 * np.fft.rfft(correlation).real[1:] - 1, 1e-9))
        variance = 2 * correlation.sum() - 1
        # What one series scatters about its own mean is less than what it scatters about the true one.
        within = (count - variance) / (count - 1) if count > 1 else 1.0
        inflations.append(variance / max(within, 0.01))
    return np.array(periodograms), np.array(inflations)
