"""One thing that `amun doctor` looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: whether it is well, what was chosen, why, and the command that helps if not.

    The engine cannot work while a `needed` check is not ok; `lasting` says that this does not pass by itself.
    """

    name: str
    ok: bool
    chosen: str
    why: str
    remedy: str | None = None
    needed: bool = True
    lasting: bool = False
