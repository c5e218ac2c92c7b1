"""The time line of an inspection as rows of bars: what the API tells of its steps, put beside each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import words

WIDTH = 1000.0
"""Units that the whole time is wide."""

LEAST = 3.0
"""Units that the shortest step is wide, so that it is seen at all."""

NAMES = {
    "queue": "waiting for the build",
    "build": "build",
    "wait": "waiting for a place",
    "pull": "pulling the image",
    "start": "starting",
    "run": "running",
}


@dataclass(frozen=True)
class Bar:
    """One step: where it begins and how wide it is, of `WIDTH`; how long it has taken, and whether it lasts."""

    kind: str
    name: str
    x: float
    width: float
    seconds: float | None
    lasts: bool
    waiting: bool
    reason: str | None
    message: str | None


@dataclass
class Row:
    """What is done once for all items (`item` is None), or one item."""

    item: int | None
    bars: list[Bar] = field(default_factory=list)


def rows(timeline: Iterable[Mapping[str, Any]], now: str) -> list[Row]:
    """The rows, in the order of the time line; what lasts ends `now` (RFC 3339)."""
    steps = list(timeline)
    if not steps:
        return []
    start = min(step["started_at"] for step in steps)
    end = max(step["finished_at"] or now for step in steps)
    whole = words.between(start, end) or 1e-9
    found: dict[Any, Row] = {}
    for step in steps:
        found.setdefault(step["item"], Row(step["item"])).bars.append(_bar(step, start, whole, now))
    return list(found.values())


def _bar(step: Mapping[str, Any], start: str, whole: float, now: str) -> Bar:
    begun, ended = step["started_at"], step["finished_at"]
    offset = (words.between(start, begun) or 0) / whole * WIDTH
    width = max(LEAST, (words.between(begun, ended or now) or 0) / whole * WIDTH)
    return Bar(
        kind=step["step"],
        name=NAMES.get(step["step"], step["step"]),
        x=round(min(offset, WIDTH - width), 1),
        width=round(width, 1),
        seconds=words.between(begun, ended or now),
        lasts=ended is None,
        waiting=bool(step.get("waiting")),
        reason=step.get("reason"),
        message=step.get("message"),
    )
