"""What summaries and comparisons answer: who counts, what is tested, and the verdict in words."""

from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amun.model.specification import Metric
from amun.statistics import sentences
from amun.statistics.comparison import compare
from amun.statistics.metrics import described
from amun.statistics.runs import Paths, Run, run_of
from amun.statistics.summary import summarise


def runs_of(**metrics: Sequence[float]) -> list[Run]:
    return [
        Run(item, False, "succeeded", "clean", (), dict(zip(metrics, values, strict=True)))
        for item, values in enumerate(zip(*metrics.values(), strict=True))
    ]


def noisy(level: float, count: int, seed: int = 0, scatter: float = 0.01) -> list[float]:
    source = random.Random(seed)
    return [level * (1 + scatter * source.gauss(0, 1)) for _ in range(count)]


def compared(a: list[Run], b: list[Run], *declared: Metric, **options: Any) -> dict[str, Any]:
    answer = compare([("A", "inspection-a", a), ("B", "inspection-b", b)], declared, **options)
    json.dumps(answer, allow_nan=False)
    return answer


def pair_of(answer: dict[str, Any], path: str) -> dict[str, Any]:
    (pair,) = next(metric["pairs"] for metric in answer["metrics"] if metric["path"] == path)
    return dict(pair)


def test_only_runs_that_succeeded_and_are_no_warm_ups_count() -> None:
    runs = [
        Run(0, True, "succeeded", "clean", (), {"x": 100}),
        Run(1, True, "failed"),
        Run(2, False, "succeeded", "clean", (), {"x": 1}),
        Run(3, False, "failed", "clean"),
        Run(4, False, "error"),
        Run(5, False, "succeeded", "disturbed", [{"reason": "Steal", "message": "…"}], {"x": 9}),
        Run(6, False, "succeeded", None, (), {"x": 3}),
        Run(7, False, None),
    ]
    every, clean = summarise(runs), summarise(runs, clean=True)
    tally = {"total": 8, "warmup": 2, "over": 7, "failed": 3, "disturbed": 1, "unknown": 1}
    assert every["items"] == {**tally, "counted": 3, "left_out": 0}
    assert clean["items"] == {**tally, "counted": 2, "left_out": 1}
    assert [run["item"] for run in every["runs"] if run["counted"]] == [2, 5, 6]
    assert [run["item"] for run in clean["runs"] if run["counted"]] == [2, 6]
    (metric,) = every["metrics"]
    assert (metric["n"], metric["median"], metric["interval"]["confidence"]) == (3, 3, 0.95)
    assert metric["values"] == [
        {"item": 2, "value": 1, "quality": "clean"},
        {"item": 5, "value": 9, "quality": "disturbed"},
        {"item": 6, "value": 3, "quality": None},
    ]
    assert (clean["metrics"][0]["n"], clean["metrics"][0]["interval"]) == (2, None)


def test_metrics_come_declared_first_then_the_scripts_then_the_runners_each_with_what_is_known_of_it() -> None:
    runs = runs_of(elapsed_ms=[1, 2], rate=[3, 4], wall_time=[1, 1], peak_memory=[5, 5])
    declared = [Metric("rate", None, "higher"), Metric("missing", "widgets"), Metric("wall_time", None, None)]
    told = {
        metric["path"]: (metric["source"], metric["unit"], metric["better"], metric["declared"], metric["n"])
        for metric in summarise(runs, declared)["metrics"]
    }
    assert list(told.items()) == [
        ("rate", ("script", None, "higher", True, 2)),
        ("wall_time", ("runner", "s", "lower", True, 2)),
        ("elapsed_ms", ("script", "ms", None, False, 2)),
        ("peak_memory", ("runner", "bytes", "lower", False, 2)),
    ]


def test_declared_metrics_that_items_did_not_print_or_that_are_not_finite_are_named_with_the_items() -> None:
    declared = [Metric("loss"), Metric("stdout.wall_time"), Metric("never"), Metric("there")]
    paths = Paths(metric.path for metric in declared)
    reports: list[dict[str, Any]] = [
        {"stdout": {"loss": 1, "wall_time": None, "there": 1}, "not_finite": ["wall_time"]},
        {"stdout": {"loss": None, "wall_time": 2, "there": 1}, "not_finite": ["loss", "other"]},
        {"stdout": {"wall_time": 2, "there": 1}},
    ]
    runs = [run_of(item, item == 3, "succeeded", report, paths) for item, report in enumerate([*reports, reports[1]])]
    assert summarise(runs, declared)["absent"] == [
        {"path": "loss", "missing": [2], "not_finite": [1]},
        {"path": "stdout.wall_time", "missing": [], "not_finite": [0]},
        {"path": "never", "missing": [0, 1, 2], "not_finite": []},
    ]


def test_runs_that_scatter_beyond_all_numbers_get_a_sentence_without_any() -> None:
    a, b = [0.0, 0.0, 0.0, 1.7e308, -1.7e308, 0.0], [0.0, 1.7e308, 0.0, 0.0, -1.7e308, 1.7e308]
    verdict = pair_of(compared(runs_of(x=a), runs_of(x=b)), "x")["verdict"]
    assert verdict == "no difference shown: even a large one may not have been seen with n = 6"


def test_an_inspection_without_any_run_has_a_summary() -> None:
    assert summarise([]) == {
        "items": dict.fromkeys(("total", "warmup", "over", "counted", "failed", "disturbed", "unknown", "left_out"), 0),
        "runs": [],
        "metrics": [],
        "absent": [],
        "truncated": False,
    }


def test_a_machine_that_throttles_is_seen_in_the_trend() -> None:
    rising = [1 + 0.01 * item + 0.005 * (-1) ** item for item in range(30)]
    trend = summarise(runs_of(wall_time=rising))["metrics"][0]["trend"]
    assert trend["direction"] == "rising"
    assert trend["change"] == pytest.approx(0.29, abs=0.02)
    assert trend["p"] < 0.01
    steady = summarise(runs_of(wall_time=noisy(1, 30)))["metrics"][0]["trend"]
    assert steady["direction"] == "none"


SENTENCES: list[tuple[str, str | None, str | None, float, str]] = [
    ("elapsed_s", None, "lower", 1 / 1.15, r"B is 1\.1\d to 1\.1\d times as fast as A \(95 %, n = 20 \+ 20\)"),
    ("elapsed_s", None, "lower", 1.15, r"B is 0\.8\d to 0\.8\d times as fast as A \(95 %, n = 20 \+ 20\)"),
    ("heap_mib", None, "lower", 1.15, r"B needs 1\.1\d to 1\.1\d times the heap_mib of A \(95 %, n = 20 \+ 20\)"),
    ("rate", "1/s", "higher", 1.15, r"B's rate is 1\.1\d to 1\.1\d times A's, which is better \(95 %, .*\)"),
    ("rate", "1/s", "higher", 0.85, r"B's rate is 0\.8\d to 0\.8\d times A's, which is worse \(95 %, .*\)"),
    ("misses", None, "lower", 0.85, r"B's misses is 0\.8\d to 0\.8\d times A's, which is better \(95 %, .*\)"),
    ("rate", None, None, 1.15, r"B's rate is 1\.1\d to 1\.1\d times A's \(95 %, n = 20 \+ 20\)"),
    ("rate", None, None, 1.0, r"no difference shown: under \d\.\d % could not have been seen with n = 20"),
]


@pytest.mark.parametrize(("path", "unit", "better", "factor", "sentence"), SENTENCES)
def test_the_verdict_is_a_sentence(path: str, unit: str, better: Any, factor: float, sentence: str) -> None:
    a, b = runs_of(**{path: noisy(3, 20, 1)}), runs_of(**{path: noisy(3 * factor, 20, 2)})
    answer = compared(a, b, Metric(path, unit, better))
    pair = pair_of(answer, path)
    assert re.fullmatch(sentence, answer["verdict"]), answer["verdict"]
    assert pair["verdict"] == answer["verdict"]
    assert pair["different"] is (factor != 1)
    assert pair["ratio"] == pytest.approx(factor, abs=0.02)
    assert pair["interval"]["low"] <= pair["ratio"] <= pair["interval"]["high"]


def test_memory_of_the_runner_is_called_memory() -> None:
    a, b = (runs_of(peak_memory=noisy(1e8 * factor, 10, seed)) for factor, seed in ((1, 1), (1.5, 2)))
    assert re.match(r"B needs 1\.\d+ to 1\.\d+ times the memory of A \(95 %", compared(a, b)["verdict"])


def test_a_pair_says_everything_that_was_promised() -> None:
    pair = pair_of(compared(runs_of(x=noisy(1, 6, 1)), runs_of(x=noisy(2, 8, 2))), "x")
    assert (pair["a"], pair["b"], pair["labels"], pair["n"]) == ("inspection-a", "inspection-b", ["A", "B"], [6, 8])
    assert pair["ratio"] == pytest.approx(pair["medians"][1] / pair["medians"][0])
    assert (pair["cliffs_delta"], pair["different"]) == (1, True)
    assert pair["p"] == pair["p_corrected"] < 0.05
    assert 0.01 < pair["detectable"] < 0.3
    assert pair["needed"]["difference"] == 0.05
    assert pair["needed"]["more"] == max(pair["needed"]["runs"] - 6, 0)


def test_what_is_tested_is_what_was_asked_for_else_declared_else_what_both_have() -> None:
    a = runs_of(x=noisy(1, 5), only_a=noisy(1, 5), wall_time=noisy(1, 5), system_time=noisy(1, 5))
    b = runs_of(y=noisy(1, 5), x=noisy(1, 5), wall_time=noisy(1, 5), system_time=noisy(1, 5))

    def paths(answer: dict[str, Any]) -> list[str]:
        return [metric["path"] for metric in answer["metrics"]]

    assert paths(compared(a, b)) == ["x", "wall_time"]
    assert paths(compared(a, b, Metric("x"))) == ["x"]
    assert paths(compared(a, b, Metric("x"), paths=["system_time", '["x"]', "x"])) == ["system_time", "x"]
    absent = compared(a, b, paths=["only_a"])
    assert (absent["metrics"][0]["pairs"], absent["tests"]) == ([], 0)
    assert absent["verdict"] == "nothing to compare: no metric is in the reports of two of them"


@pytest.mark.slow
def test_of_what_nobody_named_no_more_is_tested_than_takes_seconds() -> None:
    runs = runs_of(**{f"m{number}": [1, 2] for number in range(100)}, wall_time=[1, 2], peak_memory=[1, 2])
    answer = compare([(label, label, runs) for label in "ABCDEFGHIJ"])
    assert [metric["path"] for metric in answer["metrics"]][-3:] == ["m41", "wall_time", "peak_memory"]
    assert sum(len(metric["pairs"]) for metric in answer["metrics"]) == 44 * 45


def test_the_main_verdict_is_of_the_first_declared_else_of_the_wall_time_else_of_the_first() -> None:
    a = runs_of(rate=noisy(1, 20), wall_time=noisy(1, 20), other=noisy(1, 20))
    b = runs_of(rate=noisy(2, 20, 1), wall_time=noisy(0.5, 20, 1), other=noisy(3, 20, 1))
    assert "as fast as A" in compared(a, b)["verdict"]
    assert "B's other is" in compared(a, b, Metric("gone"), Metric("other"), Metric("rate"))["verdict"]
    assert "B's rate is" in compared(a, b, paths=["rate", "other"])["verdict"]
    by_name = pair_of(compared(a, b, Metric("other"), Metric("wall_time")), "wall_time")["verdict"]
    assert by_name.startswith("by wall_time, B is ")


def test_holm_is_over_all_that_was_tested() -> None:
    names = [f"m{number}" for number in range(9)]
    a = runs_of(**{name: noisy(1, 20, seed) for seed, name in enumerate(names)})
    b = runs_of(**{name: noisy(1.2 if name == "m4" else 1, 20, 50 + seed) for seed, name in enumerate(names)})
    answer = compare([("A", "a", a), ("B", "b", b), ("C", "c", b[:2])])
    found = [pair for metric in answer["metrics"] for pair in metric["pairs"]]
    assert (len(found), answer["tests"]) == (27, 9)  # two runs are too few to test anything
    assert [pair["p_corrected"] for pair in found if "C" in pair["labels"]] == [1.0] * 18
    (different,) = [pair for pair in found if pair["different"]]
    assert different["p_corrected"] == pytest.approx(9 * different["p"])


def test_three_inspections_are_told_pair_by_pair_and_many_are_counted() -> None:
    series = [runs_of(wall_time=noisy(level, 20, seed)) for seed, level in enumerate((1, 1, 2, 2, 3))]
    three = compare([(label, label, runs) for label, runs in zip("ABC", series[:3], strict=True)])["verdict"]
    told = three.split("; ")
    assert told[0].startswith("A and B: no difference shown")
    assert [sentence[:5] for sentence in told[1:]] == ["C is ", "C is "]
    five = compare([(label, label, runs) for label, runs in zip("ABCDE", series, strict=True)])["verdict"]
    assert five == "8 of 10 pairs differ in wall_time"


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("factor", [1, 1.5, 1e6])
def test_so_few_runs_show_nothing_however_far_apart_they_are(count: int, factor: float) -> None:
    pair = pair_of(compared(runs_of(x=noisy(1, count, 1)), runs_of(x=noisy(factor, count, 2))), "x")
    assert (pair["different"], pair["detectable"]) == (False, None)
    assert pair["verdict"] == f"no difference shown: even a large one may not have been seen with n = {count}"
    assert count == 3 or (pair["p"], pair["interval"], pair["needed"]["runs"]) == (1, None, None)


@pytest.mark.parametrize(("counts", "possible"), [((1, 1000), False), ((2, 1000), False), ((4, 4), True)])
def test_many_runs_on_one_side_do_not_make_up_for_one_on_the_other(counts: tuple[int, int], possible: bool) -> None:
    a, b = runs_of(x=noisy(1, counts[0], 1)), runs_of(x=noisy(10, counts[1], 2))
    assert pair_of(compared(a, b), "x")["different"] is possible


def test_runs_that_are_all_the_same() -> None:
    pair = pair_of(compared(runs_of(x=[7] * 5), runs_of(x=[7] * 6)), "x")
    assert (pair["p"], pair["ratio"], pair["cliffs_delta"], pair["different"]) == (1, 1, 0, False)
    assert pair["verdict"] == "no difference: all runs gave the same number (n = 5 + 6)"


def test_constants_that_differ_are_told_apart_as_surely_as_so_many_runs_can() -> None:
    pair = pair_of(compared(runs_of(x=[100] * 5), runs_of(x=[101] * 5)), "x")
    assert pair["different"]
    assert pair["p"] == pytest.approx(2 / 252)
    assert pair["interval"] == {"low": pytest.approx(1.01), "high": pytest.approx(1.01)}
    assert pair["verdict"] == "B's x is 1.01 times A's (95 %, n = 5 + 5)"
    assert not pair_of(compared(runs_of(x=[100] * 3), runs_of(x=[101] * 3)), "x")["different"]


def test_numbers_that_are_not_positive_have_no_ratio_but_a_verdict() -> None:
    a, b = noisy(0.5, 20, 1, 0.1), noisy(-2, 20, 2, 0.1)
    pair = pair_of(compared(runs_of(shift_ms=a), runs_of(shift_ms=b)), "shift_ms")
    assert (pair["ratio"], pair["interval"], pair["different"], pair["cliffs_delta"]) == (None, None, True, -1)
    assert re.fullmatch(r"B's shift_ms is 2\.\d+ to 2\.\d+ ms less than A's \(95 %, .*\)", pair["verdict"])
    same = pair_of(compared(runs_of(x=[0, -1, 1, 0, 2, -2, 0]), runs_of(x=[0, 1, -1, 0, -2, 2, 0])), "x")
    assert not same["different"]
    assert re.fullmatch(r"no difference shown: under [\d.]+ could not have been seen with n = 7", same["verdict"])


def test_a_lower_confidence_is_easier_to_reach_and_its_interval_narrower() -> None:
    a, b = runs_of(x=noisy(1, 20, 1)), runs_of(x=noisy(1.02, 20, 2))
    pairs = [pair_of(compared(a, b, confidence=confidence), "x") for confidence in (0.5, 0.95, 0.999)]
    assert [pair["p"] for pair in pairs] == [pairs[0]["p"]] * 3
    widths = [pair["interval"]["high"] - pair["interval"]["low"] for pair in pairs]
    assert widths == sorted(widths)
    assert [pair["detectable"] for pair in pairs] == sorted(pair["detectable"] for pair in pairs)
    assert all(
        pair["different"] is (pair["p"] < 1 - level) for pair, level in zip(pairs, (0.5, 0.95, 0.999), strict=True)
    )


def test_the_same_data_give_the_same_answer() -> None:
    a, b = runs_of(x=noisy(1, 20, 1)), runs_of(x=noisy(1.05, 20, 2))
    assert compared(a, b) == compared(a, b)
    assert summarise(a) == summarise(a)


def test_disturbed_items_are_left_out_if_so_asked() -> None:
    a = [
        *runs_of(x=noisy(1, 10, 1)),
        *(Run(10 + item, False, "succeeded", "disturbed", (), {"x": 5}) for item in range(9)),
    ]
    b = runs_of(x=noisy(1, 10, 2))
    assert [compared(a, b, clean=clean)["metrics"][0]["pairs"][0]["n"] for clean in (False, True)] == [
        [19, 10],
        [10, 10],
    ]
    assert compared(a, b, clean=True)["items"][0]["left_out"] == 9


DOUBLES = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 5e-324, 1e308, -1e308, 1.0])


@pytest.mark.filterwarnings("error::RuntimeWarning")
@settings(max_examples=40)
@given(st.lists(st.lists(DOUBLES, max_size=12), min_size=2, max_size=3))
def test_whatever_numbers_strangers_print_the_answers_are_json(series: list[list[float]]) -> None:
    samples = [(label, label, runs_of(x=values)) for label, values in zip("ABC", series, strict=False)]
    answer = compare(samples)
    json.dumps(answer, allow_nan=False)
    for pair in (pair for metric in answer["metrics"] for pair in metric["pairs"]):
        assert 0 <= pair["p"] <= pair["p_corrected"] <= 1
        assert pair["different"] is (pair["p_corrected"] < 1 - 0.95)
        assert not (pair["different"] and pair["interval"]) or not (
            pair["interval"]["low"] <= 1 <= pair["interval"]["high"]
        )
        assert not re.search("nan|inf", pair["verdict"])
    for _, _, runs in samples:
        json.dumps(summarise(runs), allow_nan=False)


def test_names_of_any_length_stay_readable() -> None:
    name = "k" * 500
    verdict = compared(runs_of(**{name: noisy(1, 10)}), runs_of(**{name: noisy(2, 10, 1)}))["verdict"]
    assert len(verdict) < 200


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (1.124, 1.171, "1.12 to 1.17"),
        (1.121, 1.122, "1.12"),
        (1.0004, 1.0031, "1.0004 to 1.0031"),
        (0.9991, 0.99996, "0.99910 to 0.99996"),
        (12.3, 1234, "12.3 to 1.23e+03"),
        (0.0123, 0.2, "0.0123 to 0.20"),
        (1.0000000001, 1.0000000002, "1.000000"),
    ],
)
def test_factors_have_digits_enough_to_tell_them_from_one(low: float, high: float, text: str) -> None:
    assert sentences.span(low, high) == text


@pytest.mark.parametrize(
    ("relative", "text"),
    [(0.0861, "8.7 %"), (0.09, "9 %"), (0.5, "50 %"), (2.41, "250 %"), (15, "a factor of 16"), (0.00123, "0.13 %")],
)
def test_what_could_be_seen_is_rounded_up(relative: float, text: str) -> None:
    assert sentences.amount(relative) == text


@pytest.mark.parametrize("relative", [0.0, 1e-300, 1e300])
def test_amounts_of_any_size_have_words(relative: float) -> None:
    assert re.fullmatch(r"0( %)|0\.0+1 %|1e-.* %|a factor of a million", sentences.amount(relative))


def test_an_unclear_difference_is_still_told() -> None:
    sentence = sentences.unclear_sentence(described("x", {}), ("A", "B"), sentences.circumstances((5, 6), 0.999))
    assert sentence == "B's x differs from A's (99.9 %, n = 5 + 6)"


def test_neither_the_service_nor_the_client_waits_for_numpy_to_start() -> None:
    code = "import sys, amun.statistics.summary, amun.statistics.comparison; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def reports(count: int, seed: int, metrics: int) -> list[Run]:
    source = random.Random(seed)

    def run(item: int) -> Run:
        stdout = {f"m{number}": source.lognormvariate(0, 0.05) for number in range(metrics)}
        return run_of(item, False, "succeeded", {"stdout": stdout})

    return [run(item) for item in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("work", ["summary", "comparison"])
def test_a_thousand_items_of_fifty_metrics_take_seconds(work: str, benchmark_seconds: Callable[[Any], float]) -> None:
    a, b = reports(1000, 1, 50), reports(1000, 2, 50)
    answers = {"summary": lambda: summarise(a), "comparison": lambda: compared(a, b)}
    assert benchmark_seconds(answers[work]) < 8


@pytest.fixture
def benchmark_seconds() -> Callable[[Any], float]:
    import time

    def measure(work: Callable[[], Any]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return measure


def test_the_interval_and_the_verdict_never_contradict_each_other() -> None:
    for seed in range(40):
        a, b = runs_of(x=noisy(1, 8, seed, 0.05)), runs_of(x=noisy(1.08, 8, 100 + seed, 0.05))
        pair = pair_of(compared(a, b), "x")
        excludes = not pair["interval"]["low"] <= 1 <= pair["interval"]["high"]
        assert excludes or not pair["different"]
        assert math.isfinite(pair["p"])
