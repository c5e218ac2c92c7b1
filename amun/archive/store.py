"""What the archive lies on: a place for objects that are written once, by key.

A key is a path of names: letters, digits, ``.``, ``_`` and ``-``, none of them beginning with a dot.
"""

from __future__ import annotations

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import IO

CHUNK = 64 * 1024
"""Bytes that are read at a time."""

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


def checked(key: str) -> str:
    """`key`, or ValueError if it is none: whatever is wrong above, nothing outside the place is touched."""
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is no key.")
    return key


class Store(ABC):
    """Objects by key. Any number of threads and processes use one place at once.

    Every method raises `ArchiveUnavailable` where the place cannot be used, which says nothing of what is in it.
    """

    @abstractmethod
    def put_once(self, key: str, content: IO[bytes]) -> bool:
        """Keep `content`, read from where it stands to its end, unless there is such an object: the first one stays.

        Whole or not at all, whenever this is interrupted. Says whether it was kept.
        """

    @abstractmethod
    def open(self, key: str, offset: int = 0) -> Iterator[bytes] | None:
        """The object from byte `offset` on, in chunks; None if there is none."""

    @abstractmethod
    def list(self, prefix: str) -> Iterable[str]:
        """The keys below `prefix`, which is a key itself: ``a/b`` for all that begin with ``a/b/``."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object, and all below it. Nothing there is fine."""

    def get(self, key: str) -> bytes | None:
        """All of an object; None if there is none."""
        chunks = self.open(key)
        return None if chunks is None else b"".join(chunks)

    def put_bytes(self, key: str, content: bytes) -> bool:
        """`put_once` of what is small."""
        return self.put_once(key, io.BytesIO(content))
