"""Summaries and comparisons as callers get them: by HTTP, of reports that an engine has."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from amun.errors import ItemNotFound
from amun.model.inspection import BuildState, Inspection, ItemState, Observation
from amun.runs.report import Outcome, assemble
from amun.validation.problems import validated
from tests.support.service_with_keys import Guarded

pytestmark = pytest.mark.slow  # NumPy and SciPy take a second to import

CREATED = "2026-01-01T00:00:00.000000Z"
HWINFO = {
    "cpu_info": {"vendor_id_raw": "AuthenticAMD", "family": 25, "model": 1},
    "cpu_features": {"flags": ["avx"]},
    "memory": {"total_bytes": 2**34},
}


class Kept:
    """Inspections that are over, their reports, and how often one was read."""

    def __init__(self, guarded: Guarded) -> None:
        self.guarded = guarded
        self.observations: dict[str, Observation] = {}
        self.reports: dict[tuple[str, int], dict[str, Any]] = {}
        self.read = 0
        engine: Any = guarded.engine
        engine.observe = lambda inspection_id: self.observations[inspection_id]
        engine.report = self._report

    def _report(self, inspection_id: str, item: int) -> dict[str, Any]:
        self.read += 1
        if (inspection_id, item) not in self.reports:
            raise ItemNotFound("gone")
        return self.reports[inspection_id, item]

    def add(
        self, *values: float, hwinfo: Any = HWINFO, owner: str = "alice", finished: bool = True, **more: Any
    ) -> str:
        """An inspection that measured these values."""
        warmup = int(more.get("warmup", 0))
        document = {"base": "debian:12", "script": "true", "batch_size": len(values) - warmup, **more}
        inspection_id = self.guarded.submit(owner, **{name: more[name] for name in ("warmup",) if name in more})
        specification = validated(document)
        inspection = Inspection(inspection_id, specification, "0" * 64, "sha256:1", CREATED, owner)
        done = ItemState(0, state="terminated", outcome="succeeded", reason="Completed", exit_code=0)
        items = tuple(replace(done, item=item) for item in range(len(values)))
        build = BuildState(state="terminated", outcome="succeeded", finished_at=CREATED)
        closed = CREATED if finished else None
        self.observations[inspection_id] = Observation(inspection, build, items, finished_at=closed)
        for item, value in enumerate(values):
            report = assemble((), Outcome(exit_code=0), "0" * 64)
            noted = {"python": {"numpy": str(more.get("identifier", "1"))}, "native": {}}
            self.reports[inspection_id, item] = {
                **report, "stdout": {"rate": value}, "hwinfo": hwinfo, "packages": noted,
            }  # fmt: skip
        return inspection_id

    def get(self, who: str, path: str) -> Any:
        return self.guarded.ask(who, "GET", f"/api/v1{path}")

    def compare(self, who: str, *ids: str, **more: Any) -> Any:
        return self.guarded.ask(who, "POST", "/api/v1/compare", json={"inspections": ids, **more})


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(Guarded(tmp_path_factory.mktemp("measuring")))


def test_a_summary_counts_what_succeeded_and_no_warm_up(kept: Kept) -> None:
    made = kept.add(90.0, 1.0, 2.0, 3.0, warmup=1, metrics=[{"path": "rate", "unit": "1/s", "better": "higher"}])
    answer = kept.get("alice", f"/inspect/{made}/summary?confidence=0.9").json()
    assert (answer["items"]["total"], answer["items"]["warmup"], answer["items"]["counted"]) == (4, 1, 3)
    rate = answer["metrics"][0]
    assert (rate["path"], rate["n"], rate["median"], rate["unit"], rate["better"]) == ("rate", 3, 2.0, "1/s", "higher")
    assert [value["item"] for value in rate["values"]] == [1, 2, 3]
    assert answer["parameters"] == {"inspection_id": made, "clean": False, "confidence": 0.9}


def test_what_is_over_is_read_once_and_what_goes_on_each_time(kept: Kept) -> None:
    for finished, expected in ((True, 2), (False, 4)):
        made = kept.add(1.0, 2.0, finished=finished)
        kept.read = 0
        for _ in range(2):
            assert kept.get("alice", f"/inspect/{made}/summary").status_code == 200
        assert kept.read == expected


def test_a_report_that_is_gone_is_not_counted_and_breaks_nothing(kept: Kept) -> None:
    made = kept.add(1.0, 2.0, 3.0)
    del kept.reports[made, 1]
    answer = kept.get("alice", f"/inspect/{made}/summary").json()
    assert answer["metrics"][0]["n"] == 2
    assert [run["item"] for run in answer["runs"]] == [0, 1, 2]


def test_a_comparison_says_whether_and_in_what_they_differ(kept: Kept) -> None:
    mixed = [number * 7 % 20 / 100 for number in range(20)]
    slow = kept.add(*(1 + part for part in mixed), identifier="1", packages=["gcc"])
    fast = kept.add(*(2 + part for part in mixed), identifier="2")
    response = kept.compare("alice", slow, fast, metrics=["rate"])
    assert response.status_code == 200, response.text
    answer = response.json()
    assert [one["label"] for one in answer["inspections"]] == ["A", "B"]
    (pair,) = answer["metrics"][0]["pairs"]
    assert pair["different"]
    assert 1.7 < pair["interval"]["low"] < pair["ratio"] < pair["interval"]["high"] < 2.1
    assert answer["verdict"] == pair["verdict"]
    assert {"path": "packages", "values": [["gcc"], None]} in answer["differences"]["specification"]
    assert answer["differences"]["packages"] == [{"kind": "python", "name": "numpy", "versions": ["1", "2"]}]
    assert answer["tests"] == 1


def test_unlike_hardware_is_refused_by_name_unless_it_is_allowed(kept: Kept) -> None:
    other = copy.deepcopy(HWINFO)
    other["cpu_info"]["model"] = 85
    ids = kept.add(1.0, 2.0), kept.add(1.0, 2.0, hwinfo=other)
    refused = kept.compare("alice", *ids)
    assert refused.status_code == 422
    assert refused.json()["details"] == [{"path": "hwinfo.cpu_info.model", "message": "A has 1, B has 85"}]
    allowed = kept.compare("alice", *ids, allow_unlike=True).json()
    assert (allowed["alike"], allowed["unlike"]) == (False, [{"path": "hwinfo.cpu_info.model", "values": [1, 85]}])


def test_others_inspections_are_not_there_and_nothing_is_no_basis(kept: Kept) -> None:
    mine, theirs = kept.add(1.0, 2.0), kept.add(1.0, 2.0, owner="bob")
    assert kept.compare("alice", mine, theirs).status_code == 404
    empty = kept.add(1.0)
    del kept.reports[empty, 0]
    refused = kept.compare("alice", mine, empty)
    assert refused.status_code == 409
    assert empty in refused.json()["error"]
    assert mine not in refused.json()["error"]


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, {"inspections"}),
        ({"inspections": ["a"]}, {"inspections"}),
        ({"inspections": ["a", "a"]}, {"inspections"}),
        ({"inspections": ["a", 1], "confidence": 1, "metric": []}, {"inspections[1]", "confidence", "metric"}),
        ({"inspections": ["a", "b"], "metrics": []}, {"metrics"}),
        ([], {""}),
    ],
)
def test_every_offending_field_is_named(kept: Kept, body: Any, paths: set[str]) -> None:
    response = kept.guarded.ask("alice", "POST", "/api/v1/compare", json=body)
    assert response.status_code == 400
    assert {problem["path"] for problem in response.json()["details"]} == paths
    assert "specification" not in response.json()["error"]


def test_null_is_as_good_as_absent(kept: Kept) -> None:
    ids = kept.add(1.0, 2.0), kept.add(1.0, 2.0)
    response = kept.compare("alice", *ids, metrics=None, confidence=None, clean=None, allow_unlike=None)
    assert response.status_code == 200
    assert response.json()["confidence"] == 0.95
