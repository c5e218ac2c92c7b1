"""What strangers wrote, on its way to a terminal.

A script's output may hold sequences that retitle the window, fill the clipboard, answer on the user's behalf or rewrite
what was printed before (ECMA-48; xterm's control sequences). A terminal gets the text and plain colours (SGR) only;
a pipe or a file gets the bytes as they are.
"""

from __future__ import annotations

import codecs
import os
import re
from typing import TextIO

_COLOUR = r"\x1b\[[0-9;:]*m"
_SEQUENCE = re.compile(
    rf"(?P<colour>{_COLOUR})"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: cursor, screen, modes
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC with their text
    r"|\x1b[ -/]+[0-~]|\x1b[0-OQ-WYZ\\`-~]"  # charsets, resets, keypad
    r"|(?P<return>\r+\n?)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"  # what is left of C0 and C1, a stray ESC included
    r"|[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # marks that reorder text
)
_BEGUN = re.compile(r"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c\n]*\x1b?|[ -/]*)?|\r+)\Z")
_LONGEST = 4096  # A sequence begun is waited for that long; then it loses its ESC and is text.
_RESET = b"\x1b[0m"


class Sanitizer:
    """Makes text harmless, chunk by chunk: a sequence may begin in one and end in the next.

    A carriage return alone becomes a line end, so that nothing that was shown is overwritten.
    """

    def __init__(self, colour: bool) -> None:
        self._colour = colour
        self.coloured = False
        self._begun = ""

    def feed(self, text: str) -> str:
        text, self._begun = self._begun + text, ""
        begun = _BEGUN.search(text, max(0, len(text) - _LONGEST))
        if begun is not None:
            text, self._begun = text[: begun.start()], begun.group()
        return _SEQUENCE.sub(self._replacement, text)

    def end(self) -> str:
        """What was held back, now that nothing comes any more."""
        text, self._begun = self._begun, ""
        return _SEQUENCE.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        if match["return"]:
            return "\n"
        if match["colour"] and self._colour:
            self.coloured = True
            return match["colour"]
        return ""


def plain(text: object) -> str:
    """Something from the service as one harmless line without colours, for messages and tables."""
    harmless = Sanitizer(colour=False)
    return " ".join((harmless.feed(str(text)) + harmless.end()).split())


class LogWriter:
    """Writes a log to `stream`: harmless text to a terminal, the very bytes elsewhere; `prefix` begins each line."""

    def __init__(self, stream: TextIO, prefix: str = "") -> None:
        self._stream = stream
        self._prefix = prefix.encode()
        self._at_start = True
        self._sanitizer = Sanitizer("NO_COLOR" not in os.environ) if stream.isatty() else None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, chunk: bytes) -> None:
        if self._sanitizer is not None:
            chunk = self._encode(self._sanitizer.feed(self._decoder.decode(chunk)))
        self._put(chunk)

    def end(self) -> None:
        """The log is over: write what was held back. Elsewhere than on a terminal nothing is added."""
        if self._sanitizer is not None:
            self._put(self._encode(self._sanitizer.feed(self._decoder.decode(b"", True)) + self._sanitizer.end()))
            self.end_line()
            if self._sanitizer.coloured:
                self._write(_RESET)

    def end_line(self) -> None:
        """Make sure that whatever is printed next begins a line."""
        if not self._at_start:
            self._write(b"\n")
            self._at_start = True

    def _encode(self, text: str) -> bytes:
        return text.encode(self._stream.encoding or "utf-8", "replace")

    def _put(self, data: bytes) -> None:
        if data:
            self._write(self._prefixed(data))
            self._at_start = data.endswith(b"\n")

    def _write(self, data: bytes) -> None:
        self._stream.flush()
        self._stream.buffer.write(data)
        self._stream.buffer.flush()

    def _prefixed(self, data: bytes) -> bytes:
        if not self._prefix:
            return data
        begin = self._prefix if self._at_start else b""
        return begin + data[:-1].replace(b"\n", b"\n" + self._prefix) + data[-1:]
