"""The bell that wakes the controller: whoever changes something rings it, in any process, without waiting.

A datagram socket in Linux' abstract namespace, so that nothing has to be cleaned up. Nobody depends on it: the
controller looks again every second anyway.
"""

from __future__ import annotations

import hashlib
import select
import socket
from contextlib import suppress
from pathlib import Path


class Bell:
    """The bell of one state directory."""

    def __init__(self, state_dir: Path) -> None:
        name = hashlib.sha256(bytes(state_dir.resolve())).hexdigest()[:32]
        self._address = f"\0amun-{name}"
        self._socket: socket.socket | None = None

    def listen(self) -> None:
        """From now on this process hears the bell; only one can."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._socket.bind(self._address)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ring(self) -> None:
        """Wake the controller up, if there is one."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            with suppress(OSError):
                sender.sendto(b".", self._address)

    def wait(self, timeout: float) -> None:
        """Sleep until somebody rings, `timeout` seconds at most; any number of rings until then counts as one."""
        if self._socket is None:
            raise RuntimeError("listen() comes before wait()")
        select.select([self._socket], [], [], timeout)
        with suppress(BlockingIOError):
            while self._socket.recv(1):
                pass
