"""What the kernel counted is read right, and judged right: recorded runs of both kinds, and each cause by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.model.thresholds import Thresholds
from amun.runs import kernel_counters
from amun.runs.disturbance import assess
from amun.settings import Settings
from amun.validation import schema as contract

RECORDED = sorted((Path(__file__).parents[2] / "cases" / "kernel").glob("*.json"))
"""Real runs on a machine with two CPUs and control groups of version 1."""

ONE_THREAD = {"ru_utime": 0.9, "ru_stime": 0.05, "ru_nivcsw": 5, "ru_inblock": 0, "ru_oublock": 0}
BEFORE = {
    "monotonic": 100.0,
    "cpus": 4,
    "ticks": {"user": 5000, "nice": 0, "system": 1000, "idle": 9000, "irq": 0, "softirq": 10, "steal": 40},
    "pressure": {name: {"some": 1000, "full": 0} for name in ("cpu", "memory", "io")},
    "paged": {"in": 1000, "out": 1000},
    "cgroup": {"usage_us": 50_000, "periods": 3, "throttled_periods": 0, "throttled_us": 0},
    "frequency_hz": 3_000_000_000,
    "thermal_events": 4,
}
GROUP_2 = {"cgroup": {"pressure": {name: {"some": 500, "full": 0} for name in ("cpu", "memory", "io")}}}


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with numbers added and other values replaced, at every level."""
    found = dict(base)
    for name, value in change.items():
        there = found.get(name)
        if isinstance(value, dict):
            found[name] = merged(there or {}, value)
        else:
            found[name] = value if there is None else there + value
    return found


def second(*changes: dict[str, Any], before: dict[str, Any] = BEFORE) -> dict[str, Any]:
    """A quiet second in which one thread used 0.95 s of a CPU and waited 2 ms, and what else happened."""
    quiet = {
        "monotonic": 1.0,
        "ticks": {"user": 90, "system": 5, "idle": 305},
        "cgroup": {"usage_us": 950_000, "periods": 10},
        "script": {"running_ns": 950_000_000, "waiting_ns": 2_000_000},
    }
    # The counters of version 2 have to be there from the start.
    before = merged(before, GROUP_2) if GROUP_2 in changes else before
    after = merged(before, quiet)
    for change in changes:
        after = merged(after, change)
    return {"before": before, "after": after}


def causes(counted: dict[str, Any], usage: dict[str, Any] | None = None, **thresholds: float) -> list[str]:
    _, reasons = assess(counted, usage or ONE_THREAD, None, Thresholds(**thresholds))
    return [reason["reason"] for reason in reasons]


# Recorded


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.stem)
def test_a_real_run_is_judged_as_whoever_recorded_it_knows(case: Path) -> None:
    recorded = json.loads(case.read_text())
    quality, reasons = assess(kernel_counters.parse(recorded["kernel"]), recorded["usage"], None, Thresholds())
    assert (quality, [reason["reason"] for reason in reasons]) == (recorded["quality"], recorded["reasons"])
    assert case.stem.partition("-")[0] == {"clean": "quiet", "unknown": "busy"}.get(quality) or reasons


def test_runs_of_every_kind_are_recorded() -> None:
    kinds = [case.stem.partition("-")[0] for case in RECORDED]
    assert min(kinds.count("quiet"), kinds.count("busy")) >= 8
    assert kinds.count("limited") >= 2


# What is read


def test_files_of_the_kernel_become_numbers() -> None:
    texts = {
        "monotonic": "26825.709429",
        "/proc/stat": "cpu  2090057 75378 873990 2168436 41939 0 28443 54666 0 0\nctxt 157828508",
        "/proc/loadavg": "1.14 2.71 3.45 3/104 24300\n",
        "/proc/vmstat": "pgpgin 13235629\npgpgout 209368760",
        "/proc/pressure/io": "some avg10=0.00 avg60=0.11 total=704930458\nfull avg10=0.00 total=256036924\n",
        "/sys/devices/system/cpu/online": "0-3,8,10-11\n",
        "/sys/fs/cgroup/cpu.stat": "usage_usec 5000\nuser_usec 1\nnr_periods 7\nnr_throttled 2\nthrottled_usec 1500\n",
        "/sys/fs/cgroup/cpu.max": "50000 100000\n",
        "/sys/fs/cgroup/cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=42\n",
        "schedstat": "404913561 26510622 22\n",
        "frequency": "2445430\n",
        "thermal_throttles": "1 0 2 0",
    }
    assert kernel_counters.snapshot(texts) == {
        "monotonic": 26825.709429,
        "cpus": 7,
        "ticks": dict(
            zip(kernel_counters.TICKS, (2090057, 75378, 873990, 2168436, 41939, 0, 28443, 54666), strict=True)
        ),
        "switches": 157828508,
        "load": [1.14, 2.71, 3.45],
        "pressure": {"io": {"some": 704930458, "full": 256036924}},
        "paged": {"in": 13235629, "out": 209368760},
        "cgroup": {
            "usage_us": 5000,
            "periods": 7,
            "throttled_periods": 2,
            "throttled_us": 1500,
            "quota_us": 50000,
            "period_us": 100000,
            "pressure": {"cpu": {"some": 42}},
        },
        "script": {"running_ns": 404913561, "waiting_ns": 26510622},
        "frequency_hz": 2_445_430_000,
        "thermal_events": 3,
    }


def test_groups_of_version_1_count_in_nanoseconds_and_minus_one_is_no_limit() -> None:
    texts = {
        "/sys/fs/cgroup/cpu/cpu.stat": "nr_periods 8\nnr_throttled 3\nthrottled_time 1234567\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "/sys/fs/cgroup/cpuacct/cpuacct.usage": "79799579\n",
        "/proc/uptime": "26761.87 21607.93\n",
        "frequency": "cpu MHz\t\t: 2445.430",
    }
    assert kernel_counters.snapshot(texts) == {
        "monotonic": 26761.87,
        "cgroup": {
            "usage_us": 79799,
            "periods": 8,
            "throttled_periods": 3,
            "throttled_us": 1234,
            "period_us": 100000,
        },
        "frequency_hz": 2_445_430_000,
    }


NAMES = [*json.loads(RECORDED[0].read_text())["kernel"]["after"], "/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu.max"]
HOSTILE = st.none() | st.integers() | st.text() | st.from_regex(r"(cpu|some|usage_usec)( total=| )-?[0-9.e]{0,30}")
SNAPSHOTS = st.dictionaries(st.sampled_from(NAMES) | st.text(), HOSTILE) | HOSTILE
ACCOUNTS = st.fixed_dictionaries({}, optional={"before": SNAPSHOTS, "after": SNAPSHOTS}) | HOSTILE


@given(ACCOUNTS, st.dictionaries(st.sampled_from(list(ONE_THREAD)), st.none() | st.floats(0, 1e300) | st.integers()))
def test_whatever_is_forged_breaks_nothing(account: Any, usage: dict[str, Any]) -> None:
    counted = kernel_counters.parse(account)
    quality, reasons = assess(counted, usage, None, Thresholds())
    report = {"quality": quality, "reasons": reasons, "kernel": counted}
    schema = contract.schema("Report")["properties"]
    for name, value in report.items():
        assert list(contract.validator("Report").evolve(schema=schema[name]).iter_errors(value)) == []
    json.dumps(report, allow_nan=False)
    assert bool(reasons) == (quality != "clean")


# What is judged


def test_a_quiet_second_is_clean() -> None:
    assert assess(second(), ONE_THREAD, None, Thresholds()) == ("clean", [])


@pytest.mark.parametrize(
    ("what", "changes", "usage", "expected"),
    [
        ("held back by its own limit",
         [{"cgroup": {"throttled_us": 300_000, "throttled_periods": 3, "quota_us": 50_000, "period_us": 100_000}}],
         {}, ["Throttled"]),
        ("waiting is what holding back does",
         [{"cgroup": {"throttled_us": 300_000}, "script": {"waiting_ns": 300_000_000}}], {}, ["Throttled"]),
        ("held back on eight CPUs for a hundredth of the time each",
         [{"cgroup": {"throttled_us": 80_000, "quota_us": 800_000, "period_us": 100_000}}], {}, []),
        ("waiting beside a neighbour",
         [{"script": {"waiting_ns": 300_000_000}, "ticks": {"user": 140}}], {}, ["CpuContention"]),
        ("waiting with nobody there: its own threads", [{"script": {"waiting_ns": 300_000_000}}], {}, []),
        ("a machine that others fill, on other CPUs", [{"ticks": {"user": 200}}], {}, ["BusyMachine"]),
        ("one neighbour on one of four CPUs", [{"ticks": {"user": 100}}], {}, []),
        ("neighbours that press each other",
         [{"pressure": {"cpu": {"some": 900_000}}, "ticks": {"user": 140}}], {}, []),
        ("time that the hypervisor took", [{"ticks": {"steal": 9}}], {}, ["CpuSteal"]),
        ("time that it took from others mostly", [{"ticks": {"steal": 9, "user": 140}}], {}, []),
        ("one tick of it", [{"ticks": {"steal": 2}}], {}, []),
        ("reclaim in its own group", [GROUP_2, {"cgroup": {"pressure": {"memory": {"some": 80_000}}}}],
         {"ru_utime": 0.2}, ["MemoryPressure"]),
        ("reclaim on the machine while it computed", [{"pressure": {"memory": {"some": 800_000}}}],
         {"ru_utime": 0.98}, []),
        ("its own disk accesses", [{"pressure": {"io": {"some": 800_000}}, "paged": {"out": 50_000},
                                    "cgroup": {"usage_us": -800_000}}], {"ru_oublock": 100_000}, []),
        ("disk accesses beside those of others", [{"pressure": {"io": {"some": 800_000}}, "paged": {"out": 900_000},
         "cgroup": {"usage_us": -800_000}, "ticks": {"user": -80}}], {"ru_oublock": 100_000}, ["IoContention"]),
        ("disks that it never used", [{"pressure": {"io": {"some": 800_000}}, "paged": {"out": 900_000},
         "cgroup": {"usage_us": -800_000}, "ticks": {"user": -80}}], {}, []),
        ("a processor that became slow", [{"frequency_hz": -900_000_000}], {}, ["FrequencyDropped"]),
        ("one that got faster", [{"frequency_hz": 900_000_000}], {}, []),
        ("several processors at work are slower each",
         [{"frequency_hz": -900_000_000, "cgroup": {"usage_us": 2_000_000}, "ticks": {"user": 200}}], {}, []),
        ("one that was too hot", [{"thermal_events": 2}], {}, ["ThermalThrottling"]),
    ],
)  # fmt: skip
def test_each_cause_is_told_from_what_only_looks_like_it(
    what: str, changes: list[dict[str, Any]], usage: dict[str, Any], expected: list[str]
) -> None:
    assert causes(second(*changes), {**ONE_THREAD, **usage}) == expected, what


UNKNOWN_THREAD = {"script": {"running_ns": -949_000_000}}
"""The script's own thread did nothing: it was a shell that waited for its children."""


@pytest.mark.parametrize(
    ("changes", "usage", "quality"),
    [
        ([{"cgroup": {"usage_us": -400_000}, "pressure": {"cpu": {"some": 700_000}}, "ticks": {"user": 100}}],
         {"ru_nivcsw": 200}, "disturbed"),
        ([{"cgroup": {"usage_us": -400_000}, "pressure": {"cpu": {"some": 700_000}}, "ticks": {"user": 100}}],
         {"ru_nivcsw": 2}, "clean"),
        ([{"cgroup": {"usage_us": -400_000}, "pressure": {"cpu": {"some": 9_000}}, "ticks": {"user": 100}}],
         {"ru_nivcsw": 200}, "clean"),
        ([{"cgroup": {"usage_us": 20_000}, "pressure": {"cpu": {"some": 700_000}}, "ticks": {"user": 140}}],
         {"ru_nivcsw": 200}, "clean"),
        ([GROUP_2, {"cgroup": {"usage_us": -400_000, "pressure": {"cpu": {"some": 400_000}}}, "ticks": {"user": 100}}],
         {"ru_nivcsw": 200}, "disturbed"),
    ],
)  # fmt: skip
def test_children_of_the_script_are_judged_by_the_least_that_is_certain(
    changes: list[dict[str, Any]], usage: dict[str, Any], quality: str
) -> None:
    assert assess(second(UNKNOWN_THREAD, *changes), {**ONE_THREAD, **usage}, None, Thresholds())[0] == quality


def test_a_few_milliseconds_are_no_disturbance_but_many_of_few_are() -> None:
    def short(waiting: int) -> dict[str, Any]:
        before = {"monotonic": 1.0}
        return {"before": before, "after": {"monotonic": 1.02, "script": {"running_ns": 10**7, "waiting_ns": waiting}}}

    usage = {"ru_utime": 0.01, "ru_stime": 0.0}
    assert causes(short(4_000_000), usage) == []
    assert causes(short(4_000_000), usage, floor=0.001) == ["CpuContention"]
    assert causes(short(9_000_000), usage) == ["CpuContention"]


def test_what_did_not_end_or_cannot_be_known_is_unknown() -> None:
    counted = second()
    for before, after, said in (
        (counted["before"], None, "did not come to its end"),
        (None, None, "could not be read"),
        ({"monotonic": 1.0}, {"monotonic": 2.0}, "waited for a CPU"),
        ({"load": [1.0, 1.0, 1.0]}, {"load": [1.0, 1.0, 1.0]}, "how long"),
    ):
        quality, (reason,) = assess({"before": before, "after": after}, {}, None, Thresholds())
        assert (quality, reason["reason"]) == ("unknown", "NotMeasured")
        assert said in reason["message"]
    assert assess(None, {}, 1.0, Thresholds())[0] == "unknown"


def test_a_counter_that_runs_backwards_says_nothing() -> None:
    assert causes(second({"ticks": {"steal": -30}, "cgroup": {"throttled_us": 0}, "thermal_events": -1})) == []


def test_thresholds_are_settings() -> None:
    assert Settings(_env_file=None).thresholds == Thresholds()
    assert Settings(quality_waiting=0.5, quality_floor=1).thresholds == Thresholds(waiting=0.5, floor=1)
    waiting = second({"script": {"waiting_ns": 300_000_000}, "ticks": {"user": 140}})
    assert causes(waiting, waiting=0.31) == []


def test_the_sentence_has_the_figures() -> None:
    _, (reason,) = assess(
        second({"script": {"waiting_ns": 300_000_000}, "ticks": {"user": 140}}), ONE_THREAD, None, Thresholds()
    )
    assert reason["message"] == (
        "The script waited for a CPU for about 0.302 s of its 1 s; other programs used 1.4 of the machine's 4 CPUs "
        "meanwhile."
    )
