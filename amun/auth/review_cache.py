"""Reviews that are remembered for a short time, lest each request of a caller be three to the cluster.

They are kept by the digest of the credential, never by itself. What is remembered is also what is not known yet to have
been taken back, so the time is a setting. That the cluster was out of reach is never remembered.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable

from cachetools import TTLCache

from amun.errors import Forbidden, Unauthenticated

from .callers import Caller, Reviewer

MAX = 4096
"""Reviews that are remembered, of those who may come in, and as many of those who may not."""

STRIPES = 64
"""Locks by which credentials are reviewed once, however many requests come with one at the same time."""

Refusal = tuple[type[Unauthenticated | Forbidden], str]


class Remembering(Reviewer):
    """Asks `reviewer` once in `seconds` for each credential."""

    def __init__(self, reviewer: Reviewer, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._reviewer = reviewer
        # Apart, so that nobody can make us forget who is good by coming with many that are not.
        self._good: TTLCache[bytes, Caller] = TTLCache(MAX, seconds, clock)
        self._bad: TTLCache[bytes, Refusal] = TTLCache(MAX, seconds, clock)
        self._keeping = threading.Lock()
        self._locks = [threading.Lock() for _ in range(STRIPES)]

    def check(self) -> None:
        self._reviewer.check()

    def recall(self, credential: str) -> Caller | None:
        return self._recall(_digest(credential))

    def _recall(self, digest: bytes) -> Caller | None:
        with self._keeping:
            refusal, caller = self._bad.get(digest), self._good.get(digest)
        if refusal is not None:
            raise refusal[0](refusal[1])
        return caller

    def review(self, credential: str) -> Caller:
        digest = _digest(credential)
        with self._locks[digest[0] % STRIPES]:
            known = self._recall(digest)  # somebody with the same one may have been quicker
            if known is not None:
                return known
            try:
                caller = self._reviewer.review(credential)
            except (Unauthenticated, Forbidden) as exc:
                with self._keeping:
                    self._bad[digest] = type(exc), str(exc)
                raise
            with self._keeping:
                self._good[digest] = caller
            return caller


def _digest(credential: str) -> bytes:
    return hashlib.sha256(credential.encode()).digest()
