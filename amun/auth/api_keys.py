"""Static API keys: a file of names and digests, read again whenever it changes.

::

    # NAME sha256:HEX [admin]
    alice sha256:0a1b…
    nightly-scheduler sha256:9f8e… admin

A key is 256 random bits, so its SHA-256 can be neither guessed nor looked up, and nothing slower is needed. A name may
have several lines, so that a key is replaced without a moment in which none is good.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from amun.errors import EngineUnavailable, Unauthenticated
from amun.telemetry.logs import logger

from .callers import Caller, Reviewer

NAME_RULE = "1 to 128 characters of A-Z, a-z, 0-9 and '@._:-', beginning with a letter or digit"

_NAME = r"[A-Za-z0-9][A-Za-z0-9@._:-]{0,127}"
_LINE = re.compile(rf"(?P<name>{_NAME})\s+sha256:(?P<digest>[0-9a-fA-F]{{64}})(?P<admin>\s+admin)?")


@dataclass(frozen=True)
class Entry:
    """One line of the file: whose key has this digest."""

    name: str
    digest: bytes
    admin: bool = False

    def __str__(self) -> str:
        return f"{self.name} sha256:{self.digest.hex()}{' admin' if self.admin else ''}"


def new_key(name: str, admin: bool = False) -> tuple[str, Entry]:
    """Make a key: what its owner gets, and the line for the file. Raises ValueError for what cannot be a name."""
    if not re.fullmatch(_NAME, name):
        raise ValueError(f"{name!r} cannot be the name of a caller: it must be {NAME_RULE}.")
    key = f"amun_{secrets.token_urlsafe(32)}"
    return key, Entry(name, _digest(key), admin)


def parse(text: str) -> tuple[list[Entry], list[int]]:
    """The entries of a file, and the numbers of the lines that cannot be understood."""
    entries, wrong = [], []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if match := _LINE.fullmatch(content):
            entries.append(Entry(match["name"], bytes.fromhex(match["digest"]), match["admin"] is not None))
        elif content:
            wrong.append(number)
    return entries, wrong


class KeyFile(Reviewer):
    """The keys in a file. A line that cannot be understood lets nobody in, and does not keep the others out."""

    def __init__(self, path: Path, admins: Collection[str] = ()) -> None:
        self._path = path
        self._admins = frozenset(admins)
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] | None = None
        self._entries: list[Entry] = []

    def inspect(self) -> None:
        """Raise ValueError, saying what is wrong, unless the file is there and every line can be understood."""
        try:
            entries, wrong = parse(self._path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as exc:
            raise ValueError(f"{self._path} cannot be read: {_reason(exc)}") from exc
        if wrong:
            raise ValueError(f"line {wrong[0]} of {self._path} is not `NAME sha256:HEX [admin]`")
        if not entries:
            raise ValueError(f"{self._path} has no key in it")

    def check(self) -> None:
        self._current()

    def review(self, credential: str) -> Caller:
        entry = _find(self._current(), _digest(credential))
        if entry is None:
            raise Unauthenticated("This API key is not known here.")
        return Caller(entry.name, entry.admin or entry.name in self._admins)

    def recall(self, credential: str) -> Caller:
        return self.review(credential)

    def _current(self) -> list[Entry]:
        """The entries as they are now. Raises `EngineUnavailable` if the file is gone."""
        with self._lock:
            try:
                about = self._path.stat()
                seen = (about.st_mtime_ns, about.st_size, about.st_ino, about.st_dev)
                if seen != self._seen:
                    self._read()
                    self._seen = seen
            except (OSError, UnicodeDecodeError) as exc:
                self._seen = None
                logger.error("API keys cannot be read", file=str(self._path), error=_reason(exc))
                raise EngineUnavailable("The API keys cannot be read now.") from exc
            return self._entries

    def _read(self) -> None:
        entries, wrong = parse(self._path.read_text(encoding="utf-8"))
        for number in wrong:
            logger.error("line of the API keys not understood", file=str(self._path), line=number)
        logger.info("API keys read", file=str(self._path), keys=len(entries))
        self._entries = entries


def _find(entries: Iterable[Entry], digest: bytes) -> Entry | None:
    """The entry with this digest. Every entry is compared, in constant time: how long it takes tells nothing."""
    found = None
    for entry in entries:
        if hmac.compare_digest(entry.digest, digest):
            found = entry
    return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _reason(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or "it is not text in UTF-8"
