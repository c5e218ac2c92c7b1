"""A full disk under the state directory: what cannot be kept is tried again, and ends as `REASON` in bounded time.

The ending itself takes room. Where a log of its own has filled the disk, that makes some; else it is written when there
is room again.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

from . import files

REASON = "DiskFull"
MESSAGE = "The disk of the service was full."

TRIES = 5
"""How often, one time after the other, the disk may be too full for what is to be kept, before that is given up."""

LEAST = 64 * 1024
"""Bytes that must fit on the disk of the state directory; with less it is full."""

LARGE = 1 << 20
"""Bytes from which on a log counts among those that fill a disk; a smaller one is never cut."""

KEPT = 4
"""A log that has to make room keeps this part of itself: one of so many."""


class Room:
    """Counts how often there was no room for what is to be kept of a build or an item."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._times: Counter[str] = Counter()
        self._filled: set[str] = set()
        self._lock = threading.Lock()

    def wanting(self, what: str) -> bool:
        """Whether there was no room for it, so that some of what it printed may be lost."""
        return self._times[what] > 0

    def too_often(self, what: str, log: Path) -> bool:
        """There was no room again: True once that was enough. Its log is cut before, if that may help."""
        with self._lock:
            self._times[what] += 1
            if self._times[what] >= TRIES and _cut(log):
                self._filled.add(what)
        return self._times[what] > TRIES

    def filled_by(self, what: str, log: Path) -> bool:
        """Whether the disk is full and this log among what fills it; then it need not be tried as often."""
        if files.size(log) < LARGE or _left(self._place) >= LEAST:
            return False
        with self._lock:
            self._times[what] = max(self._times[what], TRIES - 1)
            self._filled.add(what)
        return True

    def by_itself(self, what: str) -> bool:
        """Whether it was its own log that left no room: it would again."""
        return what in self._filled

    def over(self, what: str) -> None:
        """It was kept after all, or its ending was."""
        with self._lock:
            self._times.pop(what, None)
            self._filled.discard(what)


def _left(place: Path) -> int:
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def _cut(log: Path) -> bool:
    """Make room by a log if it is large; says whether it was."""
    if large := (size := files.size(log)) >= LARGE:
        os.truncate(log, size // KEPT)
    return large
