"""The machine that the figures come from."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from amun.engines.podman.host.machine import Machine


def describe(machine: Machine) -> str:
    """One line: processor, cores, memory, system, Podman and how it is used."""
    podman = f"Podman {machine.version} {'rootless' if machine.rootless else 'as root'}, {machine.runtime}"
    return f"{plain()}; {podman}; network of runs: {machine.run_network}."


def plain() -> str:
    """Processor, cores, memory, system and Python."""
    processor = _first("/proc/cpuinfo", r"^model name\s*:\s*(.+)$") or platform.machine()
    kibibytes = int(_first("/proc/meminfo", r"^MemTotal:\s+(\d+) kB$") or 0)
    parts = [
        f"{len(os.sched_getaffinity(0))} cores of {processor}",
        f"{kibibytes / 2**20:.0f} GiB of memory",
        _first("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)"?$') or platform.system(),
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
    ]
    return "; ".join(parts)


def _first(path: str, pattern: str) -> str | None:
    try:
        found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None
