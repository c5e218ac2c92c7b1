"""Waiting for the end of a process that is not our child."""

from __future__ import annotations

import contextlib
import os
import select
import threading


class Watch:
    """Wakes up when a process ends, or when it is told to. The process need not be a child."""

    def __init__(self, pid: int) -> None:
        """Watch process `pid`; one that is gone already, or never was (0), has ended."""
        self._lock = threading.Lock()
        self._closed = False
        self._told = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._told, select.POLLIN)
        self._process: int | None = None
        if pid:
            with contextlib.suppress(ProcessLookupError):
                self._process = os.pidfd_open(pid)
                self._poll.register(self._process, select.POLLIN)

    def tell(self) -> None:
        """Wake the waiting thread up; one that waits no more is left alone."""
        with self._lock:
            if not self._closed:  # by now the descriptor's number may be another's
                os.eventfd_write(self._told, 1)

    def ended(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True if the process has ended."""
        if self._process is None:
            return True
        woken = {descriptor for descriptor, _ in self._poll.poll(timeout * 1000)}
        if self._told in woken:
            os.eventfd_read(self._told)
        return self._process in woken

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for descriptor in (self._told, self._process):
                if descriptor is not None:
                    os.close(descriptor)


def has_ended(pid: int) -> bool:
    """Whether a process has ended, be it that its parent has not asked yet how."""
    watch = Watch(pid)
    try:
        return watch.ended(0)
    finally:
        watch.close()
