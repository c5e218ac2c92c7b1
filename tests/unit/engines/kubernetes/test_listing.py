"""Lists of inspections on a cluster: complete at once on every replica, and no dearer the more is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.application.inspections import Inspections
from amun.auth.callers import Caller
from amun.auth.rate_limits import Limits, Rates
from amun.engines.kubernetes import names, records
from amun.engines.kubernetes.records import Final, Record
from amun.engines.openshift.engine import OpenShiftEngine
from amun.errors import TooManyRequests
from amun.model.inspection import BuildState, Inspection, ItemState
from amun.settings import Settings
from amun.validation.problems import validated
from tests.cluster.apiserver import ApiServer
from tests.cluster.serving.recording import Record as Request
from tests.conftest import wait_until

DOCUMENT = {"base": "debian:12", "script": "true"}
ADMIN = Caller("admin", admin=True)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture
def settings(server: ApiServer, tmp_path: Path) -> Settings:
    return Settings(engine="openshift", kubeconfig=str(server.kubeconfig(tmp_path / "kubeconfig")))


def replica(settings: Settings, caller: Caller = ADMIN, **rates: int) -> Inspections:
    """The API of one process."""
    return Inspections(OpenShiftEngine(settings), settings, caller, Limits(Rates(**rates)))


def watches(server: ApiServer) -> None:
    """Wait until a replica watches the records."""
    wait_until(lambda: server.requests.count("watch", "configmaps"))


def keep(server: ApiServer, count: int, phase: str = "succeeded", moment: str = "2026-01-01T00:00:00Z") -> list[str]:
    """Put closed inspections of one moment there, oldest first."""
    made = []
    for index in range(count):
        name = f"inspection-{phase.replace('_', '-')}-{index:016x}"
        specification = validated({**DOCUMENT, "identifier": phase.replace("_", "-")})
        inspection = Inspection(name, specification, "0" * 64, "sha256:" + "0" * 64, moment, None)
        record = Record(inspection, f"environment-{0:032x}", "0", False)
        server.store.create("ConfigMap", records.to_document(record))
        build = BuildState("terminated", "failed" if phase == "build_failed" else "succeeded", finished_at=moment)
        outcome: Any = "succeeded" if phase == "succeeded" else "failed"
        item = ItemState(0, "terminated", outcome, finished_at=moment)
        server.store.patch("ConfigMap", name, records.closed(record, moment, Final(build, (item,), False), phase))
        made.append(name)
    return made


def test_what_one_replica_accepted_every_replica_shows_at_once(server: ApiServer, settings: Settings) -> None:
    first, second = replica(settings), replica(settings)
    second.page(1, 10)
    server.faults.delay(60, verb="watch", resource="configmaps")  # its watch says nothing for as long as this takes
    wait_until(lambda: second._whole._index._cache.synced.is_set())  # type: ignore[attr-defined]
    accepted = [first.submit(DOCUMENT)[0].id for _ in range(3)]
    items, total = second.page(1, 10)
    assert [item["inspection_id"] for item in items] == sorted(accepted, key=accepted.index, reverse=True)
    assert total == 3
    second.delete(accepted[0])
    assert first.page(1, 10)[1] == 2


def test_what_was_accepted_long_before_is_listed_newest_first(server: ApiServer, settings: Settings) -> None:
    old = keep(server, 3, moment="2026-01-01T00:00:00Z")
    older = keep(server, 2, "failed", moment="2025-01-01T00:00:00Z")
    service = replica(settings)
    new = service.submit(DOCUMENT)[0].id
    for _ in range(2):  # before it watches, and while it does
        items, total = service.page(1, 10)
        assert [item["inspection_id"] for item in items] == [new, *old[::-1], *older[::-1]]
        assert total == 6
        watches(server)


def test_a_record_of_a_version_without_the_label_is_listed(server: ApiServer, settings: Settings) -> None:
    service = replica(settings)
    service.page(1, 1)
    watches(server)
    made = service.submit(DOCUMENT)[0].id
    server.store.patch("ConfigMap", made, {"metadata": {"labels": {names.ACCEPTED: None}}})
    wait_until(lambda: service.page(1, 1)[1] == 1)


def test_pages_and_phases_cost_the_same_however_many_are_kept(server: ApiServer, settings: Settings) -> None:
    keep(server, 10)
    replica(settings).submit(DOCUMENT)
    costs = []
    for more in (0, 300):
        keep(server, more, "failed")
        service = replica(settings, ADMIN, open=10)
        service.page(1, 10)
        watches(server)
        costs.append([asked(server, service.page, 1, 10), asked(server, service.submit, DOCUMENT)])
    few, many = costs
    assert few[0][0] == many[0][0] <= 5  # what is new, the records, and Jobs, Builds and pods of one that is open
    assert few[1][0] == many[1][0]
    assert many[0][1] < 1.2 * few[0][1] + 2000  # bytes; the caller's own are one more


def test_phases_of_what_is_closed_are_known_without_looking_at_each(server: ApiServer, settings: Settings) -> None:
    succeeded, failed = keep(server, 30), keep(server, 20, "build_failed")
    service = replica(settings)
    waiting = service.submit(DOCUMENT)[0].id
    items, total = service.page(2, 8, phase="build_failed")
    assert [item["inspection_id"] for item in items] == failed[::-1][8:16]
    assert total == 20
    assert service.page(1, 100, phase="succeeded")[1] == len(succeeded)
    items, total = service.page(1, 100, phase="queued")
    assert ([item["inspection_id"] for item in items], total) == ([waiting], 1)
    watches(server)
    requests, _ = asked(server, service.page, 1, 1, "build_failed")
    assert requests <= 10  # what is new, what is open with all that it has, and the records of the page


def test_callers_see_and_are_limited_by_their_own(server: ApiServer, settings: Settings) -> None:
    keep(server, 3)
    ann, other = replica(settings, Caller("ann"), open=2), replica(settings, Caller("ann"), open=2)
    assert ann.page(1, 10) == ([], 0)
    watches(server)
    mine = [service.submit(DOCUMENT)[0].id for service in (ann, other)]
    for service in (ann, other):
        with pytest.raises(TooManyRequests, match="2 of your inspections"):
            service.submit(DOCUMENT)
        assert sorted(item["inspection_id"] for item in service.page(1, 10)[0]) == sorted(mine)
    assert replica(settings, Caller("eve")).page(1, 10, phase="queued") == ([], 0)


def test_lists_go_on_while_no_watch_can_be_had(server: ApiServer, settings: Settings) -> None:
    server.faults.refuse(500, verb="watch", times=None)
    service = replica(settings)
    made = [service.submit(DOCUMENT)[0].id for _ in range(2)]
    for _ in range(3):
        items, total = service.page(1, 10)
        assert ([item["inspection_id"] for item in items], total) == (made[::-1], 2)


def asked(server: ApiServer, call: Callable[..., object], *arguments: Any) -> tuple[int, int]:
    """Requests of a call, and bytes of their answers."""
    server.requests.clear()
    call(*arguments)
    made: list[Request] = [one for one in server.requests if not one.watch]
    return len(made), sum(one.size for one in made)


def test_a_damaged_record_costs_a_page_no_more_than_another(server: ApiServer, settings: Settings) -> None:
    inspections = replica(settings)
    name, *_ = keep(server, 3)
    server.store.update("ConfigMap", name, lambda record: record["binaryData"].update(inspection="AAAA"))
    inspections.page(1, 1)
    watches(server)
    server.requests.clear()
    items, total = inspections.page(1, 10)
    assert (len(items), total) == (3, 3)
    assert server.requests.summary() == {"list configmaps": 2}
