"""Processes on this machine: those of a build that was killed, and waiting for one that is not our child.

The steps of a build are no children of podman's once it is killed, and in whose cgroup they are depends on the
machine. But every build has a directory of its own mounted, which its steps therefore show in their mountinfo.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from pathlib import Path

from .command import Podman, PodmanError

MARK = "mark"
"""Directory in that of a build that is mounted into its steps."""


def kill_build(podman: Podman, build: Path) -> None:
    """Kill every step of a build that still runs, podman itself included, and remove the containers they ran in."""
    mark = f"{build.name}/{MARK} "
    for process in _processes():
        if mark in _read(process / "mountinfo"):
            container = dict(pair.split("=", 1) for pair in _read(process / "environ").split("\0") if "=" in pair).get(
                "HOSTNAME"
            )
            _kill(process)
            if container:
                with contextlib.suppress(PodmanError):
                    podman.call("container", "rm", "--force", "--time", "0", container)
        elif f"{build}/image\0" in _read(process / "cmdline"):
            _kill(process)


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdecimal() and path.name != str(os.getpid())]


def _kill(process: Path) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(int(process.name), signal.SIGKILL)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


class Watch:
    """Wakes up when a process ends, or when it is told to. The process need not be a child."""

    def __init__(self, pid: int) -> None:
        """Watch process `pid`; one that is gone already has ended."""
        self._told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._told, select.POLLIN)
        self._process: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._process = os.pidfd_open(pid)
            self._poll.register(self._process, select.POLLIN)

    def tell(self) -> None:
        """Wake the waiting thread up."""
        os.eventfd_write(self._told, 1)

    def ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True if the process has ended."""
        if self._process is None:
            return True
        woken = {descriptor for descriptor, _ in self._poll.poll(timeout * 1000)}
        if self._told in woken:
            os.eventfd_read(self._told)
        return self._process in woken

    def close(self) -> None:
        for descriptor in (self._told, self._process):
            if descriptor is not None:
                os.close(descriptor)
