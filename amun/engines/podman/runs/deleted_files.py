"""Counts the files that a container has deleted: run as `python -I -S nameless.py PROCESS DIRECTORY…`, by `disk`.

PROCESS is one of the container's, and the directories are those that it writes to; what is printed are bytes. Only who
may look into the processes of others sees their files, which is why this is a program. It imports nothing but the
standard library.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

BLOCK = 512
"""Unit of st_blocks, see stat(2)."""

DESCRIPTORS = 100_000
"""Open files of a container that are looked at."""


def nameless(process: int, directories: Sequence[str]) -> int:
    """Bytes in files that the container of a process has deleted and still has open, or mapped."""
    devices, found = set(), {}
    with suppress(OSError):
        devices = {os.stat(place).st_dev for place in (f"/proc/{process}/root", *directories)}
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


if __name__ == "__main__":
    print(nameless(int(sys.argv[1]), sys.argv[2:]))
