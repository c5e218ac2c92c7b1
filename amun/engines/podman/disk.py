"""What a run writes to this machine's disk: Podman sets no limit on most file systems, so Amun looks.

Counting a run's files disturbs what is measured. So the free space of the disk is asked first, which costs nothing,
and the files are only counted once it has shrunk by as much as the run may still write. Inodes run out as space does:
every file counts for at least what its inode is worth.

What a script leaves is removed before Podman comes to it: at some ten thousand directories, one in the other, Podman
fails, and refuses all other work from then on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import EngineUnavailable
from . import uproot
from .command import Podman
from .container import Container

INODE = 4096
"""Bytes that a file counts for in addition to its content: what file systems reserve for each."""

BLOCK = 512
"""Unit of st_blocks, see stat(2)."""

PATIENCE = 60.0
"""Seconds that counting may take: more files than that are too many."""

DESCRIPTORS = 100_000
"""Open files of a run that are looked at."""


class DiskGuard:
    """Tells when what a run has written is more than `limit` bytes, whether its files still have names or not.

    `process` is one of its container's, `writable` the directories that hold what the container writes.
    """

    def __init__(self, podman: Podman, process: int, writable: Sequence[Path], limit: int) -> None:
        self._podman = podman
        self._process = process
        self._directories = [path for path in writable if path.is_dir()]
        self._limit = limit
        self._allowance = limit
        self._most_left = self._left()

    def exceeded(self) -> bool:
        left = self._left()
        self._most_left = max(self._most_left, left)
        if self._most_left - left < self._allowance:
            return False
        used = self._used()
        # Others write to the disk too, so it was not this run; it need not be counted again before it can have been.
        self._most_left, self._allowance = left, max(self._limit - used, self._limit // 8)
        return used > self._limit

    def _left(self) -> int:
        """Bytes that are free on the disk, inodes included."""
        if not self._directories:
            return 0
        status = os.statvfs(self._directories[0])
        return status.f_bavail * status.f_frsize + status.f_favail * INODE

    def _used(self) -> int:
        try:
            kilobytes, inodes = self._du("-skx"), self._du("-sx", "--inodes")
        except subprocess.TimeoutExpired:
            return self._limit + 1
        return kilobytes * 1024 + inodes * INODE + nameless(self._process, self._directories)

    def _du(self, *options: str) -> int:
        """Sum up what du(1) says of the directories; it complains of what vanishes meanwhile, and goes on."""
        command = ["du", *options, "--", *map(str, self._directories)]
        said = self._podman.on_files(*command, timeout=PATIENCE)
        return sum(int(line.split(b"\t")[0]) for line in said.splitlines())


def nameless(process: int, directories: Sequence[Path]) -> int:
    """Bytes in files that the container of a process has deleted and still has open, or mapped."""
    devices, found = set(), {}
    with suppress(OSError):
        places = [Path(f"/proc/{process}/root"), *directories]
        devices = {os.stat(place).st_dev for place in places}
    for path, _ in zip(_descriptors(process), range(DESCRIPTORS), strict=False):
        with suppress(OSError):
            status = os.stat(path)
            if status.st_nlink == 0 and status.st_dev in devices:
                found[status.st_dev, status.st_ino] = status.st_blocks * BLOCK
    return sum(found.values())


def _descriptors(process: int) -> Iterator[str]:
    """Links to all open and mapped files of the processes that share a process's PID namespace."""
    for pid in _container_processes(process):
        for kind in ("fd", "map_files"):
            with suppress(OSError):
                yield from (f"/proc/{pid}/{kind}/{name}" for name in os.listdir(f"/proc/{pid}/{kind}"))


def _container_processes(process: int) -> Iterator[str]:
    try:
        namespace = os.readlink(f"/proc/{process}/ns/pid")
    except OSError:
        return
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                yield pid


def clear(podman: Podman, containers: Sequence[Container]) -> None:
    """Remove what containers that have ended wrote. Raises `EngineUnavailable`."""
    directories = [str(path) for container in containers for path in container.writable if path.is_dir()]
    if directories:
        try:
            podman.on_files(sys.executable, "-I", "-S", uproot.__file__, *directories, timeout=10 * PATIENCE)
        except subprocess.TimeoutExpired as exc:
            raise EngineUnavailable("The files of a run could not be removed in time.") from exc
