"""Where the time of an inspection went: its steps, from what an engine observed; waiting told apart from work.

``queue``
    from when it was accepted to the start of its build; waiting.
``build``
    the build; of one that it joined, the part after it was accepted. Nothing where the environment was there already.
``wait``
    of an item: from when the environment was there to when the item was given a place; waiting.
``pull``
    of an item: until its node had the image. Not known on one machine, where it is never fetched.
``start``
    of an item: until its script began: the pod is made, the hardware is described.
``run``
    of an item: the script.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from . import status
from .inspection import ItemState, Observation

Name = Literal["queue", "build", "wait", "pull", "start", "run"]

WAITING: frozenset[Name] = frozenset({"queue", "wait"})


@dataclass(frozen=True)
class Step:
    """One stretch of time; RFC 3339. `finished_at` is None while it lasts, and only then.

    Attributes:
        item: whose it is, None for what is done once for all items.
        waiting: whether nothing was done for the inspection meanwhile.
        reason: why it waits, or how it ended where that was not well; with one sentence in `message`.
    """

    step: Name
    item: int | None
    started_at: str
    finished_at: str | None
    waiting: bool
    reason: str | None = None
    message: str | None = None


def to_document(observation: Observation) -> list[dict[str, Any]]:
    """The steps so far, those of the build first, then item by item."""
    return [asdict(step) for step in _steps(observation)]


def _steps(observation: Observation) -> Iterator[Step]:
    found = status.verdict(observation)
    end = status.end(observation) if found.over else None
    yield from _of_build(observation, end)
    built = observation.build.finished_at
    if observation.build.outcome != "succeeded" or built is None:
        return
    ready = max(built, observation.inspection.created)
    for item in observation.items:
        yield from _of_item(item, ready, end)


def _of_build(observation: Observation, end: str | None) -> Iterator[Step]:
    build, created = observation.build, observation.inspection.created
    started, finished = build.started_at, build.finished_at
    if finished is not None and finished <= created:
        return
    if started is None or started > created:
        until = started or finished or end
        why = (build.reason, build.message) if started is None else (None, None)
        yield Step("queue", None, created, until, True, *why)
    if started is not None:
        why = (build.reason, build.message) if build.outcome != "succeeded" else (None, None)
        yield Step("build", None, max(started, created), finished or end, False, *why)


def _of_item(item: ItemState, ready: str, end: str | None) -> Iterator[Step]:
    """Moments that are not known, or contradict each other (clocks of two machines), make no step."""
    final = item.finished_at or end
    marks: list[tuple[Name, str | None]] = [
        ("wait", ready),
        ("pull" if item.pulled_at else "start", item.placed_at),
        ("start", item.pulled_at),
        ("run", None if item.state in ("waiting", "scheduling") else item.started_at),
    ]
    known = [(name, moment) for name, moment in marks if moment is not None]
    for (name, moment), (_, following) in zip(known, [*known[1:], (None, final)], strict=True):
        last = name == known[-1][0]
        if following is None or following >= moment:
            why = (item.reason, item.message) if last and item.outcome != "succeeded" else (None, None)
            yield Step(name, item.item, moment, following, name in WAITING, *why)
