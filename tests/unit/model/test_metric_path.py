"""Every number that a script prints has one path, whatever its keys are made of."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amun.model.metric_path import LONGEST, canonical, finite, numbers, read, written
from amun.statistics.runs import MOST_VALUES, RUNNER, Paths, Run, metrics_of, run_of
from amun.statistics.units import unit_of
from amun.validation.formats import complaint, metric_path

KEYS = st.text(st.sampled_from('a0.[]"\\ \n\x00é\u202e\ud800😀'), max_size=5) | st.sampled_from(["0", "wall_time"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2) | st.just(10**400)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)


def leaves(value: Any, steps: tuple[str | int, ...] = ()) -> list[tuple[tuple[str | int, ...], float]]:
    """The finite numbers and where they are, by another way than the code's."""
    if isinstance(value, dict):
        return [leaf for key, child in value.items() for leaf in leaves(child, (*steps, key))]
    if isinstance(value, list):
        return [leaf for index, child in enumerate(value) for leaf in leaves(child, (*steps, index))]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1.7976931348623157e308:
        return []
    return [] if math.isnan(value) else [(steps, float(value))]


@settings(max_examples=50)
@given(OBJECTS)
def test_every_finite_number_has_one_path_that_leads_back_to_it(document: dict[str, Any]) -> None:
    found = list(numbers(document))
    assert [(read(path), value) for path, value in found] == leaves(document)
    assert len({path for path, _ in found}) == len(found)
    for path, _ in found:
        path.encode()
        assert canonical(path) == path
        assert complaint(metric_path, path) is None


@given(st.lists(KEYS | st.integers(0, 10**6), min_size=1, max_size=6).filter(lambda steps: isinstance(steps[0], str)))
def test_a_path_is_read_as_it_was_written(steps: list[str | int]) -> None:
    assert read(written(steps)) == tuple(steps)


@given(st.text(st.sampled_from('ab.[]"\\0u'), max_size=12))
def test_reading_takes_what_a_specification_may_declare_and_nothing_else(text: str) -> None:
    steps = read(text)
    assert (steps is not None) == (complaint(metric_path, text) is None)
    assert steps is None or read(canonical(text)) == steps


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({"rate": 1}, ["rate"]),
        ({"@result": {"elapsed": 0.5}}, ["@result.elapsed"]),
        ({"latency": {"p99": 1, "all": [1, {"x": 2}]}}, ["latency.p99", "latency.all[0]", "latency.all[1].x"]),
        ({"a.b": {"": 1}, "a": {"b": 2}}, ['["a.b"][""]', "a.b"]),
        ({'say "hi"': 1, "0": [2]}, ['["say \\"hi\\""]', "0[0]"]),
        ({"no": True, "text": "1", "none": None, "empty": {}, "big": 10**400, "nan": math.nan, "inf": -math.inf}, []),
    ],
)
def test_paths_look_as_documented(document: dict[str, Any], paths: list[str]) -> None:
    assert [path for path, _ in numbers(document)] == paths


@settings(max_examples=50)
@given(OBJECTS)
def test_the_scripts_numbers_never_hide_the_runners_nor_each_other(stdout: dict[str, Any]) -> None:
    report = {"stdout": stdout, "usage": {"ru_utime": 0.25}}
    values = metrics_of(report)
    assert values["user_time"] == 0.25
    assert len(values) == len(leaves(stdout)) + 1


def test_a_scripts_path_that_the_runner_has_taken_is_put_aside_and_what_was_there_too() -> None:
    stdout = {"wall_time": 1, "stdout": {"wall_time": 2, "other": 3, "stdout": {"wall_time": 4}}}
    values = metrics_of({"stdout": stdout})
    assert values == {
        "stdout.wall_time": 1,
        "stdout.stdout.wall_time": 2,
        "stdout.other": 3,
        "stdout.stdout.stdout.wall_time": 4,
    }


def test_the_runners_metrics_in_their_units() -> None:
    usage = {"ru_utime": 1.5, "ru_stime": 0.5, "ru_maxrss": 2048, "ru_nvcsw": 3, "ru_nivcsw": 4, "ru_minflt": 5}
    moments = {"start_datetime": "2026-11-23T10:00:00.250000Z", "end_datetime": "2026-11-23T10:00:01.500000Z"}
    assert metrics_of({"usage": usage, **moments}) == {
        "wall_time": 1.25,
        "user_time": 1.5,
        "system_time": 0.5,
        "peak_memory": 2048 * 1024,
        "voluntary_switches": 3,
        "involuntary_switches": 4,
    }
    assert set(metrics_of({"usage": usage, **moments})) == set(RUNNER)


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"stdout": None, "usage": None},
        {"stdout": [1], "usage": {"ru_utime": "1", "ru_stime": None, "ru_maxrss": True, "ru_nvcsw": -1}},
        {"usage": {"ru_maxrss": 1.7e308}},
        {"start_datetime": "2026-11-23T10:00:01Z", "end_datetime": "2026-11-23T10:00:00Z"},
        {"start_datetime": "2026-11-23T10:00:01", "end_datetime": "2026-11-23T10:00:00Z"},
        {"start_datetime": None, "end_datetime": 5},
    ],
)
def test_what_a_report_does_not_say_is_no_metric(report: dict[str, Any]) -> None:
    assert metrics_of(report) == {}


def test_two_hundred_paths_are_kept_the_declared_and_those_seen_first() -> None:
    paths = Paths(["late", '["late2"]'])
    first = run_of(0, False, "succeeded", {"stdout": {f"m{n}": n for n in range(150)}}, paths)
    assert not first.truncated
    more = {f"n{n}": n for n in range(150)} | {"late": 1, "late2": 2, "m3": 7}
    second = run_of(1, False, "succeeded", {"stdout": more}, paths)
    assert second.truncated
    assert list(second.values) == [f"n{n}" for n in range(48)] + ["late", "late2", "m3"]


def test_only_what_succeeded_has_values_and_a_report_of_any_age_is_read() -> None:
    report = {"stdout": {"x": 1}, "quality": "disturbed", "reasons": [{"reason": "Steal", "message": "…"}]}
    assert run_of(3, True, "failed", report) == Run(3, True, "failed", "disturbed", report["reasons"], {})
    assert run_of(3, False, None, None) == Run(3, False, None)
    assert run_of(0, False, "succeeded", {"stdout": {"x": 1}}) == Run(0, False, "succeeded", None, (), {"x": 1})
    assert run_of(0, False, "succeeded", {"quality": "good", "reasons": "none"}).quality is None


@pytest.mark.timeout(20)
def test_what_is_printed_to_tire_the_service_does_not() -> None:
    wide = {"k" * LONGEST * 100: [1] * 100_000, "x": 1}
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert metrics_of({"stdout": {"deep": deep}}) == {}
    assert metrics_of({"stdout": wide}) == {"x": 1}
    many = {f"m{n}": n for n in range(MOST_VALUES)}
    assert metrics_of({"stdout": {**many, "late": 1}}, Paths(["late"])).keys() == {f"m{n}" for n in range(199)}


def test_minus_zero_is_zero() -> None:
    assert json.dumps(finite(-0.0)) == "0.0"


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("elapsed_s", "s"),
        ("latency_ms", "ms"),
        ("run.took_us[3]", "us"),
        ("a_ns.b", None),
        ("peak_bytes", "bytes"),
        ("rss_KiB", "KiB"),
        ("cache_mib", "MiB"),
        ("load_percent", "%"),
        ("clock_hz", "Hz"),
        ("read_mb_per_s", "MB/s"),
        ("requests_per_second", "1/s"),
        ("seconds", "s"),
        ("s", None),
        ("latency_min", None),
        ("rate", None),
        ("buses", None),
        ('["a.b_ms"]', "ms"),
        ("x_" * 5000 + "ms", "ms"),
        ("[", None),
    ],
)
def test_a_unit_is_told_by_the_key(path: str, unit: str | None) -> None:
    assert unit_of(path) == unit
