"""The bell that wakes the controller: whoever changes something rings it, in any process, without waiting.

A datagram socket in a directory that is open to its owner alone: no other user, and no build, can ring it or take its
place. Nobody depends on it: the controller looks again every second anyway.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from amun.telemetry.logs import logger


class Bell:
    """The bell of one state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "bell"
        self._socket: socket.socket | None = None

    def listen(self) -> None:
        """From now on this process hears the bell. For the controller alone, which replaces one that is gone."""
        self._socket = _datagrams()
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            with self._address() as address:
                Path(address).unlink(missing_ok=True)
                self._socket.bind(address)
        except OSError as exc:
            logger.warning("no bell: the controller looks once a second", error=str(exc))

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ring(self) -> None:
        """Wake the controller up, if there is one."""
        with suppress(OSError), _datagrams() as sender, self._address() as address:
            sender.sendto(b".", address)

    def wait(self, timeout: float) -> None:
        """Sleep until somebody rings, `timeout` seconds at most; any number of rings until then counts as one."""
        if self._socket is None:
            raise RuntimeError("listen() comes before wait()")
        select.select([self._socket], [], [], timeout)
        with suppress(BlockingIOError):
            while self._socket.recv(1):
                pass

    @contextlib.contextmanager
    def _address(self) -> Iterator[str]:
        """A short name of the socket: an address ends at 107 bytes (unix(7)), and state directories may lie deep."""
        directory = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{directory}/socket"
        finally:
            os.close(directory)


def _datagrams() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    made.setblocking(False)
    return made
