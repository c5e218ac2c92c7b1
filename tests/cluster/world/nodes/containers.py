"""Starting one container of a pod, and what its status says."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.objects.logs import Log
from tests.cluster.world.builds.builder import Builder
from tests.cluster.world.builds.images import BUILDER, Image

from . import statuses
from .processes import Container, Process
from .volumes import HOME, Files

if TYPE_CHECKING:
    from tests.cluster.world.world import World

Document = dict[str, Any]

LONGEST_MESSAGE = 4096
LONGEST_TAIL, MOST_LINES = 2048, 80  # of a log that stands in for a message
_FIELD = re.compile(r"metadata\.(\w+)\['(.*)'\]")


@dataclass
class Running:
    """A container that was started."""

    name: str
    field: str
    first: bool
    image: Image
    log: Log
    message_file: Path
    tail: bool
    started: str
    identity: str
    clock: Callable[[], str]
    process: Container
    out_of_memory: bool = False
    _ended: Document | None = None

    def say(self, pod: Document, now: str) -> None:
        """Write how it is into the status of its pod."""
        if self.process.exit_code is None:
            statuses.running(pod, self.name, now, self.image.reported, self.started, self.identity)
        else:
            statuses.terminated(pod, self.name, self.image.reported, self._end(self.process.exit_code))

    def _end(self, code: int) -> Document:
        if self._ended is None:
            reason = "Completed" if code == 0 else "Error"
            if self.out_of_memory and code:
                reason = "OOMKilled"
            message = self._message(code)
            if self.process.start_error:
                created = "failed to create containerd task: failed to create shim task: OCI runtime create failed"
                reason, message = "StartError", f"{created}: {self.process.start_error}"
            self._ended = {
                "exitCode": code,
                "reason": reason,
                **({"message": message} if message else {}),
                "startedAt": self.started,
                "finishedAt": self.clock(),
                "containerID": self.identity,
            }
        return self._ended

    def _message(self, code: int) -> str:
        written = self.message_file.read_bytes() if self.message_file.is_file() else b""
        if not written and self.tail and code:
            lines = self.log.content[-LONGEST_TAIL:].splitlines(keepends=True)
            written = b"".join(lines[-MOST_LINES:])
        return written[:LONGEST_MESSAGE].decode(errors="replace")


def start(
    world: World, pod: Document, spec: Document, files: Files, image: Image, ended: Callable[[], None]
) -> Running:
    """Start a container; `ended` is called when it is over."""
    store, metadata, name = world.store, pod["metadata"], spec["name"]
    first = spec in (pod["spec"].get("initContainers") or ())
    log = store.log("Pod", metadata["name"], name, metadata["namespace"])
    identity = statuses.identity()
    process: Container
    if spec["image"] == BUILDER:
        process = Builder(world, pod, spec, log, ended)
    else:
        directory = Path(files.here(spec, spec.get("workingDir") or HOME))
        directory.mkdir(parents=True, exist_ok=True)
        _furnish(files.root(name), image)
        process = Process(
            command(spec, files),
            directory=directory,
            environment=environment(pod, spec, files, image),
            log=log,
            ended=ended,
            niceness=world.niceness,
        )
    return Running(
        name=name,
        field=f"spec.{'initContainers' if first else 'containers'}{{{name}}}",
        first=first,
        image=image,
        log=log,
        message_file=files.termination_log(name),
        tail=spec.get("terminationMessagePolicy") == "FallbackToLogsOnError",
        started=store.now(),
        identity=identity,
        clock=store.now,
        process=process,
    )


def _furnish(root: Path, image: Image) -> None:
    for path, content in image.files.items():
        file = root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def command(spec: Document, files: Files) -> list[str]:
    """The command of a container, for this machine; runners are told where their home is."""
    words = [files.here(spec, word) for word in [*(spec.get("command") or ()), *(spec.get("args") or ())]]
    for place, word in enumerate(words):
        if word.endswith("/runner.sh") and "--home" not in words:
            return [*words[: place + 1], "--home", files.here(spec, HOME), *words[place + 1 :]]
    return words


def environment(pod: Document, spec: Document, files: Files, image: Image) -> dict[str, str]:
    """The variables of a container: those of the image, and its own."""
    variables = dict(variable.partition("=")[::2] for variable in image.environment)
    variables.setdefault("HOME", "/")
    variables["HOSTNAME"] = str(pod["spec"].get("hostname") or pod["metadata"]["name"])
    for given in spec.get("env") or ():
        variables[given["name"]] = _value(pod, given)
    variables["HOME"] = files.here(spec, variables["HOME"])
    if shutil.which("python3", path=variables.get("PATH", os.defpath)) is None:
        python = Path(sys.executable).resolve().parent  # as if the image had it
        variables["PATH"] = f"{variables.get('PATH', os.defpath)}:{python}"
    return variables


def _value(pod: Document, variable: Document) -> str:
    source = (variable.get("valueFrom") or {}).get("fieldRef")
    if source is None:
        return str(variable.get("value", ""))
    if match := _FIELD.fullmatch(source["fieldPath"]):
        return str(pod["metadata"].get(match[1], {}).get(match[2], ""))
    found: Any = pod
    for name in source["fieldPath"].split("."):
        found = found.get(name) or {}
    return str(found or "")
