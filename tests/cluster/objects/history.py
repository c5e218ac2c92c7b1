"""What happened to the objects of one kind, in order, for watches; and the queues of in-process subscribers."""

from __future__ import annotations

import bisect
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import errors

from .entries import Entry


@dataclass(frozen=True)
class Event:
    """One change. `entry` is the object after it, or as it was last (DELETED); `before` is what it was."""

    type: str  # ADDED, MODIFIED, DELETED
    kind: str
    version: int
    entry: Entry
    before: Entry | None = None

    @property
    def object(self) -> dict[str, Any]:
        """A copy of the object, the caller's own to change."""
        return self.entry.copy()


@dataclass
class History:
    """The last `limit` events of a kind; who asks for older ones is told 410."""

    limit: int = 100_000
    floor: int = 0  # what happened up to this version is forgotten
    events: list[Event] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def append(self, event: Event) -> None:
        with self.changed:
            self.events.append(event)
            if len(self.events) > self.limit:
                self._forget(len(self.events) - self.limit // 2)
            self.changed.notify_all()

    def expire(self, version: int) -> None:
        """Forget all up to this version."""
        with self.changed:
            self._forget(bisect.bisect_right(self.events, version, key=_version))
            self.floor = max(self.floor, version)
            self.changed.notify_all()

    def _forget(self, count: int) -> None:
        if count:
            self.floor = self.events[count - 1].version
            del self.events[:count]

    def since(self, version: int, timeout: float | None = None) -> list[Event]:
        """What happened after a version, waiting for something to happen; raises `ApiError` 410 if it is forgotten."""
        with self.changed:
            if self._nothing_since(version) and timeout:
                self.changed.wait(timeout)
            if version < self.floor:
                raise errors.expired(f"too old resource version: {version} ({self.floor})")
            return self.events[bisect.bisect_right(self.events, version, key=_version) :]

    def _nothing_since(self, version: int) -> bool:
        return version >= self.floor and (not self.events or self.events[-1].version <= version)

    def wake(self) -> None:
        """Let all who wait look again."""
        with self.changed:
            self.changed.notify_all()


def _version(event: Event) -> int:
    return event.version


class Subscription:
    """The events of some kinds, in one order, for a controller in this process."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def put(self, event: Event | None) -> None:
        self._queue.put(event)

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when closed, or when none came in time."""
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def __iter__(self) -> Iterator[Event]:
        """All events until the subscription is closed."""
        while (event := self._queue.get()) is not None:
            yield event

    def close(self) -> None:
        """End who iterates."""
        self._queue.put(None)
