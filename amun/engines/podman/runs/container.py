"""What `podman container inspect` says, as far as Amun asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amun.model import timestamps

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time: it has not happened."""


@dataclass(frozen=True)
class Container:
    """A container of ours.

    Attributes:
        monitor: process id of conmon, which ends when the container has ended; 0 where it is not known.
        process: process id of its first process; 0 once that has ended.
        running: whether podman believes that it runs.
        writable: directories on this machine that hold what the container writes.
    """

    monitor: int
    process: int
    running: bool
    exit_code: int
    oom_killed: bool
    started_at: str | None
    finished_at: str | None
    writable: tuple[Path, ...]

    @classmethod
    def from_inspection(cls, document: Mapping[str, Any]) -> Container:
        state = document["State"]
        volumes = [mount["Source"] for mount in document.get("Mounts") or () if mount.get("Type") == "volume"]
        # Of the drivers only overlay has a directory of what a container has changed; vfs says null here.
        layer = ((document.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir")
        return cls(
            monitor=state.get("ConmonPid") or _monitor(document.get("ConmonPidFile")),
            process=state.get("Pid", 0),
            running=state["Status"] == "running",
            exit_code=state["ExitCode"],
            oom_killed=state.get("OOMKilled", False),
            started_at=_moment(state.get("StartedAt")),
            finished_at=_moment(state.get("FinishedAt")),
            writable=tuple(Path(path) for path in ([layer] if layer else []) + volumes),
        )


def _moment(text: str | None) -> str | None:
    """Podman writes local time with nanoseconds; the API, UTC with microseconds."""
    return None if not text or text == NEVER else timestamps.timestamp(timestamps.seconds(text))


def _monitor(path: str | None) -> int:
    try:
        return int(Path(path or "").read_text())
    except (OSError, ValueError):
        return 0
