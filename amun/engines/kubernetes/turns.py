"""Whose turn it is to ask the cluster for something, where many wait: none of them holds up the others for long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from amun.errors import EngineUnavailable

SHARE = 0.5
"""Seconds of one look at all inspections that may go by in asking; what is left waits for the next."""


class Turns:
    """Shares the time of a look. Who was refused asks again after all others had their turn."""

    def __init__(self) -> None:
        self._spent = 0.0
        self._refused: set[str] = set()

    def has(self, who: str) -> bool:
        """Whether it is somebody's turn in this look."""
        return self._spent < SHARE and who not in self._refused

    @contextlib.contextmanager
    def taken(self, who: str) -> Iterator[None]:
        """Take a turn. What the cluster does not do in it is a refusal."""
        begun = time.monotonic()
        try:
            yield
        except EngineUnavailable:
            self._refused.add(who)
            raise
        finally:
            self._spent += time.monotonic() - begun

    def end(self) -> None:
        """End a look."""
        if self._spent < SHARE:
            self._refused.clear()
        self._spent = 0.0
