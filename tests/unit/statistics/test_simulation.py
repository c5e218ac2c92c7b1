"""What is promised of verdicts, held against many trials of the code that decides.

Equal stacks are called different in 5 % of trials at most, however their runs scatter and resemble their neighbours;
true differences are found as often as `detectable` and `needed` say; intervals cover the true ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from amun.statistics.comparison import compare
from amun.statistics.power import POWER, detectable, needed
from amun.statistics.runs import Run
from amun.statistics.trend import trend
from amun.statistics.two_sample_test import Evidence, Sample, samples, weigh

pytestmark = pytest.mark.slow

TRIALS = 2000
TRIALS_WHOLE = 150
CONFIDENCE = 0.95
LEVEL = 1 - CONFIDENCE

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def chance(rate: float, trials: int) -> float:
    """Sampling error that is exceeded once in a thousand times."""
    return 3.1 * math.sqrt(rate * (1 - rate) / trials)


def autoregression(memory: float, noise: Draw) -> Draw:
    """Runs that resemble their neighbours: each keeps `memory` of how far the last one was off."""

    def draw(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        series = noise(random, (shape[0], shape[1] + 60))
        for at in range(1, series.shape[1]):
            series[:, at] += memory * series[:, at - 1]
        return series[:, 60:]

    return draw


def normal(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return random.standard_normal(shape)


def two_modes(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return 0.1 * random.standard_normal(shape) + 3 * (random.random(shape) < 0.5)


def warming_up(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return random.standard_normal(shape) + 4 * np.exp(-np.arange(shape[1]) / 3)


def timing(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Seconds with a floor, a tail, a resolution, and neighbours that are alike."""
    wandering = autoregression(0.5, normal)(random, shape)
    return np.round(1 + 0.01 * np.exp(0.5 * wandering) + 0.002 * random.exponential(size=shape), 3)


EQUAL: dict[str, Draw] = {
    "normal": normal,
    "log-normal": lambda random, shape: random.lognormal(size=shape),
    "bimodal": two_modes,
    "heavy-tailed (Cauchy)": lambda random, shape: random.standard_cauchy(shape),
    "heavy-tailed (t, 2 degrees)": lambda random, shape: random.standard_t(2, shape),
    "skewed": lambda random, shape: random.exponential(size=shape),
    "counts": lambda random, shape: random.poisson(1.5, shape).astype(float),
    "one of two values": lambda random, shape: 1.0 + (random.random(shape) < 0.5),
    "autocorrelated 0.3": autoregression(0.3, normal),
    "autocorrelated 0.5": autoregression(0.5, normal),
    "autocorrelated 0.7": autoregression(0.7, normal),
    "autocorrelated, heavy-tailed": autoregression(0.6, lambda random, shape: random.standard_t(3, shape)),
    "warming up": warming_up,
    "timings": timing,
}
SIZES = ((3, 20), (4, 4), (5, 5), (10, 10), (20, 20), (50, 50), (5, 20), (10, 50))


def weighed(a: np.ndarray, b: np.ndarray) -> tuple[Sample, Sample, Evidence]:
    one, other = samples([a, b])
    return one, other, weigh(one, other)


def different(a: np.ndarray, b: np.ndarray, level: float = LEVEL) -> float:
    """The share of trials that are called different. Of a single test, the corrected p is p."""
    return float(np.mean(weighed(a, b)[2].p < level))


@pytest.mark.parametrize("name", EQUAL)
def test_equal_stacks_are_called_different_no_more_often_than_promised(name: str) -> None:
    rates = {}
    for counts in SIZES:
        random = np.random.default_rng(20)
        rates[counts] = different(*(EQUAL[name](random, (TRIALS, count)) for count in counts))
    assert max(rates.values()) <= LEVEL + chance(LEVEL, TRIALS), rates


@pytest.mark.parametrize("confidence", [0.8, 0.99])
def test_that_holds_for_other_confidences(confidence: float) -> None:
    for name in ("normal", "bimodal", "autocorrelated 0.5"):
        random = np.random.default_rng(21)
        rate = different(*(EQUAL[name](random, (TRIALS, 20)) for _ in "ab"), level=1 - confidence)
        assert rate <= 1 - confidence + chance(1 - confidence, TRIALS), name


def test_a_plain_rank_test_would_not_have_kept_that() -> None:
    random = np.random.default_rng(22)
    a, b = (EQUAL["autocorrelated 0.5"](random, (TRIALS, 20)) for _ in "ab")
    assert np.mean(stats.mannwhitneyu(a, b, axis=1).pvalue < LEVEL) > 0.15


def test_levels_that_drift_apart_by_themselves_are_seldom_called_different() -> None:
    """No test can tell two machines that wander from two stacks that differ; what it can see of it, it says."""

    def drifting(random: np.random.Generator, count: int) -> np.ndarray:
        way = 2 * random.standard_normal((TRIALS, 1)) * np.linspace(0, 1, count)
        return random.standard_normal((TRIALS, count)) + way

    for count, most in ((10, 0.05), (20, 0.1), (50, 0.08), (200, 0.05)):
        random = np.random.default_rng(23)
        a, b = drifting(random, count), drifting(random, count)
        assert different(a, b) <= most + chance(most, TRIALS), count


WARMING = (
    *(0.0359, 0.0739, 0.0361, 0.031, 0.028, 0.0304, 0.0382, 0.0339, 0.0439, 0.0569, 0.0377, 0.0574, 0.029, 0.0501),
    *(0.1058, 0.0662, 0.0585, 0.0387, 0.0395, 0.0769, 0.0727, 0.0594, 0.0675, 0.0481, 0.0711, 0.1235, 0.076, 0.113),
)
SLOWER = (
    *(0.2365, 0.277, 0.1945, 0.2757, 0.21, 0.2491, 0.2352, 0.2308, 0.3236, 0.2715, 0.2038, 0.2297, 0.2252, 0.2527),
    *(0.2438, 0.222, 0.2374, 0.2836, 0.2671, 0.3076, 0.2599, 0.3845, 0.327, 0.2481, 0.2556, 0.2139, 0.2692, 0.207),
)
"""Seconds that one sort took with two versions of NumPy, on a machine that others began to use meanwhile."""


def test_what_lies_apart_is_called_different_though_its_level_moves() -> None:
    assert different(np.array([WARMING]), np.array([SLOWER])) == 1


def timed(draw: Draw, seed: int, count: int, trials: int = 1000) -> np.ndarray:
    """Positive numbers that scatter by about 5 %."""
    return np.exp(0.05 * draw(np.random.default_rng(seed), (trials, count)))


PROMISED = ("normal", "skewed", "heavy-tailed (t, 2 degrees)", "autocorrelated 0.5")


@pytest.mark.parametrize("name", PROMISED)
@pytest.mark.parametrize("counts", [(5, 5), (10, 10), (20, 20), (50, 50), (10, 50)])
def test_a_difference_that_is_called_detectable_is_detected(name: str, counts: tuple[int, int]) -> None:
    a, b, evidence = weighed(timed(EQUAL[name], 1, counts[0]), timed(EQUAL[name], 2, counts[1]))
    told = float(np.median(np.expm1(detectable(a, b, evidence, LEVEL))))
    for factor in (1 + told, 1 / (1 + told)):
        found = different(timed(EQUAL[name], 3, counts[0]), timed(EQUAL[name], 4, counts[1]) * factor)
        assert found >= POWER - chance(POWER, 1000), told
    half = different(timed(EQUAL[name], 3, counts[0]), timed(EQUAL[name], 4, counts[1]) * (1 + told / 2))
    assert half < POWER


@pytest.mark.parametrize("tests", [3, 10])
def test_that_holds_where_many_things_are_tested_at_once(tests: int) -> None:
    a, b, evidence = weighed(timed(normal, 1, 20), timed(normal, 2, 20))
    told = float(np.median(np.expm1(detectable(a, b, evidence, LEVEL / tests))))
    assert different(timed(normal, 3, 20), timed(normal, 4, 20) * (1 + told), LEVEL / tests) >= POWER


@pytest.mark.parametrize("name", PROMISED)
@pytest.mark.parametrize("count", [10, 20, 50])
def test_as_many_runs_as_are_said_to_be_needed_show_five_percent(name: str, count: int) -> None:
    a, b, evidence = weighed(timed(EQUAL[name], 5, count), timed(EQUAL[name], 6, count))
    shift = np.full(evidence.shift.shape, math.log(1.05))
    told = int(np.median(needed(a, b, evidence, shift, LEVEL)))

    def found(runs: int) -> float:
        return different(timed(EQUAL[name], 7, runs, 500), timed(EQUAL[name], 8, runs, 500) * 1.05)

    assert found(told) >= POWER - chance(POWER, 500), told
    assert found(told // 4) < POWER, told


@pytest.mark.parametrize(("count", "times"), [(5, 2.75), (10, 2.25), (20, 2), (50, 1.75), (200, 1.5)])
def test_honesty_costs_no_more_power_than_that(count: int, times: float) -> None:
    """Of independent normal runs: times what a t test would need, which knows that they are."""
    freedom = 2 * count - 2
    ideal = (stats.t.ppf(1 - LEVEL / 2, freedom) + stats.t.ppf(POWER, freedom)) * math.sqrt(2 / count)
    random = np.random.default_rng(9)
    a, b = (random.standard_normal((1000, count)) for _ in "ab")
    assert different(a, b + times * ideal) >= POWER - chance(POWER, 1000)


INDEPENDENT = ("normal", "log-normal", "skewed", "heavy-tailed (t, 2 degrees)")
COVERED = (*INDEPENDENT, "autocorrelated 0.5", "autocorrelated 0.7")


@pytest.mark.parametrize("name", COVERED)
@pytest.mark.parametrize("counts", [(5, 5), (20, 20), (50, 50), (10, 50), (200, 200)])
def test_the_interval_of_the_ratio_covers_it(name: str, counts: tuple[int, int]) -> None:
    a, b = (np.exp(0.05 * EQUAL[name](np.random.default_rng(seed), (1000, count))) for seed, count in enumerate(counts))
    low, high = weighed(a, b * 1.2)[2].interval(CONFIDENCE)
    covered = float(np.mean((low <= math.log(1.2)) & (math.log(1.2) <= high)))
    assert covered >= CONFIDENCE - chance(CONFIDENCE, 1000)
    # Short series might depend on each other more than shows, so their intervals are wide; those of long ones are not.
    assert covered <= 0.98 or counts != (200, 200) or name not in INDEPENDENT


@pytest.mark.parametrize("name", ["normal", "log-normal", "heavy-tailed (t, 2 degrees)", "autocorrelated 0.5"])
@pytest.mark.parametrize("count", [5, 20, 200])
def test_the_interval_of_the_median_covers_it(name: str, count: int) -> None:
    (sample,) = samples([np.exp(0.05 * EQUAL[name](np.random.default_rng(count), (1000, count)))])
    low, high = sample.interval(CONFIDENCE)
    true = 0.05 if name == "log-normal" else 0.0
    covered = float(np.mean((low <= true) & (true <= high)))
    assert covered >= CONFIDENCE - chance(CONFIDENCE, 1000)
    assert covered <= 0.98 or count < 200 or name not in INDEPENDENT


@pytest.mark.parametrize("name", ["normal", "bimodal", "heavy-tailed (Cauchy)", "counts", "autocorrelated 0.5"])
@pytest.mark.parametrize("count", [5, 10, 20, 50])
def test_no_trend_is_seen_where_there_is_none(name: str, count: int) -> None:
    series = EQUAL[name](np.random.default_rng(count), (1000, count))
    rate = float(np.mean(trend(series, np.arange(float(count))).clear(CONFIDENCE)))
    assert rate <= LEVEL + chance(LEVEL, 1000)


def test_a_trend_of_four_times_the_scatter_is_seen_in_twenty_runs() -> None:
    series = normal(np.random.default_rng(3), (500, 20)) + np.linspace(0, 4, 20)
    found = trend(series, np.arange(20.0))
    assert np.mean(found.clear(CONFIDENCE) & (found.sign > 0)) > 0.9


def runs_of(metrics: np.ndarray) -> list[Run]:
    return [
        Run(item, False, "succeeded", "clean", (), {f"m{at}": float(value) for at, value in enumerate(values)})
        for item, values in enumerate(metrics.T)
    ]


@pytest.mark.parametrize("name", ["log-normal", "autocorrelated 0.5"])
def test_any_of_ten_equal_metrics_is_called_different_as_seldom_as_one(name: str) -> None:
    """Through the whole of a comparison, as it is asked for."""
    wrong = 0
    for trial in range(TRIALS_WHOLE):
        random = np.random.default_rng(trial)
        a, b = (runs_of(np.exp(0.1 * EQUAL[name](random, (10, 12)))) for _ in "ab")
        answer = compare([("A", "a", a), ("B", "b", b)])
        wrong += any(pair["different"] for metric in answer["metrics"] for pair in metric["pairs"])
    assert wrong / TRIALS_WHOLE <= LEVEL + chance(LEVEL, TRIALS_WHOLE)


def test_what_is_simulated_is_what_is_served() -> None:
    random = np.random.default_rng(1)
    a, b = random.lognormal(size=(40, 9)), 1.5 * random.lognormal(size=(40, 11))
    evidence = weighed(a, b)[2]
    answer = compare([("A", "a", runs_of(a)), ("B", "b", runs_of(b))])
    pairs = [metric["pairs"][0] for metric in answer["metrics"]]
    assert [pair["p"] for pair in pairs] == pytest.approx(evidence.p.tolist())
    low, high = np.exp(evidence.interval(CONFIDENCE))
    assert [pair["interval"]["low"] for pair in pairs] == pytest.approx(low.tolist())
    assert [pair["interval"]["high"] for pair in pairs] == pytest.approx(high.tolist())
    assert [pair["different"] for pair in pairs] == [pair["p_corrected"] < 1 - CONFIDENCE for pair in pairs]
