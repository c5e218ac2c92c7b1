"""Records that somebody has damaged, or that a later version has written: that inspection's defect, nobody else's."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.engines.kubernetes import records
from amun.engines.kubernetes.records import Record
from amun.model.inspection import Inspection
from amun.validation.problems import validated

NAME = "inspection-0123456789abcdef"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def document(**kept: Any) -> dict[str, Any]:
    """A record as it is written, with some fields of what it keeps replaced."""
    specification = validated({"base": "debian:12", "script": "true"})
    inspection = Inspection(NAME, specification, "0" * 64, "sha256:" + "1" * 64, "2026-01-01T00:00:00.000000Z", "alice")
    made = records.to_document(Record(inspection, "environment-" + "1" * 32, "uid", False))
    made["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    if kept:
        written = json.loads(gzip.decompress(base64.b64decode(made["binaryData"]["inspection"])))
        made["binaryData"]["inspection"] = packed({**written, **kept})
    return made


def packed(value: Any) -> str:
    return base64.b64encode(gzip.compress(json.dumps(value).encode())).decode()


def test_a_whole_record_has_no_defect() -> None:
    record = records.from_document(document())
    assert (record.defect, record.inspection.id, record.inspection.owner) == (None, NAME, "alice")


@pytest.mark.parametrize(
    "change",
    [
        {"id": "inspection-fedcba9876543210"},
        {"created": 5},
        {"environment": 5},
        {"build": {}},
        {"build": {"name": "x", "uid": "y", "cached": False}},
        {"specification": []},
        {"specification": {"base": "x", "unheard_of": 1}},
        {"unheard_of": 1},
    ],
)
def test_what_no_version_of_ours_wrote_is_a_defect(change: dict[str, Any]) -> None:
    record = records.from_document(document(**change))
    assert record.defect is not None
    assert record.inspection.id == NAME


@given(st.dictionaries(st.sampled_from(["id", "specification", "build", "created", "owner", "environment"]), JSON))
def test_whatever_stands_in_a_record_reading_it_raises_nothing(change: dict[str, Any]) -> None:
    assert records.from_document(document(**change)).inspection.id == NAME


@given(JSON | st.builds(lambda build, items: {"build": build, "items": items, "stored": True}, JSON, JSON))
def test_whatever_stands_in_a_final_state_reading_it_raises_nothing(state: Any) -> None:
    made = document()
    made["binaryData"]["state"] = packed(state)
    record = records.from_document(made)
    assert record.defect is not None
    assert record.inspection.specification.base == "debian:12"


@pytest.mark.parametrize("data", [None, {}, {"inspection": ""}, {"inspection": "!"}, {"inspection": "AAAA"}])
def test_a_record_without_its_data_is_a_defect(data: dict[str, str] | None) -> None:
    assert records.from_document({**document(), "binaryData": data}).defect is not None
