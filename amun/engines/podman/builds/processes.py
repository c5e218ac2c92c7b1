"""The processes of a build: finding them, and ending them without leaving something behind.

The steps of a build are no children of podman's once it is killed, and in whose cgroup they are depends on the
machine. But every build has a directory of its own mounted, which its steps therefore show in their mountinfo.

Podman leaves its working containers behind if it is killed, and takes a step whose first process was killed for one
that succeeded. So what that process started is killed: it fails, as it would by itself, and podman cleans up. Only if
that does not help, all is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "mark"
"""Directory in that of a build that is mounted into its steps."""

PATIENCE = 5.0
"""Seconds that podman has to fail by itself."""

PAUSE = 0.1


def kill(build: Path) -> None:
    """End the build in this directory, if it runs; takes up to `PATIENCE` seconds."""
    end = time.monotonic() + PATIENCE
    while _podman(build) and time.monotonic() < end:
        _kill(step for step in _steps(build) if not _is_first(step))
        time.sleep(PAUSE)
    _kill(_podman(build))
    _kill(_steps(build))


def _podman(build: Path) -> list[Path]:
    """Podman itself, and the shell that waits for it."""
    argument = f"\0{build}/image\0"
    return [process for process in _processes() if argument in _read(process / "cmdline")]


def _steps(build: Path) -> list[Path]:
    source = f"{build.name}/{MARK} "
    return [process for process in _processes() if source in _read(process / "mountinfo")]


def first(build: Path) -> int:
    """Process id of the first process of the step that runs; 0 if none does."""
    return next((int(process.name) for process in _steps(build) if _is_first(process)), 0)


def writing(build: Path) -> tuple[int, Path] | None:
    """The first process of the step that runs, and the directory that holds what the step writes (overlayfs)."""
    for process in filter(_is_first, _steps(build)):
        for line in _read(process / "mountinfo").splitlines():
            fields = line.split(" ")
            if fields[4:5] == ["/"] and (upper := re.search(r"upperdir=([^,]+)", fields[-1])):
                return int(process.name), Path(upper[1])
    return None


def _is_first(process: Path) -> bool:
    """Whether it is process 1 of its container (NSpid, see proc_pid_status(5))."""
    numbers = [line.split() for line in _read(process / "status").splitlines() if line.startswith("NSpid:")]
    return bool(numbers) and numbers[0][-1] == "1"


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdecimal() and path.name != str(os.getpid())]


def _kill(processes: Iterable[Path]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(process.name), signal.SIGKILL)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
