"""Whether reports come from the same kind of hardware: only then does a comparison say something of the stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MEMORY = "hwinfo.memory.total_bytes"

SLACK = 0.02
"""Machines of one kind differ by so much in what firmware and kernel leave of the memory."""

FLAGS = "hwinfo.cpu_features.flags"

LOOKED_AT = (
    "hwinfo.cpu_info.vendor_id_raw",
    "hwinfo.cpu_info.family",
    "hwinfo.cpu_info.model",
    FLAGS,
    MEMORY,
)
"""Paths into a report."""

CPU_LIMIT = "run.requests.cpu"
"""What a run may use of its node, which is what was requested."""

Profile = tuple[Any, ...]


def profile(report: Mapping[str, Any], cpu_limit: float) -> Profile:
    """What hardware a report comes from: a value for each path of `LOOKED_AT`, None where not known, and CPUs."""
    return (*(_comparable(path, _at(report, path)) for path in LOOKED_AT), cpu_limit)


def unlike(profiles: Sequence[Sequence[Profile]]) -> list[dict[str, Any]]:
    """In what the hardware of inspections differs, or of one inspection's items.

    :param profiles: of each inspection those that its counted items have.
    :returns: path and a value for each inspection; a list of values where its own items differ; of CPU flags those that
        not all have.
    """
    found = []
    for index, path in enumerate((*LOOKED_AT, CPU_LIMIT)):
        values = [list(dict.fromkeys(one[index] for one in of_inspection)) for of_inspection in profiles]
        if not _alike(path, [value for own in values for value in own]):
            found.append({"path": path, "values": _told(path, values)})
    return found


def _alike(path: str, values: Sequence[Any]) -> bool:
    if path == MEMORY and all(isinstance(value, int | float) and value > 0 for value in values):
        return bool(max(values) <= min(values) * (1 + SLACK))
    return len(set(values)) <= 1


def _told(path: str, values: Sequence[Sequence[Any]]) -> list[Any]:
    if path == FLAGS:
        known = [set(flags) for own in values for flags in own if flags is not None]
        common = set.intersection(*known) if known else set()
        values = [[None if flags is None else " ".join(sorted(set(flags) - common)) for flags in own] for own in values]
    return [own[0] if len(own) == 1 else list(own) for own in values]


def _at(report: Mapping[str, Any], path: str) -> Any:
    value: Any = report
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _comparable(path: str, value: Any) -> Any:
    """Reports are strangers' documents: flags that are no list are not known, nor is another value that is one."""
    if path == FLAGS:
        return tuple(sorted(map(str, value))) if isinstance(value, list) else None
    return value if isinstance(value, str | int | float) else None
