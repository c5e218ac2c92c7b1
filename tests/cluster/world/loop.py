"""A work queue as controllers have it: each key is called once however often it was asked for, one at a time."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from tests.cluster.errors import ApiError

Key = tuple[str, ...]
AGAIN = 0.05  # seconds until a call that met a conflict is repeated


class Loop:
    """Calls handlers by name. They are level-triggered: what they are told is where to look, not what happened."""

    def __init__(self) -> None:
        self.failures: list[BaseException] = []
        self._handlers: dict[str, Callable[..., None]] = {}
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._muted = self._stopped = False
        self._thread = threading.Thread(target=self._run, name="world", daemon=True)

    def handle(self, name: str, handler: Callable[..., None]) -> None:
        """Call `handler` with the rest of each key that begins with `name`."""
        self._handlers[name] = handler

    def add(self, *key: str, after: float = 0.0) -> None:
        """Ask for a call, at the latest so many seconds from now."""
        when = time.monotonic() + after
        with self._changed:
            if when < self._due.get(key, float("inf")):
                self._due[key] = when
                heapq.heappush(self._heap, (when, next(self._count), key))
                self._changed.notify()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(10)

    def mute(self, muted: bool) -> None:
        """Call nothing until it is taken back; what is asked for meanwhile is called then."""
        with self._changed:
            self._muted = muted
            self._changed.notify()

    def _run(self) -> None:
        while (key := self._next()) is not None:
            try:
                self._handlers[key[0]](*key[1:])
            except ApiError as error:
                if error.code == 409:
                    self.add(*key, after=AGAIN)
                elif error.code != 404:  # what is gone comes back by an event, if it does
                    self.failures.append(error)
            except Exception as failure:
                self.failures.append(failure)

    def _next(self) -> Key | None:
        with self._changed:
            while not self._stopped:
                left = self._heap[0][0] - time.monotonic() if self._heap else None
                if self._muted or left is None or left > 0:
                    self._changed.wait(None if self._muted else left)
                    continue
                when, _, key = heapq.heappop(self._heap)
                if self._due.get(key) == when:
                    del self._due[key]
                    return key
        return None
