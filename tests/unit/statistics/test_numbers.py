"""The statistics against SciPy's and others' where these do the same, and against numbers that strangers may print."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from amun.statistics.autocorrelation import Dependence, dependence
from amun.statistics.describe import describe
from amun.statistics.drift import drift
from amun.statistics.median_interval import bootstrap_variance
from amun.statistics.multiple_testing import corrected
from amun.statistics.numerics import middle, served
from amun.statistics.trend import trend
from amun.statistics.two_sample_test import least_p, rank_p, rank_t, samples, weigh

DOUBLES = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 5e-324, 1e308, -1e308, 1.0, 2.0])


@given(st.lists(DOUBLES, min_size=1, max_size=40))
def test_the_median_is_that_of_the_standard_library_and_never_overflows(values: list[float]) -> None:
    ordered = sorted(values)
    found = float(middle(np.array(values)))
    assert ordered[(len(values) - 1) // 2] <= found <= ordered[len(values) // 2]
    if max(map(abs, values)) < 1e300:
        assert found == pytest.approx(np.median(values))


@pytest.mark.parametrize("count", [3, 5, 8, 21, 50])
def test_the_bootstrap_variance_of_the_median_is_that_of_many_resamples(count: int) -> None:
    sample = np.random.default_rng(count).lognormal(size=count)
    drawn = stats.bootstrap((sample,), np.median, n_resamples=20_000, rng=1, method="percentile")
    expected = np.var(drawn.bootstrap_distribution)
    # Resamples of even length have the mean of two values for a median; that weight is spread a little wider.
    assert float(bootstrap_variance(sample)) == pytest.approx(expected, rel=0.05 if count % 2 else 0.25)


def independent(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(series: np.ndarray) -> Dependence:
        shape = series.shape[:-1]
        return Dependence(np.ones(shape), np.zeros(shape))

    monkeypatch.setattr("amun.statistics.median_interval.dependence", none)


@pytest.mark.parametrize("seed", range(4))
def test_the_rank_test_of_independent_runs_is_a_t_test_of_their_ranks(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    independent(monkeypatch)
    random = np.random.default_rng(seed)
    a, b = random.poisson(5, 12) + 1.0, random.poisson(6, 17) + 1.0
    one, other = samples([a, b])
    t, delta = rank_t(one, other)
    ranks = stats.rankdata(np.concatenate([a, b]))
    reference = stats.ttest_ind(ranks[12:], ranks[:12])
    assert float(t) == pytest.approx(reference.statistic)
    assert float(rank_p(t, 12, 17)) == pytest.approx(reference.pvalue)
    # Mann and Whitney's own p is near.
    assert float(rank_p(t, 12, 17)) == pytest.approx(stats.mannwhitneyu(a, b).pvalue, abs=0.02)
    greater = np.sign(b[:, None] - a[None, :])
    assert float(delta) == pytest.approx(greater.mean())


def test_no_rank_test_has_a_smaller_p_than_its_arrangements_allow() -> None:
    assert least_p(3, 3) == pytest.approx(0.1)
    assert least_p(5, 5) == pytest.approx(2 / 252)
    assert least_p(1, 1) == 1
    assert least_p(1000, 1000) == 0


def test_holm_of_a_known_case_and_in_any_order() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert corrected(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert corrected(p[::-1]) == pytest.approx([0.02, 0.06, 0.06, 0.03])
    assert corrected([]) == []
    assert corrected([0.9, 0.8]) == [1, 1]


def autoregression(memory: float, shape: tuple[int, int], seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((shape[0], shape[1] + 50))
    for at in range(1, noise.shape[1]):
        noise[:, at] += memory * noise[:, at - 1]
    return noise[:, 50:]


@pytest.mark.parametrize(("memory", "least", "most"), [(0, 1, 1.1), (0.5, 2.4, 3.6), (0.7, 4.5, 7), (0.85, 8, 15)])
def test_inflation_is_found_where_there_are_runs_enough(memory: float, least: float, most: float) -> None:
    found = np.median(dependence(autoregression(memory, (50, 400), 1)).inflation)
    assert least <= found <= most  # (1 + memory) / (1 - memory): 1, 3, 5.7, 12.3


def test_dependence_knows_only_ranks() -> None:
    series = autoregression(0.6, (3, 30), 2)
    assert dependence(series).inflation.tolist() == dependence(np.exp(3 * series)).inflation.tolist()


def test_a_clear_drift_bounds_what_the_median_may_be_wrong_by_and_noise_does_not() -> None:
    noise = np.random.default_rng(3).standard_normal((200, 30))
    assert np.mean(drift(noise)[0] > 0) < 0.06
    way, steady = drift(noise + np.linspace(0, 6, 30))
    assert float(np.median(way)) == pytest.approx(3, rel=0.2)
    assert np.std(steady) == pytest.approx(1, rel=0.1)


def test_a_trend_is_theils_and_kendalls() -> None:
    values = np.random.default_rng(5).standard_normal(40) + np.linspace(0, 3, 40)
    time = np.arange(40.0) ** 1.1
    found = trend(values, time)
    assert float(found.slope) == pytest.approx(stats.theilslopes(values, time).slope)
    assert found.sign == np.sign(stats.kendalltau(values, time).statistic)
    assert found.clear(0.95)


def test_kendalls_ties_are_reckoned_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amun.statistics.trend.dependence", lambda series: Dependence(np.ones(()), np.zeros(())))
    values = np.array([1.0, 1, 2, 2, 2, 3, 1, 3, 3, 4, 4, 2] * 20)
    tau = stats.kendalltau(values, np.arange(240), method="asymptotic")
    assert float(trend(values, np.arange(240.0)).p) == pytest.approx(tau.pvalue, rel=0.05)


@pytest.mark.parametrize("name", ["5", "25", "50", "75", "90", "95", "99"])
def test_descriptions_are_numpys(name: str) -> None:
    values = np.random.default_rng(1).lognormal(size=31)
    found = describe(values.tolist(), list(range(31)), 0.95)
    assert found["percentiles"][name] == pytest.approx(np.percentile(values, int(name)))
    assert found["median"] == np.median(values)
    assert found["mean"] == pytest.approx(values.mean())
    assert found["standard_deviation"] == pytest.approx(values.std(ddof=1))
    assert found["median_absolute_deviation"] == pytest.approx(stats.median_abs_deviation(values))
    assert (found["min"], found["max"], found["n"]) == (values.min(), values.max(), 31)
    assert found["interval"]["low"] < found["median"] < found["interval"]["high"]


@pytest.mark.parametrize(
    ("values", "outliers"),
    [
        ([1, 1.1, 0.9, 1.05, 0.95, 9], [5]),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1.5], [10]),
        ([1, 1.1, 0.9, 9], []),
        ([2] * 30, []),
        ([1, 2, 3, 4, 5, 6, 7], []),
    ],
)
def test_outliers_are_the_items_far_from_all_others(values: list[float], outliers: list[int]) -> None:
    found = describe(values, list(range(10, 10 + len(values))), 0.95)
    assert [outlier["item"] - 10 for outlier in found["outliers"]] == outliers


@pytest.mark.parametrize("value", [123456789, 0.1, 3.3333333333, 1e-320, 0, -5])
def test_the_interval_of_a_constant_is_the_constant(value: float) -> None:
    interval = describe([value] * 6, list(range(6)), 0.95)["interval"]
    assert interval == {"low": value, "high": value, "confidence": 0.95}


def test_six_values_with_one_zero_have_no_interval_below_zero() -> None:
    assert describe([5, 4, 0, 6, 5, 7], list(range(6)), 0.95)["interval"]["low"] == 0


def numbers_of(answer: object) -> list[float]:
    if isinstance(answer, dict):
        return [number for value in answer.values() for number in numbers_of(value)]
    if isinstance(answer, list):
        return [number for value in answer for number in numbers_of(value)]
    return [answer] if isinstance(answer, float) else []


@pytest.mark.filterwarnings("error::RuntimeWarning")  # NumPy's
@given(st.lists(DOUBLES, min_size=1, max_size=30), st.sampled_from([0.5, 0.95, 0.999]))
def test_whatever_numbers_there_are_the_description_is_finite_and_in_order(
    values: list[float], confidence: float
) -> None:
    found = describe(values, list(range(len(values))), confidence)
    assert all(math.isfinite(number) for number in numbers_of(found))
    interval = found["interval"] or {"low": found["median"], "high": found["median"]}
    assert interval["low"] <= found["median"] <= interval["high"]
    assert interval["low"] >= 0 or min(values) < 0
    assert interval["high"] <= 0 or max(values) > 0
    percentiles = list(found["percentiles"].values())
    assert percentiles == sorted(percentiles)
    assert min(values) <= percentiles[0]
    assert percentiles[-1] <= max(values)
    assert min(values) <= found["mean"] <= max(values)


@pytest.mark.filterwarnings("error::RuntimeWarning")  # NumPy's
@given(st.lists(DOUBLES, min_size=1, max_size=20), st.lists(DOUBLES, min_size=1, max_size=20))
def test_whatever_numbers_there_are_they_are_weighed_both_ways_alike(a: list[float], b: list[float]) -> None:
    there, back = (weigh(*samples([np.array(one), np.array(two)])) for one, two in ((a, b), (b, a)))
    assert 0 <= there.p <= 1
    assert float(there.p) == pytest.approx(float(back.p), abs=1e-9)
    assert float(there.delta) == pytest.approx(-float(back.delta))
    low, high = there.interval(0.95)
    assert there.p >= 0.05 or low > 0 or high < 0


def test_served_numbers_are_json() -> None:
    assert [served(number) for number in (math.nan, math.inf, -0.0, sys.float_info.max)] == [
        *(None, None, 0.0),
        sys.float_info.max,
    ]
