"""Logs from the API server, whole or as they grow."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import urllib3

from .cache import cut
from .cluster import NotFound, Refused

Answer = urllib3.BaseHTTPResponse

CHUNK = 64 << 10

SILENCE = 600.0
"""Seconds without a word after which a followed log is opened again."""

AHEAD = 16
"""Chunks that are read before somebody wants them."""

FIRST = 0.5
"""Seconds in which what there is of a log begins to come."""

LOOK_AGAIN = 1.0
"""Seconds after which it is asked again whether a log is there, or is over."""

Opened = Callable[[bool], urllib3.BaseHTTPResponse | None]
"""Opens a log from its beginning, followed or not; None while there is none."""


def read(opened: Opened, offset: int = 0) -> Iterator[bytes]:
    """The log that is there, from a byte on."""
    answer = opened(False)
    if answer is not None:
        try:
            yield from _skip(answer.stream(CHUNK), offset)
        finally:
            answer.close()


def follow(opened: Opened, over: Callable[[], bool], offset: int = 0) -> Iterator[bytes]:
    """The log as it grows, until `over` says that it will not; ``b""`` where there is nothing new.

    A connection that breaks is opened again, and what has been passed on is not passed on twice.
    """
    ending, passed = False, offset
    while True:
        answer = opened(not ending)
        if answer is not None:
            for chunk in _live(answer, passed):
                passed += len(chunk)
                yield chunk
        if ending:
            return
        yield from _idle(LOOK_AGAIN if answer is None else 0.1)
        ending = over()


def _idle(seconds: float) -> Iterator[bytes]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield b""


def _live(answer: urllib3.BaseHTTPResponse, offset: int) -> Iterator[bytes]:
    """The bytes of an open answer as they come, and ``b""`` between them; after the first, reading never waits."""
    chunks: queue.Queue[bytes | None] = queue.Queue(AHEAD)
    left = threading.Event()

    def pump() -> None:
        try:
            for chunk in _skip(answer.stream(CHUNK), offset):
                _put(chunks, chunk, left)
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError):
            pass  # broken, or cut because the reader has left
        finally:
            _put(chunks, None, left)

    threading.Thread(target=pump, name="log", daemon=True).start()
    patience = FIRST
    try:
        while True:
            try:
                chunk = chunks.get(timeout=patience)
            except queue.Empty:
                chunk = b""
            patience = 0.0
            if chunk is None:
                return
            yield chunk
    finally:
        left.set()
        cut(answer)
        answer.close()


def _put(chunks: queue.Queue[bytes | None], chunk: bytes | None, left: threading.Event) -> None:
    """Wait for room, unless the reader has left."""
    while not left.is_set():
        try:
            return chunks.put(chunk, timeout=0.5)
        except queue.Full:
            continue


def _skip(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        if count:
            chunk, count = chunk[count:], max(0, count - len(chunk))
        if chunk:
            yield chunk


def unless_waiting(open_it: Callable[[], urllib3.BaseHTTPResponse]) -> urllib3.BaseHTTPResponse | None:
    """Open a log; None while its container waits to start (400, 204), and where the pod is gone (404)."""
    try:
        answer = open_it()
    except NotFound:
        return None
    except Refused as exc:
        if exc.code == 400:
            return None
        raise
    if answer.status == 204:
        answer.close()
        return None
    return answer


def as_cri(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A log with timestamps, as the API server gives it, in the format of a container's log file (`amun.framing`).

    Containers' standard output and error come as one there; the runner's frames tell the script's apart.
    """
    rest = b""
    for chunk in chunks:
        if not chunk:
            yield b""
            continue
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            yield b"".join(map(_entry, lines))
    if rest:
        yield _entry(rest)


def _entry(line: bytes) -> bytes:
    moment, _, content = line.partition(b" ")
    return moment + b" stdout F " + content + b"\n" if line else b""
