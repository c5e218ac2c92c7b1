"""In what stacks differ, and whether they were measured on the same kind of hardware."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.statistics import specification_diff
from amun.statistics.hardware_profile import profile, unlike
from amun.validation.problems import validated

REPORT: dict[str, Any] = {
    "hwinfo": {
        "cpu_info": {"vendor_id_raw": "AuthenticAMD", "family": 25, "model": 1},
        "cpu_features": {"flags": ["avx", "sse", "sse2"]},
        "memory": {"total_bytes": 1000},
    }
}


def report(path: str, value: object) -> dict[str, Any]:
    """`REPORT` with another value at a path."""
    changed = copy.deepcopy(REPORT)
    *keys, last = path.split(".")
    place = changed
    for key in keys:
        place = place[key]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("hwinfo.cpu_info.vendor_id_raw", "GenuineIntel"),
        ("hwinfo.cpu_info.family", 6),
        ("hwinfo.cpu_info.model", 85),
        ("hwinfo.memory.total_bytes", 2000),
        ("hwinfo.memory.total_bytes", None),
    ],
)
def test_unlike_hardware_is_told_by_path_and_value(path: str, value: object) -> None:
    here, there = profile(REPORT, 1.0), profile(report(path, value), 1.0)
    (difference,) = unlike([[here], [there], [here]])
    assert difference["path"] == path
    assert difference["values"][1] == value
    assert difference["values"][0] == difference["values"][2]


def test_of_flags_only_those_that_not_all_have_are_told() -> None:
    more = profile(report("hwinfo.cpu_features.flags", ["sse2", "avx512", "sse", "avx"]), 1.0)
    assert unlike([[profile(REPORT, 1.0)], [more]]) == [{"path": "hwinfo.cpu_features.flags", "values": ["", "avx512"]}]


def test_a_cpu_limit_and_items_on_unlike_nodes_count() -> None:
    here, limited = profile(REPORT, 1.0), profile(REPORT, 0.5)
    assert unlike([[here], [limited]]) == [{"path": "run.requests.cpu", "values": [1.0, 0.5]}]
    other = profile(report("hwinfo.cpu_info.model", 85), 1.0)
    assert unlike([[here, other], [here]]) == [{"path": "hwinfo.cpu_info.model", "values": [[1, 85], 1]}]


def test_machines_of_one_kind_are_alike() -> None:
    nearly = profile(report("hwinfo.memory.total_bytes", 1010), 1.0)
    unordered = profile(report("hwinfo.cpu_features.flags", ["sse2", "sse", "avx"]), 1.0)
    assert unlike([[profile(REPORT, 1.0)], [nearly, unordered]]) == []


@given(st.recursive(st.none() | st.integers() | st.text(), lambda own: st.lists(own) | st.dictionaries(st.text(), own)))
def test_any_report_has_a_profile(document: Any) -> None:
    for hwinfo in (document, {"cpu_info": document, "cpu_features": document}, {"cpu_features": {"flags": document}}):
        own = profile({"hwinfo": hwinfo}, 1.0)
        assert unlike([[own], [own]]) == []
        unlike([[own], [profile(REPORT, 1.0)]])


def specification(**fields: Any) -> dict[str, Any]:
    return validated({"base": "debian:12", "script": "true", **fields}).to_document()


def test_fields_that_differ_are_told_and_names_are_not() -> None:
    a = specification(identifier="a", packages=["gcc"], environment=[{"name": "A", "value": "1"}])
    b = specification(identifier="b", packages=["gcc"], run={"requests": {"memory": "1Gi"}})
    assert specification_diff.of_specifications([a, b]) == [
        {"path": "environment", "values": [[{"name": "A", "value": "1"}], None]},
        {"path": "run.requests.memory", "values": ["256Mi", "1Gi"]},
    ]
    assert specification_diff.of_specifications([a, a]) == []


def test_a_long_value_is_told_by_its_digest() -> None:
    (script,) = specification_diff.of_specifications([specification(script="#" * 5000), specification(script="true")])
    assert script["values"][0].startswith("5002 characters, sha256:")
    assert script["values"][1] == "true"


def test_packages_are_told_by_version() -> None:
    a = {"python": {"numpy": "1.26.4", "six": "1.17"}, "native": {"bash": "5.2"}}
    b = {"python": {"numpy": "2.4.6", "six": "1.17"}, "native": {"bash": "5.2", "gcc": "12"}}
    assert specification_diff.of_packages([a, b]) == [
        {"kind": "python", "name": "numpy", "versions": ["1.26.4", "2.4.6"]},
        {"kind": "native", "name": "gcc", "versions": [None, "12"]},
    ]
    assert specification_diff.of_packages([a, None]) == []


def test_where_nothing_was_noted_the_lock_says_what_was_meant() -> None:
    document = specification(packages=["gcc"], python_packages=["six<2"])
    assert specification_diff.wished(document) == {
        "python": {"six<2": "as asked for"},
        "native": {"gcc": "as asked for"},
    }
