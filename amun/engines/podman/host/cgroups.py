"""Control groups (cgroups(7)): reading back which limits a process has, and a group for builds.

Podman's own limit on processes does not reach builds, and root's processes are not counted by `ulimit -u`; so each
build of a rootful Podman lives under a group of its own whose `pids.max` holds for everything below it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from decimal import Decimal
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
BUILDS = "amun-builds"
STEP = "step"
"""Group below that of a build, for its steps: the runtime removes what it is given after each of them."""

CPU_PERIOD = 100_000
"""Microseconds over which a share of the processors is measured; the kernel's own default."""

# Files that hold the limit a process has, by version of control groups.
LIMITS = {
    "v2": {"cpu": "cpu.max", "memory": "memory.max", "pids": "pids.max"},
    "v1": {"cpu": "cpu.cfs_quota_us", "memory": "memory.limit_in_bytes", "pids": "pids.max"},
}


def applied(process: Path, version: str, root: Path = ROOT) -> tuple[str, ...]:
    """Which of cpu, memory and pids are limited for a process of /proc, as its control groups say."""
    groups = dict(_groups((process / "cgroup").read_text()))
    found = []
    for controller, file in LIMITS[version].items():
        place = root / groups.get("", "").lstrip("/")
        if version == "v1":
            place = root / controller / groups.get(controller, "").lstrip("/")
        with contextlib.suppress(OSError):
            if _limited((place / file).read_text().split()[0]):
                found.append(controller)
    return tuple(found)


def most_processes(process: Path, version: str, root: Path = ROOT) -> int | None:
    """How many processes its control groups, those above included, let a process of /proc have; None for any number."""
    path = dict(_groups((process / "cgroup").read_text())).get("pids" if version == "v1" else "", "")
    place = (root / "pids" if version == "v1" else root) / path.lstrip("/")
    found = []
    for directory in (place, *place.parents):
        with contextlib.suppress(OSError):
            if _limited(value := (directory / "pids.max").read_text().strip()):
                found.append(int(value))
    return min(found, default=None)


def options(limits: Collection[str], cpu: Decimal, memory: int) -> list[str]:
    """Options of ``podman build`` and ``run`` for those of cpu and memory that can be limited; cores and bytes."""
    options = []
    if "cpu" in limits:
        options += ["--cpu-period", str(CPU_PERIOD), "--cpu-quota", str(round(cpu * CPU_PERIOD))]
    if "memory" in limits:
        options += ["--memory", str(memory)]
    return options


def group_for_builds(version: str, root: Path = ROOT) -> str | None:
    """Make the group that all builds live under; returns its path as control groups write it, None if it may not be.

    A build is given a group of its own in it, see `parent_of_steps`.
    """
    place = (root / "pids" if version == "v1" else root) / BUILDS
    try:
        if version == "v2":
            (root / "cgroup.subtree_control").write_text("+pids")
        place.mkdir(exist_ok=True)
        if version == "v2":
            (place / "cgroup.subtree_control").write_text("+pids")
    except OSError:
        return None
    return f"/{BUILDS}"


def parent_of_steps(group: str, build: str) -> str:
    """What ``podman build --cgroup-parent`` is given."""
    return f"{group}/{build}/{STEP}"


def limit_build(build: str, processes: int, root: Path = ROOT) -> None:
    """Make the group of one build, in that of all, and say how many processes it may have."""
    for place in _places(build, root):
        with contextlib.suppress(OSError):
            place.mkdir(exist_ok=True)
            (place / "pids.max").write_text(str(processes))


def remove_build(build: str, root: Path = ROOT) -> None:
    """Remove the groups of a build that has ended; those in which something runs stay."""
    for place in (root / BUILDS / build, *root.glob(f"*/{BUILDS}/{build}")):
        for directory in (place / STEP, place):
            with contextlib.suppress(OSError):
                directory.rmdir()


def _places(build: str, root: Path) -> Iterator[Path]:
    """The group of a build, by either version; only one of them is there."""
    yield from (place / build for place in (root / "pids" / BUILDS, root / BUILDS) if place.is_dir())


def _limited(value: str) -> bool:
    """Unlimited is `max`, -1, or as many pages as there can be."""
    return value not in ("max", "-1") and int(value) < 1 << 60


def _groups(text: str) -> Iterator[tuple[str, str]]:
    """/proc/PID/cgroup: lines of ID:CONTROLLER,CONTROLLER:PATH, without controllers for version 2."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        yield from ((controller, path) for controller in controllers.split(","))
