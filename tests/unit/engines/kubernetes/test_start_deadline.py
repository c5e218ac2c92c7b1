"""A thousand that wait on a cluster cost no more than one: what is asked for them is asked once, or a few at a time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from amun.application.controller import Controller
from amun.application.inspections import Inspections
from amun.auth.callers import Caller
from amun.engines.kubernetes import records
from amun.engines.kubernetes.api_client import Refused, connect
from amun.engines.kubernetes.records import Record
from amun.engines.kubernetes.start_deadline import Patience
from amun.engines.kubernetes.turns import SHARE, Turns
from amun.engines.openshift import engine as engines
from amun.engines.openshift.engine import OpenShiftEngine
from amun.model.inspection import Inspection
from amun.model.specification import Specification
from amun.settings import Settings
from tests.cluster.apiserver import ApiServer
from tests.conftest import wait_until

MANY = 30
LONG_AGO = "2026-01-01T00:00:00Z"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture
def settings(server: ApiServer, tmp_path: Path) -> Settings:
    return Settings(engine="openshift", kubeconfig=str(server.kubeconfig(tmp_path / "kubeconfig")))


def declared(server: ApiServer, number: int) -> Record:
    """A record that is there, and its Secret."""
    name = f"inspection-{number:016x}"
    specification = Specification.from_document({"base": "debian:12", "script": "true"})
    inspection = Inspection(name, specification, "0" * 64, "sha256:" + "0" * 64, LONG_AGO, None)
    made = server.store.create(
        "ConfigMap", records.to_document(Record(inspection, f"environment-{0:032x}", "0", False))
    )
    server.store.create("Secret", {"metadata": {"name": name}})
    return records.from_document(made)


def no_pods(record: Record) -> dict[str, Any]:
    """The Job of an inspection, none of whose pods was made."""
    return {"metadata": {"name": record.inspection.id, "creationTimestamp": LONG_AGO}, "spec": {}}


def event(name: str, message: str, moment: str) -> dict[str, Any]:
    about = {"kind": "Job", "namespace": "amun-inspection", "name": name}
    metadata = {"name": f"{name}.{moment[-3:-1]}"}
    return {
        "metadata": metadata,
        "involvedObject": about,
        "reason": "FailedCreate",
        "message": message,
        "type": "Warning",
        "lastTimestamp": moment,
    }


def test_one_list_of_events_says_of_each_why_it_has_no_pods(server: ApiServer, settings: Settings) -> None:
    patience = Patience(connect(settings), start_deadline=10 * 365 * 86400)
    waiting = [declared(server, number) for number in range(MANY)]
    for record in waiting[1:]:
        name = record.inspection.id
        server.store.create("Event", event(name, "an older trouble", "2026-01-01T00:00:01Z"))
        server.store.create("Event", event(name, f"exceeded quota: that of {name}", "2026-01-01T00:00:02Z"))
    server.requests.clear()
    for record in waiting:
        assert patience.over(record, no_pods(record), ()) is None
    assert server.requests.count("list", "events") == 1
    first, *others = [server.store.get("ConfigMap", one.inspection.id)["metadata"] for one in waiting]
    assert "amun/waiting" not in first["annotations"]
    for metadata in others:
        said = json.loads(metadata["annotations"]["amun/waiting"])
        assert (said["reason"], said["message"]) == ("QuotaExceeded", f"exceeded quota: that of {metadata['name']}")


def test_who_has_just_begun_is_not_looked_for_in_events(server: ApiServer, settings: Settings) -> None:
    patience = Patience(connect(settings), start_deadline=600)
    record = declared(server, 0)
    job = no_pods(record)
    job["metadata"]["creationTimestamp"] = server.store.now()
    assert patience.over(record, job, ()) is None
    assert server.requests.count("list", "events") == 0


def test_secrets_of_many_new_records_become_theirs_a_few_at_each_look(server: ApiServer, settings: Settings) -> None:
    names = [declared(server, number).inspection.id for number in range(MANY)]
    engine = OpenShiftEngine(settings)
    with engine.leadership():
        wait_until(lambda: len(engine.unfinished()) == MANY)
        server.requests.clear()
        engine.tend()
        assert server.requests.count("patch", "secrets") == engines.ADOPTED_AT_ONCE
        for _ in range(MANY // engines.ADOPTED_AT_ONCE):
            engine.tend()
    owners = [server.store.get("Secret", name)["metadata"]["ownerReferences"][0]["name"] for name in names]
    assert owners == names
    assert server.requests.count("patch", "secrets") == MANY


def test_who_is_refused_lets_all_others_ask_before_asking_again(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, time = Turns(), [0.0]
    monkeypatch.setattr("amun.engines.kubernetes.turns.time.monotonic", lambda: time[0])
    asked = []

    def look(waiting: Sequence[str], seconds: float) -> list[str]:
        before = len(asked)
        for one in waiting:
            if turns.has(one):
                with contextlib.suppress(Refused), turns.taken(one):
                    asked.append(one)
                    time[0] += seconds
                    raise Refused("exceeded quota")
        turns.end()
        return asked[before:]

    everybody = [str(number) for number in range(10)]
    assert [look(everybody, SHARE / 4) for _ in range(3)] == [everybody[:4], everybody[4:8], everybody[8:]]
    assert look(everybody, SHARE / 4) == everybody[:4]
    few = everybody[:2]
    look(few, 0)
    assert [look(few, SHARE / 4) for _ in range(3)] == [few] * 3


def test_who_is_refused_does_not_hold_up_the_others(server: ApiServer, settings: Settings) -> None:
    inspections = Inspections(OpenShiftEngine(settings), settings, Caller("admin", admin=True))
    server.store.digests["localhost/debian:12"] = "sha256:" + "0" * 64
    for number in range(MANY):
        inspections.submit({"base": "localhost/debian:12", "environment": [{"name": "NUMBER", "value": str(number)}]})
    server.faults.refuse(403, verb="create", resource="buildconfigs/instantiate", times=None)
    server.faults.delay(SHARE / 5, verb="create", resource="buildconfigs")
    engine = OpenShiftEngine(settings)
    looks: list[list[str]] = []
    with engine.leadership():
        controller = Controller(engine)
        wait_until(lambda: len(engine.unfinished()) == MANY)
        while sum(map(len, looks)) < MANY and len(looks) < MANY:
            server.requests.clear()
            controller.sweep()
            looks.append([one.name for one in server.requests.matching("create", "buildconfigs/instantiate")])
    assert max(map(len, looks)) <= 6
    assert len({name for look in looks for name in look}) == MANY
