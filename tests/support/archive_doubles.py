"""What the tests of the archive share: places to keep things in, an engine in memory, and ways in which stores fail."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from amun.archive.directory import DirectoryStore
from amun.archive.s3 import S3Store
from amun.archive.store import Store
from amun.engines.base import Engine, Queue, check_item
from amun.errors import ArchiveUnavailable, InspectionNotFound
from amun.model import timestamps
from amun.model.identifiers import new_id
from amun.model.inspection import Accepted, BuildState, Inspection, ItemState, Node, Observation, Submission
from amun.validation.problems import validated

BUCKET = "amun-test"
CREATED = "2026-01-01T00:00:00.000000Z"
LATER = "2026-01-01T00:01:00.000000Z"

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """A store that speaks as S3 does, in this process, with one bucket; and credentials for it. Yields its URL."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in CREDENTIALS.items():
                patch.setenv(name, value)
            boto3.session.Session().client("s3", endpoint_url=url).create_bucket(Bucket=BUCKET)
            yield url
    finally:
        server.stop()


def directory_store(path: Path) -> DirectoryStore:
    path.mkdir(exist_ok=True)
    return DirectoryStore(path)


@functools.cache
def _client(url: str) -> Any:
    return S3Store(BUCKET, "", url)._client


def s3_store(url: str, prefix: str) -> S3Store:
    """A store of its own; the client, which takes half a second to make, is shared."""
    store = S3Store(BUCKET, prefix, url)
    store._made = _client(url)
    return store


def everything(store: Store, *prefixes: str) -> dict[str, bytes]:
    """All there is below some prefixes."""
    return {key: store.get(key) or b"" for prefix in prefixes for key in sorted(store.list(prefix))}


# -- stores that fail ------------------------------------------------------------------------------------------------


class Through(Store):
    """Another store, and whatever a test wants to happen on the way to it."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def before(self, method: str, key: str) -> None:
        """Called before each use."""

    def after(self, method: str, key: str) -> None:
        """Called after each use that went well."""

    def put_once(self, key: str, content: IO[bytes]) -> bool:
        self.before("put", key)
        kept = self.inner.put_once(key, content)
        self.after("put", key)
        return kept

    def open(self, key: str, offset: int = 0) -> Iterator[bytes] | None:
        self.before("open", key)
        return self.inner.open(key, offset)

    def list(self, prefix: str) -> Iterable[str]:
        self.before("list", prefix)
        return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        self.before("delete", key)
        self.inner.delete(key)
        self.after("delete", key)


class Recorded(Through):
    """Remembers what was put, and whether it was the first."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.puts: list[tuple[str, bool]] = []

    def put_once(self, key: str, content: IO[bytes]) -> bool:
        kept = super().put_once(key, content)
        self.puts.append((key, kept))
        return kept


class FailsAtPut(Through):
    """Fails once, at the `number`-th put: before it is made, or after it without saying so."""

    def __init__(self, inner: Store, number: int, made: bool) -> None:
        super().__init__(inner)
        self.left = number
        self.made = made

    def before(self, method: str, key: str) -> None:
        if method == "put":
            self.left -= 1
            if self.left == 0 and not self.made:
                raise ArchiveUnavailable("The archive is out of reach: just now.")

    def after(self, method: str, key: str) -> None:
        if method == "put" and self.left == 0 and self.made:
            raise ArchiveUnavailable("The archive is out of reach: no answer.")


class OutOfReach(Through):
    """Fails while `broken`."""

    broken = True

    def before(self, method: str, key: str) -> None:
        if self.broken:
            raise ArchiveUnavailable("The archive is out of reach: broken.")


class Unused(Through):
    """Must not be used at all."""

    def before(self, method: str, key: str) -> None:
        raise AssertionError(f"{method} {key!r}")


class Hanging(Through):
    """Answers nothing until it is `released`."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.reached, self.released = threading.Event(), threading.Event()

    def before(self, method: str, key: str) -> None:
        self.reached.set()
        assert self.released.wait(30)


# -- an engine -------------------------------------------------------------------------------------------------------


def cri(*lines: bytes, stream: str = "stdout") -> bytes:
    """The container log of a runner that frames what a script printed, line by line."""
    return b"".join(b"2026-01-01T00:00:00.000000001Z stdout F %s F %s\n" % (stream.encode(), line) for line in lines)


def report(**more: Any) -> dict[str, Any]:
    return {"exit_code": 0, "stdout": {}, "stdout_text": "ü\n", "stderr": "", "hwinfo": {"cpu_info": {}}, **more}


class MemoryEngine(Engine):
    """Inspections that do what a test says: it sets their observation, logs and reports by hand."""

    name = "memory"

    def __init__(self) -> None:
        self.states: dict[str, Observation] = {}
        self.build_logs: dict[str, bytes] = {}
        self.item_logs: dict[tuple[str, int], Callable[[], Iterator[bytes]]] = {}
        self.reports: dict[tuple[str, int], dict[str, Any]] = {}
        self.finished: list[tuple[str, bool, str | None]] = []
        self.ran: list[str] = []

    # -- what a test does ---------------------------------------------------------------------------------------

    def add(self, batch_size: int = 1, identifier: str | None = None, **more: Any) -> str:
        """Declare an inspection whose build goes on; without items where `batch_size` is 0."""
        document = {"base": "debian:12", "identifier": identifier, "batch_size": batch_size or 1, **more}
        specification = validated({**document, "script": "true"} if batch_size else document)
        inspection = Inspection(
            new_id(identifier), specification, "0" * 64 if batch_size else None, f"sha256:{'1' * 64}", CREATED, "me"
        )
        items = tuple(ItemState(item) for item in range(batch_size))
        building = BuildState("running", started_at=CREATED)
        self.states[inspection.id] = Observation(inspection, building, items)
        self.build_logs[inspection.id] = b"STEP 1: FROM debian:12\n"
        return inspection.id

    def change(self, inspection_id: str, **changes: Any) -> Observation:
        self.states[inspection_id] = replace(self.states[inspection_id], **changes)
        return self.states[inspection_id]

    def built(self, inspection_id: str, outcome: Any = "succeeded") -> Observation:
        image = "localhost/amun@sha256:2" if outcome == "succeeded" else None
        build = BuildState("terminated", outcome, "Completed", None, 0, CREATED, LATER, image, True, "build-1")
        return self.change(inspection_id, build=build)

    def ended(self, inspection_id: str, item: int = 0, *lines: bytes) -> Observation:
        """End an item that printed some lines."""
        log = cri(*(lines or (b"item %d" % item, b"done")))
        self.item_logs[inspection_id, item] = lambda: iter([log])
        self.reports[inspection_id, item] = report(item=item)
        items = list(self.states[inspection_id].items)
        items[item] = ItemState(item, "terminated", "succeeded", "Completed", None, 0, CREATED, LATER, 1, "node", True)
        return self.change(inspection_id, items=tuple(items))

    def over(self, batch_size: int = 1, **more: Any) -> str:
        """An inspection all of whose items have ended."""
        inspection_id = self.add(batch_size, **more)
        self.built(inspection_id)
        for item in range(batch_size):
            self.ended(inspection_id, item)
        return inspection_id

    def forget(self, inspection_id: str) -> None:
        del self.states[inspection_id]

    # -- what an engine does ------------------------------------------------------------------------------------

    def observe(self, inspection_id: str) -> Observation:
        if inspection_id not in self.states:
            raise InspectionNotFound(f"There is no inspection {inspection_id!r}.")
        return self.states[inspection_id]

    def declared(self, inspection_id: str) -> Inspection:
        return self.observe(inspection_id).inspection

    def build_log(self, inspection_id: str, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        self.observe(inspection_id)
        return iter(filter(None, [self.build_logs[inspection_id][offset:]]))

    def item_log(self, inspection_id: str, item: int, follow: bool = False) -> Iterator[bytes]:
        check_item(self.declared(inspection_id), item)
        return self.item_logs.get((inspection_id, item), lambda: iter(()))()

    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        check_item(self.declared(inspection_id), item)
        return self.reports.get((inspection_id, item))

    def inspections(self, owner: str | None = None) -> Sequence[str]:
        return list(reversed(self.states))

    def unfinished(self, owner: str | None = None) -> Sequence[str]:
        return [name for name, observation in self.states.items() if observation.finished_at is None]

    def run(self, inspection: Inspection) -> None:
        self.ran.append(inspection.id)

    def give_up(self, inspection_id: str, reason: str, message: str) -> None:
        observation = self.states[inspection_id]
        error = BuildState("terminated", "error", reason, message, finished_at=LATER)
        self.states[inspection_id] = replace(observation, build=error)

    def finish(self, inspection: Inspection, stored: bool = False, at: str | None = None) -> None:
        self.finished.append((inspection.id, stored, at))
        self.change(inspection.id, finished_at=at or timestamps.now(), data_stored=stored)

    def delete(self, inspection_id: str) -> None:
        self.observe(inspection_id)
        self.forget(inspection_id)

    def submit(self, submission: Submission, key: str | None = None, fingerprint: str | None = None) -> Accepted:
        inspection = submission.inspection
        self.states[inspection.id] = Observation(inspection, BuildState())
        return Accepted(inspection.id, False)

    def check(self) -> None:
        pass

    def nodes(self, *, free: bool = True) -> Sequence[Node]:
        return []

    def resolve(self, base: str) -> str | None:
        return None

    def has_environment(self, environment: str) -> bool:
        return False

    def cancel(self, inspection_id: str) -> None:
        self.change(inspection_id, cancelled_at=timestamps.now())

    def queue(self) -> Queue:
        return Queue()

    def leadership(self) -> AbstractContextManager[bool]:
        return contextlib.nullcontext(True)

    def build(self, inspection: Inspection) -> None:
        pass

    def stop(self, inspection: Inspection) -> None:
        pass

    def tend(self) -> None:
        pass

    def wait(self, timeout: float) -> None:
        pass
