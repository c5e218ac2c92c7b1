"""Logs without what nobody should read in them: the values of variables where a builder quotes them, and passwords.

What is masked keeps its length, a ``*`` for each byte, so that an offset into a log means the same before and after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from amun.model.file_path import HOME

from .dockerfile import VENV

SHORTEST = 6
"""Bytes from which on a password is masked wherever it stands; a shorter one could be a part of any word."""

LINE_MAX = 1 << 20
"""Bytes of a line that are held back until its end has come."""

# Builders quote each instruction before they do what it says, and once more where that fails.
_ENV = re.compile(rb'(?P<before>(?:^|[\r\n])STEP \d+/\d+: ENV |building at STEP "ENV )(?P<values>[^\r\n]*)')
_OURS = (f'PATH="{VENV}/bin:'.encode(), f"HOME={HOME}".encode())


class Mask:
    """Hides the values of `ENV` instructions and some words; `secrets` are what they are elsewhere in the text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        words = sorted({each.encode() for each in secrets if len(each.encode()) >= SHORTEST}, key=len, reverse=True)
        self._words = re.compile(b"|".join(map(re.escape, words))) if words else None

    def of(self, lines: bytes) -> bytes:
        """Whole lines, masked."""
        masked = _ENV.sub(_hidden_values, lines)
        return self._words.sub(lambda word: b"*" * len(word[0]), masked) if self._words else masked

    def stream(self, chunks: Iterator[bytes], skip: int = 0) -> Iterator[bytes]:
        """The chunks of a log, line by line, without the first `skip` bytes; ``b""`` (nothing new yet) is passed on."""
        held = b""
        for chunk in chunks:
            held += chunk
            cut = max(held.rfind(b"\n"), held.rfind(b"\r")) + 1 or (len(held) if len(held) > LINE_MAX else 0)
            ready, held = self.of(held[:cut]), held[cut:]
            if ready[skip:] or not chunk:
                yield ready[skip:]
            skip = max(0, skip - len(ready))
        if rest := self.of(held)[skip:]:
            yield rest

    def rewrite(self, file: BinaryIO) -> None:
        """Mask what is in a file, in its place."""
        at = 0
        for chunk in self.stream(iter(lambda: file.read(1 << 16), b"")):
            back = file.tell()
            file.seek(at)
            file.write(chunk)
            at += len(chunk)
            file.seek(back)


def _hidden_values(line: re.Match[bytes]) -> bytes:
    values = line["values"]
    return line[0] if values.startswith(_OURS) else line["before"] + b"*" * len(values)
