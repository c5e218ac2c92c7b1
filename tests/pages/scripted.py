"""An engine that shows what a test wants seen, and the real service on it: no Podman, nothing runs.

Each `Scene` is one inspection as an engine would know it: its states, its logs, the reports of its items.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn

from amun import engines
from amun.auth.api_keys import new_key
from amun.auth.callers import Reviewer
from amun.composition import create_app
from amun.engines.base import Engine, Queue, check_item
from amun.errors import InspectionNotFound
from amun.model import timestamps
from amun.model.inspection import Accepted, BuildState, Inspection, ItemState, Node, Observation, Submission
from amun.settings import Settings
from amun.validation.problems import validated
from tests.conftest import wait_until

START = 1_795_000_000.0
"""When scenes begin, in seconds since the epoch."""

REPORT: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "cases" / "reports" / "conv2d-batch.json").read_text()
)
HWINFO = {
    **REPORT["hwinfo"],
    "memory": {"total_bytes": 24 << 30},
    "cgroup": {"version": 2, "cpu_limit": 1.5, "memory_limit_bytes": 512 << 20},
    "gpus": [],
}


def at(seconds: float) -> str:
    """RFC 3339, so many seconds after the start."""
    return timestamps.timestamp(START + seconds)


def printed(text: str, stream: str = "stdout") -> bytes:
    """The container log of a run that printed `text`: its runner's frames in a CRI log."""
    moment, log = at(10), bytearray()
    for line in text.encode("utf-8", "surrogatepass").splitlines(keepends=True):
        for start in range(0, len(line), 8192):
            piece = line[start : start + 8192]
            tag = b"F" if piece.endswith(b"\n") else b"P"
            log += f"{moment} stdout F {stream} ".encode() + tag + b" " + piece.rstrip(b"\n") + b"\n"
    return bytes(log)


def report(values: dict[str, Any] | None = None, wall: float = 1.0, **more: Any) -> dict[str, Any]:
    """The report of a run that printed these values as its JSON object, and took so long."""
    return {
        **REPORT,
        "exit_code": 0,
        "stdout": values or {},
        "stdout_text": json.dumps(values) if values else "",
        "stderr": "",
        "hwinfo": HWINFO,
        "start_datetime": at(10),
        "end_datetime": at(10 + wall),
        "datetime": at(10),
        "quality": "clean",
        "reasons": [],
        **more,
    }


@dataclass
class Scene:
    """One inspection: what an engine would tell of it now."""

    observation: Observation
    build_log: bytes = b""
    logs: dict[int, bytes] = field(default_factory=dict)
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.observation.inspection.id


def scene(
    number: int = 1,
    identifier: str | None = "matmul",
    phase: str = "succeeded",
    reports: Sequence[dict[str, Any]] = (),
    message: str | None = None,
    **fields: Any,
) -> Scene:
    """An inspection in a phase: `succeeded`, `failed`, `build_failed`, `running` or `queued`."""
    items = len(reports) or int(fields.pop("batch_size", 1))
    document = {"base": "debian:12", "script": "#!/bin/sh\ntrue\n", "identifier": identifier, **fields}
    warmup = document.get("warmup", 0)
    specification = validated({**document, "batch_size": items - warmup})
    name = f"inspection-{identifier}-{number:016x}" if identifier else f"inspection-{number:016x}"
    digest = "sha256:" + hashlib.sha256(document["base"].encode()).hexdigest()
    inspection = Inspection(name, specification, "0" * 64, digest, at(number))
    build = _build(phase, number, message)
    states = tuple(_item(index, phase, number, message) for index in inspection.items)
    closed = None if phase in ("running", "queued") else at(number + 30)
    made = Scene(Observation(inspection, build, states, finished_at=closed), b"STEP 1/4: FROM debian:12\n")
    if phase != "queued" and phase != "build_failed":
        made.reports = dict(enumerate(reports)) or {index: report({}) for index in inspection.items}
        made.logs = {index: printed(f"hello from item {index}\n") for index in inspection.items}
    return made


def _build(phase: str, number: int, message: str | None) -> BuildState:
    if phase == "queued":
        return BuildState(reason="BuildQueued", message=message or "The build waits for its turn.")
    begun = BuildState("terminated", "succeeded", None, None, 0, at(number + 2), at(number + 9), "localhost/x@sha256:1")
    if phase == "build_failed":
        return replace(begun, outcome="failed", reason="BuildFailed", message=message, exit_code=1, image=None)
    return begun


def _item(index: int, phase: str, number: int, message: str | None) -> ItemState:
    begin = number + 10 + index
    if phase in ("queued", "build_failed"):
        return ItemState(index)
    if phase == "running" and index:
        return ItemState(index, "waiting", reason="RunQueued", message="The run waits for its turn.")
    if phase == "running":
        return ItemState(index, "running", started_at=at(begin), node="this-machine", placed_at=at(begin - 0.5))
    ended = ItemState(
        index, "terminated", "succeeded", "Completed", None, 0, at(begin), at(begin + 1), node="this-machine"
    )
    ended = replace(ended, placed_at=at(begin - 0.5))
    if phase == "failed":
        return replace(ended, outcome="failed", reason="NonZeroExit", message=message or "Exit code 3.", exit_code=3)
    return ended


class ScriptedEngine(Engine):
    """Knows the scenes it is given, newest first. What is submitted becomes one more, and stays queued."""

    name = "scripted"

    def __init__(self, scenes: Sequence[Scene] = ()) -> None:
        self.scenes = {each.id: each for each in scenes}
        self.lock = threading.Lock()

    def put(self, *scenes: Scene) -> None:
        """Show these, first of all."""
        with self.lock:
            self.scenes = {each.id: each for each in scenes} | self.scenes

    def _scene(self, inspection_id: str) -> Scene:
        try:
            return self.scenes[inspection_id]
        except KeyError:
            raise InspectionNotFound(f"There is no inspection {inspection_id!r}.") from None

    def check(self) -> None: ...

    def nodes(self, *, free: bool = True) -> Sequence[Node]:
        return [Node("this-machine", "amd64", 2.0, 24 << 30, HWINFO)]

    def resolve(self, base: str) -> str | None:
        return None

    def has_environment(self, environment: str) -> bool:
        return any(each.observation.inspection.environment == environment for each in self.scenes.values())

    def submit(self, submission: Submission, key: str | None = None, fingerprint: str | None = None) -> Accepted:
        self.put(
            Scene(
                Observation(
                    submission.inspection,
                    BuildState(reason="BuildQueued"),
                    tuple(ItemState(each) for each in submission.inspection.items),
                )
            )
        )
        return Accepted(submission.inspection.id, False)

    def inspections(self, owner: str | None = None) -> Sequence[str]:
        return [name for name, each in self.scenes.items() if owner in (None, each.observation.inspection.owner)]

    def declared(self, inspection_id: str) -> Inspection:
        return self._scene(inspection_id).observation.inspection

    def observe(self, inspection_id: str) -> Observation:
        return self._scene(inspection_id).observation

    def build_log(self, inspection_id: str, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        found = self._scene(inspection_id)
        return self._following(lambda: found.build_log, lambda: found.observation.build.outcome, offset, follow)

    def item_log(self, inspection_id: str, item: int, follow: bool = False) -> Iterator[bytes]:
        found = self._scene(inspection_id)
        check_item(found.observation.inspection, item)

        def over() -> bool:  # also when it was deleted meanwhile
            return inspection_id not in self.scenes or found.observation.items[item].outcome is not None

        return self._following(lambda: found.logs.get(item, b""), over, 0, follow)

    def _following(self, read: Any, over: Any, offset: int, follow: bool) -> Iterator[bytes]:
        while True:
            ended = over() or not follow
            text = read()
            for start in range(offset, len(text), 1 << 16):
                yield text[start : start + (1 << 16)]
            offset = max(offset, len(text))
            if ended:
                return
            yield b""

    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        found = self._scene(inspection_id)
        check_item(found.observation.inspection, item)
        return found.reports.get(item) if found.observation.items[item].outcome else None

    def cancel(self, inspection_id: str) -> None:
        found = self._scene(inspection_id)
        found.observation = replace(found.observation, cancelled_at=at(100), finished_at=at(101))
        found.observation = replace(
            found.observation,
            items=tuple(
                replace(each, state="terminated", outcome="error", reason="Cancelled")
                if each.state == "running"
                else each
                for each in found.observation.items
            ),
        )

    def delete(self, inspection_id: str) -> None:
        self._scene(inspection_id)
        with self.lock:
            self.scenes = {name: each for name, each in self.scenes.items() if name != inspection_id}

    def queue(self) -> Queue:
        return Queue()

    # Nobody controls it.

    def leadership(self) -> AbstractContextManager[bool]:
        return contextlib.nullcontext(False)

    def unfinished(self, owner: str | None = None) -> Sequence[str]:
        return []

    def build(self, inspection: Inspection) -> None: ...

    def run(self, inspection: Inspection) -> None: ...

    def stop(self, inspection: Inspection) -> None: ...

    def give_up(self, inspection_id: str, reason: str, message: str) -> None: ...

    def finish(self, inspection: Inspection, stored: bool = False, at: str | None = None) -> None: ...

    def tend(self) -> None: ...

    def wait(self, timeout: float) -> None: ...


class Served:
    """The service on an engine, at a port of this machine, in a thread of this process."""

    def __init__(self, engine: Engine, reviewer: Reviewer | None = None, **settings: Any) -> None:
        given = {"auth": "none", "log_level": "ERROR", "engine": "podman", **settings}
        self.app = create_app(Settings(**given), engine, reviewer)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(self.app, log_config=None, timeout_graceful_shutdown=0))
        self._thread = threading.Thread(target=self._run, name="served", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve([self.socket]))

    def __enter__(self) -> Served:
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)


def keys(file: Path, *names: str) -> dict[str, str]:
    """Write a file of API keys; returns the key of each name."""
    made = {name: new_key(name) for name in names}
    file.write_text("".join(f"{entry}\n" for _, entry in made.values()))
    return {name: key for name, (key, _) in made.items()}


__all__ = ["REPORT", "Scene", "ScriptedEngine", "Served", "engines", "keys", "printed", "report", "scene"]
