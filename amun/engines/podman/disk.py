"""How much a run writes to this machine's disk: Podman sets no limit on most file systems, so Amun looks.

Walking a run's files disturbs what is measured. So the free space of the disk is asked first, which costs nothing,
and the files are only counted once it has shrunk by as much as one run may write.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

BLOCK = 512
"""Unit of st_blocks, see stat(2)."""


def used(directory: Path) -> int:
    """Bytes that the files below a directory take on the disk; what vanishes while it is counted counts nothing."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_blocks * BLOCK
            except OSError:
                continue
    return total


class DiskGuard:
    """Tells when what a run has written to `directories` is more than `limit` bytes."""

    def __init__(self, directories: Sequence[Path], limit: int) -> None:
        self._directories = [path for path in directories if path.is_dir()]
        self._limit = limit
        self._free_at_start = self._free()

    def exceeded(self) -> bool:
        if self._free_at_start - self._free() < self._limit:
            return False
        return sum(map(used, self._directories)) > self._limit

    def _free(self) -> int:
        if not self._directories:
            return 0
        status = os.statvfs(self._directories[0])
        return status.f_bavail * status.f_frsize
