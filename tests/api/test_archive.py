"""A service with an archive: what callers are answered before and after the engine has forgotten an inspection."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from amun.archive.layout import Archive
from amun.archive.store import Store as ArchiveStore
from amun.engines.podman.builds.builds import IMAGE
from amun.engines.podman.host.machine import for_settings
from amun.engines.podman.podman_cli import Podman
from amun.engines.podman.state.store import Store
from amun.errors import EngineUnavailable
from tests.conftest import Service, specification, wait_until
from tests.support import archive_doubles

from .conftest import SLEEPER, UNKNOWN, Api

pytestmark = pytest.mark.podman

LOUD = r"""#!/bin/sh
printf 'caf\351 \377\n' >&2
printf '{"item": %s, "text": "ü"}\n' "$AMUN_ITEM"
printf 'no line feed' >&2
"""
"""Prints JSON on one stream, and what is no text on the other."""

TEXT = {"Accept": "text/plain"}

IN_DIRECTORY = pytest.mark.parametrize("kept", ["directory"], indirect=True)
"""What does not depend on the store, or is done to a directory; stores are held to their contract by unit tests."""

KINDS = ["batch", "failed", "build-only", "build-failed", "cancelled"]


class Kept:
    """A service with an archive, as its callers see it, and the archive itself."""

    def __init__(self, service: Service, store: ArchiveStore) -> None:
        self.service = service
        self.api = Api(service.url)
        self.store = store
        self.archive = Archive(store, "test")
        machine = for_settings(service.settings)
        self._podman = Podman(machine.podman, machine.environment)

    def stored(self, inspection_id: str) -> dict[str, Any]:
        """Wait until an inspection is in the archive, and the engine says so."""

        def told() -> dict[str, Any] | None:
            document = self.api.json(f"/inspect/{inspection_id}/status")
            return document if document["status"]["data_stored"] else None

        found: dict[str, Any] = wait_until(told, 90)
        return found

    def forget(self, inspection_id: str) -> None:
        """Forget an inspection and its environment, as housekeeping does when their time is over."""
        state = Store(self.service.state_dir)
        build = state.declared(inspection_id).build
        state.discard(inspection_id)
        wait_until(lambda: not state.trash())

        def removed() -> bool:
            """Not as long as a pod of an inspection that is over is still being removed: housekeeping comes again."""
            try:
                self._podman.call("image", "rm", "--ignore", f"{IMAGE}:{build}")
            except EngineUnavailable as exc:
                if "in use by a container" not in str(exc):
                    raise
                return False
            return True

        wait_until(removed)
        state.remove_build(build)


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with archive_doubles.s3_server() as url:
        yield url


@pytest.fixture(scope="module", params=["directory", "s3"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Kept]:
    place = tmp_path_factory.mktemp("archived")
    settings: dict[str, Any] = {"workers": 1, "max_runs": 2, "grace": 1, "deployment": "test"}
    store: ArchiveStore
    if request.param == "directory":
        store = archive_doubles.directory_store(place / "archive")
        settings |= {"archive": place / "archive"}
    else:
        url = request.getfixturevalue("s3_url")
        store = archive_doubles.s3_store(url, "some/prefix")
        settings |= {"archive": f"s3://{archive_doubles.BUCKET}/some/prefix", "archive_endpoint": url}
    service = Service(place / "state", **settings)
    try:
        yield Kept(service.start(), store)
    finally:
        service.finish()


def submit(kept: Kept, base: str, kind: str) -> str:
    service = kept.service
    if kind == "cancelled":
        inspection_id = service.submit(specification(base, SLEEPER, identifier=kind, batch_size=3))
        service.wait(inspection_id, "running")
        service.client.cancel(inspection_id)
        return inspection_id
    broken = [{"path": "/etc/passwd/below", "content": "x"}]
    documents = {
        "batch": specification(base, LOUD, identifier=kind, batch_size=2, parallelism=2),
        "failed": specification(base, "echo so far; exit 3", identifier=kind, batch_size=3),
        "build-only": specification(base, None, identifier=kind),
        "build-failed": specification(base, identifier=kind, files=broken),
    }
    return service.submit(documents[kind])


def answers(api: Api, inspection_id: str) -> dict[str, Any]:
    """What every GET that names the id answers: status, type and body."""
    logs = ("/job/log", "/job/0/log", "/job/1/log")
    path = f"/inspect/{inspection_id}"
    found: dict[str, Any] = {}

    def ask(where: str, headers: dict[str, str] | None = None, **query: Any) -> None:
        response = api.get(path + where, params=query, headers=headers)
        key = f"{where} {headers} {query}"
        found[key] = response.status_code, response.headers["Content-Type"], response.content

    for where in ("", "/status", "/specification", "/job/batch-size", "/build/log", "/job/log"):
        ask(where)
    for item, what in itertools.product((0, 1, 2, 999), ("log", "result")):
        ask(f"/job/{item}/{what}")
    for where in ("/build/log", *logs):
        ask(where, TEXT, offset=7, follow="true")
    for offset in (0, 7, 10**6):
        ask("/build/log", TEXT, offset=offset)
        for where, stamped in itertools.product(logs, ("false", "true")):
            ask(where, TEXT, offset=offset, timestamps=stamped)
            for stream in ("stdout", "stderr"):
                ask(where, TEXT, offset=offset, timestamps=stamped, stream=stream)
    ask("/build/log", offset=7)
    return found


@pytest.mark.parametrize(
    ("kept", "kind"), [*(("directory", kind) for kind in KINDS), ("s3", "batch")], indirect=["kept"], scope="module"
)
def test_every_answer_is_the_same_before_and_after_the_engine_forgot(kept: Kept, base: str, kind: str) -> None:
    inspection_id = submit(kept, base, kind)
    kept.service.wait(inspection_id)
    assert kept.stored(inspection_id)["phase"] in (
        {"batch": "succeeded", "build-only": "succeeded"}.get(kind) or kind.replace("-", "_")
    )
    before = answers(kept.api, inspection_id)
    kept.forget(inspection_id)
    after = answers(kept.api, inspection_id)
    assert {key: after[key] for key in after if after[key] != before[key]} == {}
    assert after.keys() == before.keys()
    assert {code for code, _, _ in after.values()} <= {200, 404}
    assert inspection_id not in kept.api.json("/inspect")["inspections"]
    if kind == "batch":
        text = kept.api.get(f"/inspect/{inspection_id}/job/1/log", params={"stream": "stderr"}, headers=TEXT).content
        assert text == b"caf\xe9 \xff\nno line feed"
        assert kept.api.json(f"/inspect/{inspection_id}/job/1/result")["result"]["stdout"] == {"item": 1, "text": "ü"}


def test_a_deleted_inspection_is_not_in_the_archive_either(kept: Kept, base: str) -> None:
    known, forgotten = (submit(kept, base, "batch") for _ in range(2))
    for inspection_id in (known, forgotten):
        kept.stored(inspection_id)
    kept.forget(forgotten)
    for inspection_id in (known, forgotten):
        assert kept.api.ask("POST", f"/inspect/{inspection_id}/cancel").status_code == 409
        assert kept.api.ask("DELETE", f"/inspect/{inspection_id}").status_code == 202
        assert kept.archive.names(inspection_id) == set()
        assert {code for code, _, _ in answers(kept.api, inspection_id).values()} == {404}
        assert kept.api.ask("DELETE", f"/inspect/{inspection_id}").status_code == 404


@pytest.mark.parametrize(
    "path", [UNKNOWN, "..%2F..%2Fetc", "inspection-x", "%00", "inspection-0123456789abcdef%2Fbuild"]
)
def test_what_was_never_there_is_not_found(kept: Kept, path: str) -> None:
    assert kept.api.get(f"/inspect/{path}/status").status_code == 404


def test_items_are_in_the_archive_while_others_still_run(kept: Kept, base: str) -> None:
    script = '[ "$AMUN_ITEM" = 0 ] || sleep 600'
    inspection_id = kept.service.submit(specification(base, script, batch_size=2, parallelism=2))
    wait_until(lambda: "results/0/result" in kept.archive.names(inspection_id))
    assert kept.api.json(f"/inspect/{inspection_id}/status")["phase"] == "running"
    assert kept.archive.observation(inspection_id) is None
    kept.service.client.delete(inspection_id)
    wait_until(lambda: not kept.archive.names(inspection_id))


@IN_DIRECTORY
def test_a_controller_killed_at_the_end_of_an_inspection_leaves_it_to_the_next_one(kept: Kept, base: str) -> None:
    for _ in range(2):
        inspection_id = submit(kept, base, "batch")
        kept.service.wait(inspection_id)
        kept.service.kill("amun controller")
        status = kept.stored(inspection_id)
        closed = kept.archive.observation(inspection_id)
        assert closed is not None
        assert status["status"]["workflow"]["finishedAt"] == closed.finished_at


@IN_DIRECTORY
def test_an_archive_out_of_reach_stops_nobody_and_loses_nothing(kept: Kept, base: str) -> None:
    api = kept.api
    forgotten, known = (submit(kept, base, "batch") for _ in range(2))
    for inspection_id in (forgotten, known):
        kept.stored(inspection_id)
    kept.forget(forgotten)
    place = kept.service.state_dir.parent / "archive"
    away = place.rename(place.with_name("unmounted"))
    try:
        live = submit(kept, base, "batch")
        assert kept.service.wait(live)["phase"] == "succeeded"
        wait_until(lambda: "archive out of reach" in kept.service.log.read_text())
        assert not api.json(f"/inspect/{live}/status")["status"]["data_stored"]
        for inspection_id in (live, known):
            assert api.json(f"/inspect/{inspection_id}/job/0/result")["result"]["exit_code"] == 0
        for inspection_id in (forgotten, UNKNOWN):
            assert {code for code, _, _ in answers(api, inspection_id).values()} == {503}
        assert api.get(f"{api.root}/readiness").status_code == 200
        assert "amun_store_failures_total" in api.get(f"{api.root}/metrics").text
        assert not place.exists()
    finally:
        away.rename(place)
    kept.stored(live)
    assert api.json(f"/inspect/{forgotten}/status")["phase"] == "succeeded"
