"""What a container takes of memory and processes, where no control group holds it.

A Podman of a user who is not root sets no limits under control groups v1, nor without a controller. Resource limits,
setrlimit(2), take their place as far as they can. That of processes counts those of a user id, so a run gets one of its
own (`user_of`), as it does on a cluster; builds share that of Podman itself. That of memory holds one process. So Amun
looks as well, and ends the container that has more than it may.

Who is watched need not be this user's: everything is read that proc(5) shows to everybody, but for the memory that is
shared by several processes, which Podman can see.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

from amun.engines.podman.podman_cli import Podman

TICK = 0.5
"""Seconds between two looks."""

ENFORCED_BY = {"memory": "fallback", "pids": "fallback"}
"""Limits that are held in this way; that of the CPU cannot be."""

NAMES = {"cpu": "cpu", "memory": "memory", "pids": "processes"}
"""Names of control groups' limits for callers."""

GIBIBYTE = 1 << 30
PAGE = os.sysconf("SC_PAGE_SIZE")
COUNTED = {b"Pss:": 1, b"Pss_File:": -1, b"SwapPss:": 1}
"""Lines of smaps_rollup, proc_pid_smaps(5)."""

PATIENCE = 10.0
AGAIN = 2.0
"""Seconds for which shared memory is not counted again, unless there is more of it."""

USERS = 4096
"""How many user ids runs have; the range that a user who is not root was given may be small, see subuid(5)."""

HELPERS, HELPERS_OF_RUN = 1024, 32
"""Processes and threads of Podman's own under the id that builds have, without and for each run."""


def weak_limits(limits: Collection[str]) -> dict[str, str]:
    """How the limits are enforced that control groups do not enforce: ``fallback`` or ``none``, by their names."""
    return {name: ENFORCED_BY.get(limit, "none") for limit, name in NAMES.items() if limit not in limits}


def data_limit(memory: int) -> int:
    """Bytes that one process may have of its own (RLIMIT_DATA) in a container that may use `memory` bytes.

    It is above that because programs ask for more than they use, for the stacks of threads above all.
    """
    return 2 * memory + GIBIBYTE


def build_processes(limit: int, builds: int, runs: int) -> int:
    """Processes and threads that the user id of builds may have, each of which may have `limit`.

    It is the one that Podman's own processes have, which are therefore counted as well, for all builds and runs.
    """
    return limit * builds + HELPERS + HELPERS_OF_RUN * runs


def ulimit(name: str, wanted: int) -> str:
    """Podman's word for a resource limit (``data``, ``nproc``), of no more than may be set here."""
    highest = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    limit = wanted if highest == resource.RLIM_INFINITY else min(wanted, highest)
    return f"{name}={limit}:{limit}"


def user_of(pod: str, first: int) -> int:
    """One of the `USERS` ids from `first` on for a pod: most likely no other's of those that run."""
    return first + zlib.crc32(pod.encode()) % USERS


class Process(NamedTuple):
    """A process of proc(5): how many threads it has, and how many bytes of memory."""

    pid: int
    threads: int
    resident: int


class UsageGuard:
    """Tells when a container has more processes and threads, or bytes of memory, than these; None for any number."""

    def __init__(self, podman: Podman, memory: int | None, processes: int | None = None) -> None:
        self._podman = podman
        self._memory = memory
        self._processes = processes
        self._counted_at = float("-inf")
        self._count_from = 0

    @property
    def needed(self) -> bool:
        return self._memory is not None or self._processes is not None

    def exceeded(self, first: int) -> str | None:
        """Which of ``memory`` and ``processes`` the container of this first process has too much of."""
        if not self.needed or not first:
            return None
        tree = list(descent(first))
        if self._processes is not None and sum(process.threads for process in tree) > self._processes:
            return "processes"
        return "memory" if self._memory is not None and self._uses_more(tree, self._memory) else None

    def _uses_more(self, tree: list[Process], limit: int) -> bool:
        """Memory that processes share is in the sum for each of them: only what is above that is counted with care."""
        resident = sum(process.resident for process in tree)
        now = time.monotonic()
        if resident <= limit or (resident < self._count_from and now < self._counted_at + AGAIN):
            return False
        used = self._proportional(tree)
        self._counted_at, self._count_from = now, resident + (limit - used) // 2
        return used > limit

    def _proportional(self, tree: list[Process]) -> int:
        """Bytes that these processes have in memory or swap, shared ones divided among those who share them.

        What is of files on disk is left out: the kernel can take it back.
        """
        files = [f"/proc/{process.pid}/smaps_rollup" for process in tree]
        try:
            said = self._podman.on_files("cat", *files, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return 0
        lines = (line.split() for line in said.splitlines())
        return sum(COUNTED[line[0]] * int(line[1]) * 1024 for line in lines if line[0] in COUNTED)


def descent(first: int) -> Iterator[Process]:
    """A process and all that come of it. Orphans of a container become children of its first process."""
    children: dict[int, list[int]] = defaultdict(list)
    found: dict[int, Process] = {}
    for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))):
        with suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # a program's name may hold anything
            found[pid] = Process(pid, int(fields[17]), int(fields[21]) * PAGE)
            children[int(fields[1])].append(pid)
    left = [first] if first in found else []
    while left:
        pid = left.pop()
        left += children[pid]
        yield found[pid]
