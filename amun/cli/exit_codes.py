"""How the command ends: exit codes that scripts and schedulers may rely on."""

from __future__ import annotations

from enum import IntEnum

SUMMARY = (
    "Exit code: 0 the inspection succeeded; 1 it failed, its build failed, it was cancelled, or the platform failed "
    "it; 2 wrong usage, or the service refused (a specification, an unknown id, …); 3 the service is out of reach, or "
    "was asked too much; 4 the inspection is not over yet; 130 interrupted."
)


class Exit(IntEnum):
    """The exit codes of `amun`; `SUMMARY` says what they mean."""

    SUCCEEDED = 0
    FAILED = 1
    REFUSED = 2
    UNREACHABLE = 3
    UNFINISHED = 4
    INTERRUPTED = 130


OVER = {
    "succeeded": Exit.SUCCEEDED,
    "failed": Exit.FAILED,
    "build_failed": Exit.FAILED,
    "cancelled": Exit.FAILED,
    "error": Exit.FAILED,
}


def of_phase(phase: str) -> Exit:
    """The exit code that says how an inspection stands."""
    return OVER.get(phase, Exit.UNFINISHED)
