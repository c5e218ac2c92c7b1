"""Reviews that are remembered for a short time, lest each request of a caller be three to the cluster.

They are kept by the digest of the credential, never by itself. What is remembered is also what is not known yet to have
been taken back, so the time is a setting. That the cluster was out of reach is never remembered.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import Forbidden, Unauthenticated
from .base import Caller, Reviewer

MAX = 4096
"""Reviews that are remembered, of those who may come in, and as many of those who may not."""

STRIPES = 64
"""Locks by which credentials are reviewed once, however many requests come with one at the same time."""

Refusal = tuple[type[Unauthenticated | Forbidden], str]
Kept = TypeVar("Kept")


class Remembering(Reviewer):
    """Asks `reviewer` once in `seconds` for each credential."""

    def __init__(self, reviewer: Reviewer, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._reviewer = reviewer
        # Apart, so that nobody can make us forget who is good by coming with many that are not.
        self._good = _Memory[Caller](seconds, clock)
        self._bad = _Memory[Refusal](seconds, clock)
        self._locks = [threading.Lock() for _ in range(STRIPES)]

    def check(self) -> None:
        self._reviewer.check()

    def recall(self, credential: str) -> Caller | None:
        return self._recall(_digest(credential))

    def _recall(self, digest: bytes) -> Caller | None:
        refusal = self._bad.get(digest)
        if refusal is not None:
            raise refusal[0](refusal[1])
        return self._good.get(digest)

    def review(self, credential: str) -> Caller:
        digest = _digest(credential)
        with self._locks[digest[0] % STRIPES]:
            known = self._recall(digest)  # somebody with the same one may have been quicker
            if known is not None:
                return known
            try:
                caller = self._reviewer.review(credential)
            except (Unauthenticated, Forbidden) as exc:
                self._bad.put(digest, (type(exc), str(exc)))
                raise
            self._good.put(digest, caller)
            return caller


class _Memory(Generic[Kept]):
    """Values by digest, each for so many seconds, the newest `MAX` of them. Safe for many threads."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[bytes, tuple[float, Kept]] = {}

    def get(self, digest: bytes) -> Kept | None:
        with self._lock:
            until, value = self._kept.get(digest, (0.0, None))
            return value if self._clock() < until else None

    def put(self, digest: bytes, value: Kept) -> None:
        with self._lock:
            now = self._clock()
            self._kept.pop(digest, None)  # so that the oldest come first
            self._kept[digest] = (now + self._seconds, value)
            while len(self._kept) > MAX or next(iter(self._kept.values()))[0] < now:
                del self._kept[next(iter(self._kept))]


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()
