"""Taking apart the log of a run: container log -> lines -> frames -> what the script printed on each stream.

Two formats lie one in the other:

* outside, the container's log. A CRI log (kubelet, `podman --log-driver k8s-file`) puts `TIME stdout|stderr F|P `
  before each line, where P marks a piece of a line that goes on in the next entry of that stream
  (https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md). The Kubernetes API has
  taken that off already and puts `TIME ` before each line when asked for timestamps;
* inside, the runner's frames, one a line: `stdout F text`, `stderr P piece` and, last of all, `report F {json}`.
  F and P mean the same as outside: the line ended here, or it did not.

All decoders are incremental, so that logs can be followed while they grow, and hold one line at most. A container's log
may hold lines that no runner wrote (a runtime's complaint, a script that found a way around its pipes): they are passed
on as standard error, and never break what follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

STREAMS = ("stdout", "stderr", "report")

LONGEST_LINE = 4 << 20
"""Bytes of one log line that are kept; the rest of a longer one is dropped. Frames of output end at 8 KiB, a report at
a few dozen: longer lines are not the runner's, and must not cost memory."""


@dataclass(frozen=True)
class Frame:
    """A piece of one stream: when the engine logged it, `stdout`, `stderr` or `report`, and the bytes themselves.

    `data` ends in a line feed where the line that the script printed ended.
    """

    time: str
    stream: str
    data: bytes


class Decoder(Protocol):
    """Turns the bytes of a container log into its lines, each with the time at which it was logged."""

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]: ...

    def close(self) -> Iterator[tuple[str, bytes]]: ...


class _Lines:
    """Cuts chunks into lines, keeping at most LONGEST_LINE bytes of each."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        first, *others = chunk.split(b"\n")
        self._keep(first)
        for piece in others:
            yield self.take()
            self._keep(piece)

    def take(self) -> bytes:
        line = bytes(self._rest)
        self._rest.clear()
        return line

    def _keep(self, piece: bytes) -> None:
        self._rest += piece[: LONGEST_LINE - len(self._rest)]


class CriDecoder:
    """Decodes a CRI log file: `TIME STREAM F|P CONTENT` a line, joining the pieces of lines that the runtime split."""

    def __init__(self) -> None:
        self._lines = _Lines()
        self._pieces: dict[bytes, tuple[str, bytearray]] = {}

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield (time, content) of each line that is complete by now."""
        for entry in self._lines.feed(chunk):
            yield from self._entry(entry)

    def close(self) -> Iterator[tuple[str, bytes]]:
        """Yield what was left unfinished when the log ended, as when the container was killed amid a line."""
        yield from self._entry(self._lines.take())
        for time, content in self._pieces.values():
            yield time, bytes(content)
        self._pieces.clear()

    def _entry(self, entry: bytes) -> Iterator[tuple[str, bytes]]:
        time, stream, tag, content = (*entry.split(b" ", 3), b"", b"", b"")[:4]
        # Tags are a list joined by colons, of which only the first is defined.
        kind = tag.partition(b":")[0]
        if stream not in (b"stdout", b"stderr") or kind not in (b"F", b"P"):
            if entry:
                yield "", entry
            return
        start, pieces = self._pieces.pop(stream, (time.decode("ascii", "replace"), bytearray()))
        pieces += content[: LONGEST_LINE - len(pieces)]
        if kind == b"P":
            self._pieces[stream] = start, pieces
        else:
            yield start, bytes(pieces)


class TimestampDecoder:
    """Decodes the log that the Kubernetes API serves with `timestamps=true`: `TIME CONTENT` a line."""

    def __init__(self) -> None:
        self._lines = _Lines()

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield (time, content) of each line that is complete by now."""
        for line in self._lines.feed(chunk):
            yield self._entry(line)

    def close(self) -> Iterator[tuple[str, bytes]]:
        """Yield the last line where it had no end."""
        rest = self._lines.take()
        if rest:
            yield self._entry(rest)

    @staticmethod
    def _entry(line: bytes) -> tuple[str, bytes]:
        time, _, content = line.partition(b" ")
        return time.decode("ascii", "replace"), content


def frame(time: str, line: bytes) -> Frame | None:
    """Return the frame that a line of the container's output holds; None for an empty line, which means nothing.

    A line that is no frame comes back as one of standard error.
    """
    stream, _, rest = line.partition(b" ")
    kind, space, data = rest[:1], rest[1:2], rest[2:]
    # Something may strip the space that ends an empty frame.
    known = stream.decode("ascii", "replace")
    if known in STREAMS and kind in (b"F", b"P") and space in (b" ", b""):
        return Frame(time, known, data + b"\n" if kind == b"F" else data)
    return Frame(time, "stderr", line + b"\n") if line else None


def frames(chunks: Iterable[bytes], decoder: Decoder | None = None) -> Iterator[Frame]:
    """Yield the frames of a container log as its bytes come (by default a CRI log), and at its end what was cut off."""
    for time, line in _log_lines(chunks, decoder or CriDecoder()):
        found = frame(time, line)
        if found:
            yield found


def _log_lines(chunks: Iterable[bytes], decoder: Decoder) -> Iterator[tuple[str, bytes]]:
    for chunk in chunks:
        yield from decoder.feed(chunk)
    yield from decoder.close()
