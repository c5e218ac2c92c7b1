"""Logs from the API server, whole or as they grow."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator

import urllib3

from amun.errors import EngineUnavailable

from .api_client import NotFound, Refused
from .informer import BROKEN, Document, cut, events

Answer = urllib3.BaseHTTPResponse

CHUNK = 64 << 10

WITHIN = 60.0
"""Seconds after its end in which the log of a Build can be read, or never can: its node may be gone."""

SILENCE = 600.0
"""Seconds without a word after which a followed log is opened again."""

AHEAD = 16
"""Chunks that are read before somebody wants them."""

FIRST = 0.5
"""Seconds in which what there is of a log begins to come."""

LOOK_AGAIN = 1.0
"""Seconds after which it is asked again whether a log is there, or is over, where no change has been seen before."""

Opened = Callable[[bool], urllib3.BaseHTTPResponse | None]
"""Opens a log from its beginning, followed or not; None while there is none."""


class Changes:
    """Tells when objects change, by a watch that begins when it is first waited for and goes on until `close`."""

    def __init__(self, opened: Callable[[], Answer], matters: Callable[[Document], bool] = lambda _: True) -> None:
        """`opened` opens the watch, which begins with what there is; `matters` tells which objects count."""
        self._opened, self._matters = opened, matters
        self._changed = threading.Event()
        self._answer: Answer | None = None

    def wait(self, seconds: float) -> Iterator[bytes]:
        """``b""`` until something has changed since the last time, for so many seconds at the most."""
        if self._answer is None:
            with contextlib.suppress(EngineUnavailable):
                self._answer = self._opened()
                threading.Thread(target=self._pump, args=(self._answer,), name="changes", daemon=True).start()
        yield from _idle(seconds, self._changed.is_set)
        self._changed.clear()

    def _pump(self, answer: Answer) -> None:
        try:
            for event in events(answer):
                if event["type"] != "BOOKMARK" and self._matters(event["object"]):
                    self._changed.set()
        except BROKEN:
            pass  # as when it ends: it is opened again
        finally:
            self._answer = None
            answer.close()

    def close(self) -> None:
        answer = self._answer
        if answer is not None:
            cut(answer)


def read(opened: Opened, offset: int = 0) -> Iterator[bytes]:
    """The log that is there, from a byte on."""
    answer = opened(False)
    if answer is not None:
        try:
            yield from _skip(answer.stream(CHUNK), offset)
        finally:
            answer.close()


def follow(opened: Opened, over: Callable[[], bool], changes: Changes, offset: int = 0) -> Iterator[bytes]:
    """The log as it grows, until `over` says that it will not; ``b""`` where there is nothing new.

    A connection that breaks is opened again, and what has been passed on is not passed on twice. Where there is no log
    yet, the `changes` of what it belongs to tell when to look again.
    """
    ending, passed = False, offset
    with contextlib.closing(changes):
        while True:
            answer = opened(not ending)
            if answer is not None:
                for chunk in _live(answer, passed):
                    passed += len(chunk)
                    yield chunk
            if ending:
                return
            yield from _idle(0.1) if answer is not None else changes.wait(LOOK_AGAIN)
            ending = over()


def _idle(seconds: float, unless: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not unless():
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
    """A log with timestamps, as the API server gives it, in the format of a container's log file
    (`amun.runs.log_frames`).

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
