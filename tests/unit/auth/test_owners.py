"""Whose an inspection is: recorded, kept, listed and counted by it, without reading every record."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from amun.application.inspections import Inspections
from amun.auth.callers import ANYBODY, Caller
from amun.engines.podman.state import store
from amun.engines.podman.state.store import Store
from amun.errors import InspectionNotFound
from tests.support.service_with_keys import DOCUMENT, Guarded


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path)


def listed(guarded: Guarded, who: str, **query: Any) -> dict[str, Any]:
    document: dict[str, Any] = guarded.ask(who, "GET", "/api/v1/inspect", params=query).json()
    return document


def test_everybody_lists_their_own_and_who_sees_all_sees_whose_they_are(guarded: Guarded) -> None:
    made = {who: [guarded.submit(who, identifier=f"n{number}") for number in range(3)] for who in ("alice", "bob")}
    for who in ("alice", "bob"):
        page = listed(guarded, who)
        assert page["inspections"] == made[who][::-1]
        assert page["total"] == 3
        assert {item["owner"] for item in page["items"]} == {who}
    everything = listed(guarded, "root")
    assert everything["total"] == 6
    assert everything["inspections"] == (made["alice"] + made["bob"])[::-1]
    assert [item["owner"] for item in everything["items"]] == ["bob"] * 3 + ["alice"] * 3


def test_nobody_sees_all_for_want_of_a_name(guarded: Guarded) -> None:
    """Neither who forgets to say for whom inspections are asked about, nor a caller whose name is not known."""
    with pytest.raises(TypeError):
        Inspections(guarded.engine, guarded.settings)  # type: ignore[call-arg]
    for name in (None, ""):
        with pytest.raises(ValueError, match="name"):
            Caller(name)


def test_pages_and_filters_are_of_what_the_caller_may_see(guarded: Guarded) -> None:
    for number in range(4):
        guarded.submit("alice", identifier="even" if number % 2 == 0 else "odd")
        guarded.submit("bob", identifier="even")
    assert len(listed(guarded, "alice", page=2, limit=3)["inspections"]) == 1
    assert listed(guarded, "alice", page=2, limit=3)["total"] == 4
    assert listed(guarded, "alice", identifier="even")["total"] == 2
    assert listed(guarded, "alice", phase="queued", limit=2)["total"] == 4
    assert listed(guarded, "alice", phase="running")["total"] == 0
    assert listed(guarded, "root", identifier="even", limit=1)["total"] == 6


def test_the_owner_is_told_with_the_rest(guarded: Guarded) -> None:
    made = guarded.submit("alice")
    for who in ("alice", "root"):
        assert guarded.ask(who, "GET", f"/api/v1/inspect/{made}").json()["owner"] == "alice"


def test_nobody_can_submit_in_anothers_name(guarded: Guarded) -> None:
    refused = guarded.ask("alice", "POST", "/api/v1/inspect", json={**DOCUMENT, "owner": "bob"})
    assert refused.status_code == 400
    headers = {"X-Remote-User": "bob", "From": "bob", "X-Forwarded-User": "bob", "X-Owner": "bob"}
    made = guarded.ask("alice", "POST", "/api/v1/inspect?dry_run=false", json=DOCUMENT, headers=headers).json()
    assert guarded.engine.declared(made["inspection_id"]).owner == "alice"


# -- Idempotency-Keys -------------------------------------------------------------------------------------------------


def test_callers_may_choose_the_same_idempotency_key(guarded: Guarded) -> None:
    alices, bobs = guarded.submit("alice", "nightly"), guarded.submit("bob", "nightly", batch_size=2)
    assert alices != bobs
    assert guarded.submit("alice", "nightly") == alices
    assert guarded.submit("bob", "nightly", batch_size=2) == bobs
    conflict = guarded.ask(
        "alice", "POST", "/api/v1/inspect", json={**DOCUMENT, "batch_size": 2}, headers={"Idempotency-Key": "nightly"}
    )
    assert conflict.status_code == 409
    assert listed(guarded, "root")["total"] == 2


@pytest.mark.parametrize(("key", "status"), [(b"alice\nnightly", 400), (b"alice nightly", 202), (b"\nnightly", 400)])
def test_no_key_can_be_sent_that_is_taken_for_anothers(guarded: Guarded, key: bytes, status: int) -> None:
    kept = guarded.submit("alice", "nightly")
    body = json.dumps(DOCUMENT).encode()
    described = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers = [(b"authorization", f"Bearer {guarded.keys['bob']}".encode()), (b"idempotency-key", key), *described]
    answer = guarded.raw("/api/v1/inspect", headers, "POST", body)
    assert answer.status == status
    assert json.loads(answer.body).get("inspection_id") != kept


def test_keys_from_before_there_were_callers_go_on(guarded: Guarded) -> None:
    anybody = Inspections(guarded.engine, guarded.settings, ANYBODY)
    first, _ = anybody.submit(DOCUMENT, "old")
    assert anybody.submit(DOCUMENT, "old")[0].id == first.id
    assert guarded.submit("alice", "old") != first.id


# -- what is kept -----------------------------------------------------------------------------------------------------


def as_before(directory: Path, inspection_id: str) -> None:
    """Make of an inspection what was kept of one before owners were recorded."""
    state = directory / "state"
    record = state / "inspections" / inspection_id / "record.json"
    document = json.loads(record.read_text())
    del document["owner"]
    record.write_text(json.dumps(document))
    for index in ("index", "active"):
        for name in os.listdir(state / index):
            if inspection_id in name:
                (state / index / name).rename(state / index / name.partition(".")[0])
    store._read_declared.cache_clear()


def test_what_was_kept_before_there_were_owners_is_there_for_those_who_see_all(
    guarded: Guarded, tmp_path: Path
) -> None:
    old, new = guarded.submit("alice"), guarded.submit("alice")
    as_before(tmp_path, old)
    assert guarded.engine.declared(old).owner is None
    assert list(guarded.engine.inspections()) == [new, old]
    assert list(guarded.engine.unfinished()) == [old, new]
    assert listed(guarded, "root")["inspections"] == [new, old]
    assert [item["owner"] for item in listed(guarded, "root")["items"]] == ["alice", None]
    assert listed(guarded, "alice")["inspections"] == [new]
    assert guarded.ask("alice", "GET", f"/api/v1/inspect/{old}").status_code == 404
    assert guarded.ask("root", "DELETE", f"/api/v1/inspect/{old}").status_code == 202
    assert list(guarded.engine.inspections()) == [new]
    assert os.listdir(tmp_path / "state" / "active") == os.listdir(tmp_path / "state" / "index")


@pytest.mark.parametrize(
    "name", ["alice", "system:serviceaccount:ns:robot", "o'brien@example.org", "ä/../\n", "x" * 500]
)
def test_owners_are_told_apart_whatever_they_are_called(guarded: Guarded, name: str) -> None:
    mine, other = (
        Inspections(guarded.engine, guarded.settings, Caller(who)).submit(DOCUMENT)[0].id for who in (name, f"{name}x")
    )
    for which in (guarded.engine.inspections, guarded.engine.unfinished):
        assert list(which(name)) == [mine]
        assert list(which(f"{name}x")) == [other]
        assert list(which("nobody")) == []
    guarded.engine.finish(guarded.engine.declared(mine))
    assert list(guarded.engine.unfinished(name)) == []
    assert list(guarded.engine.inspections(name)) == [mine]
    guarded.engine.delete(mine)
    assert list(guarded.engine.inspections(name)) == []


def test_no_record_is_read_to_tell_whose_inspections_there_are(guarded: Guarded) -> None:
    made = [guarded.submit("alice") for _ in range(3)]
    guarded.submit("bob")
    with mock.patch.object(Store, "declared", side_effect=AssertionError("a record was read")):
        assert list(guarded.engine.inspections("alice")) == made[::-1]
        assert list(guarded.engine.unfinished("alice")) == made


def test_what_is_declared_is_read_without_a_look_at_how_it_stands(guarded: Guarded) -> None:
    made = guarded.submit("alice")
    with mock.patch.object(Store, "build", side_effect=AssertionError("the build was looked at")):
        declared = guarded.engine.declared(made)
    assert (declared.id, declared.owner) == (made, "alice")
    with pytest.raises(InspectionNotFound):
        guarded.engine.declared("inspection-0123456789abcdef")


def test_whose_a_corrupt_record_was_is_not_known_so_that_only_who_sees_all_sees_it(
    guarded: Guarded, tmp_path: Path
) -> None:
    made = guarded.submit("alice")
    (tmp_path / "state" / "inspections" / made / "record.json").write_text("{")
    store._read_declared.cache_clear()
    assert guarded.ask("alice", "GET", f"/api/v1/inspect/{made}/status").status_code == 404
    assert guarded.ask("root", "GET", f"/api/v1/inspect/{made}/status").json()["reason"] == "StateCorrupt"
    assert listed(guarded, "alice")["inspections"] == []


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["build/log", "job/log", "job/0/log"])
@pytest.mark.parametrize("query", [{"follow": "true"}, {"follow": "false"}, {"follow": "true", "offset": "3"}])
def test_anothers_log_cannot_be_followed(guarded: Guarded, path: str, query: dict[str, str]) -> None:
    made = guarded.submit("alice")
    refused = guarded.ask("bob", "GET", f"/api/v1/inspect/{made}/{path}", params=query)
    assert refused.status_code == 404
    assert refused.json()["error"] == f"There is no inspection {made!r}."
