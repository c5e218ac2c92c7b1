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
import time
from collections.abc import Sequence
from pathlib import Path

from amun.engines.podman.podman_cli import Podman
from amun.errors import EngineUnavailable

from . import deleted_files, remove_tree
from .container import Container

INODE = 4096
"""Bytes that a file counts for in addition to its content: what file systems reserve for each."""

PATIENCE = 60.0
"""Seconds that counting may take: more files than that are too many."""


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
        self._count_until = 0.0

    def exceeded(self, patience: float = PATIENCE) -> bool:
        """Look once. Counting is given up after `patience` seconds, and tells nothing if that is less than it may take.

        Otherwise there are too many files, or Podman, whom a user who is not root has to ask, waited for a lock of its
        own. So then the disk has to have shrunk by far more than the run may write, too.
        """
        left = self._left()
        self._most_left = max(self._most_left, left)
        if self._most_left - left < self._allowance:
            return False
        self._count_until = time.monotonic() + min(patience, PATIENCE)
        used = self._used()
        if used is None:
            return patience >= PATIENCE and self._most_left - self._left() > 2 * self._limit
        # Others write to the disk too, so it was not this run; it need not be counted again before it can have been.
        self._most_left, self._allowance = left, max(self._limit - used, self._limit // 8)
        return used > self._limit

    def _left(self) -> int:
        """Bytes that are free on the disk, inodes included."""
        if not self._directories:
            return 0
        status = os.statvfs(self._directories[0])
        return status.f_bavail * status.f_frsize + status.f_favail * INODE

    def _used(self) -> int | None:
        """Bytes that count; None if they could not be counted in time."""
        try:
            return self._du("-skx") * 1024 + self._du("-sx", "--inodes") * INODE + self._nameless()
        except subprocess.TimeoutExpired:
            return None

    def _nameless(self) -> int:
        """Bytes in files that the container has deleted and still has open, or mapped."""
        program = (sys.executable, "-I", "-S", deleted_files.__file__)
        return int(self._said(*program, str(self._process), *map(str, self._directories)) or 0)

    def _du(self, *options: str) -> int:
        """Sum up what du(1) says of the directories; it complains of what vanishes meanwhile, and goes on."""
        said = self._said("du", *options, "--", *map(str, self._directories))
        return sum(int(line.split(b"\t")[0]) for line in said.splitlines())

    def _said(self, *command: str) -> bytes:
        return self._podman.on_files(*command, timeout=self._count_until - time.monotonic())


def clear(podman: Podman, containers: Sequence[Container]) -> None:
    """Remove what containers that have ended wrote. Raises `EngineUnavailable`."""
    directories = [str(path) for container in containers for path in container.writable if path.is_dir()]
    if directories:
        try:
            podman.on_files(sys.executable, "-I", "-S", remove_tree.__file__, *directories, timeout=10 * PATIENCE)
        except subprocess.TimeoutExpired as exc:
            raise EngineUnavailable("The files of a run could not be removed in time.") from exc
