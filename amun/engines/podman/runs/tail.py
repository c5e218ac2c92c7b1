"""Reading a log file while it grows: chunk by chunk, never more than one in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

CHUNK = 64 * 1024


def read(path: Path, offset: int = 0, over: Callable[[], bool] | None = None) -> Iterator[bytes]:
    """The bytes of `path` from `offset` on, in chunks.

    Without `over`, those that are there. With it, all until `over` says that no more will come; ``b""`` says that there
    is nothing new, or no file yet. A file that was replaced meanwhile is read from its beginning.
    """
    with ExitStack() as opened:
        file, ending = _open(path, offset, opened), over is None
        while True:
            chunk = file.read(CHUNK) if file else b""
            if chunk:
                yield chunk
            elif file is None or _replaced(file, path):
                opened.close()
                file = _open(path, 0 if file else offset, opened)
                if file is None:
                    if ending:
                        return
                    yield b""
                    ending = over is None or over()
            elif ending:
                return
            else:
                # What is written before the end is read after it was asked for: nothing is missed.
                ending = over is None or over()
                if not ending:
                    yield b""


def until(end: Callable[[], int | None], offset: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks of a file that is read from `offset` on, as far as byte `end()`; None is its own end."""
    for chunk in chunks:
        limit = end()
        if limit is not None and offset + len(chunk) > limit:
            yield chunk[: max(0, limit - offset)]
            return
        offset += len(chunk)
        yield chunk


def _open(path: Path, offset: int, opened: ExitStack) -> BinaryIO | None:
    try:
        file: BinaryIO = opened.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None
    file.seek(offset)
    return file


def _replaced(file: BinaryIO, path: Path) -> bool:
    try:
        return os.fstat(file.fileno()).st_ino != path.stat().st_ino
    except FileNotFoundError:
        return False
