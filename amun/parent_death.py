"""Processes that end with the one that started them, however that ends."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

_LIBC = ctypes.CDLL(None)


def end_with_parent(number: signal.Signals, parent: int | None = None) -> None:
    """Have the kernel send this process signal `number` when its parent ends.

    Called in the child; `parent` is the process id that its parent is known by, for it may have ended before.
    """
    _LIBC.prctl(PR_SET_PDEATHSIG, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)
