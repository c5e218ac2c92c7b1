"""What containers print: written by who plays the kubelet, read and followed by who asks for a log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST = 16 * 1024  # of what has no newline yet, this much is held back, as container runtimes do


@dataclass(frozen=True)
class Line:
    time: datetime
    data: bytes

    @property
    def stamp(self) -> bytes:
        """The time as ``timestamps=true`` shows it: nine digits."""
        return f"{self.time:%Y-%m-%dT%H:%M:%S}.{self.time.microsecond:06d}000Z ".encode()


class Log:
    """The log of one container: lines with their times."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lines: list[Line] = []
        self._open = b""
        self._changed = threading.Condition()
        self.closed = False

    def write(self, data: bytes | str) -> None:
        """Print something. What is no whole line yet is not seen before it is, or before it is very long."""
        with self._changed:
            *whole, self._open = (self._open + (data.encode() if isinstance(data, str) else data)).split(b"\n")
            now = self._clock()
            self._lines += [Line(now, line + b"\n") for line in whole]
            while len(self._open) >= LONGEST:
                self._lines.append(Line(now, self._open[:LONGEST]))
                self._open = self._open[LONGEST:]
            self._changed.notify_all()

    def close(self) -> None:
        """The container is over: who follows gets the rest, and the end."""
        with self._changed:
            if self._open:
                self._lines.append(Line(self._clock(), self._open))
                self._open = b""
            self.closed = True
            self._changed.notify_all()

    @property
    def content(self) -> bytes:
        with self._changed:
            return b"".join(line.data for line in self._lines) + self._open

    def read(
        self, tail: int | None = None, since: datetime | None = None, timestamps: bool = False
    ) -> tuple[bytes, int]:
        """What is there, and the position to go on from."""
        with self._changed:
            lines, end = self._lines, len(self._lines)
        chosen = lines[:end]
        if since is not None:
            chosen = [line for line in chosen if line.time >= since]
        if tail is not None:
            chosen = chosen[-tail:] if tail else []
        return _printed(chosen, timestamps), end

    def follow(self, position: int, timestamps: bool = False, patience: float = 0.5) -> Iterator[bytes]:
        """What comes after a position until the log is closed; ``b""`` where nothing came for a while."""
        while True:
            with self._changed:
                if len(self._lines) == position and not self.closed:
                    self._changed.wait(patience)
                fresh, closed = self._lines[position:], self.closed
                position += len(fresh)
            yield _printed(fresh, timestamps)
            if closed and not fresh:
                return


def _printed(lines: list[Line], timestamps: bool) -> bytes:
    if not timestamps:
        return b"".join(line.data for line in lines)
    starts = [True, *(line.data.endswith(b"\n") for line in lines)]
    return b"".join(line.stamp + line.data if start else line.data for line, start in zip(lines, starts, strict=False))
