"""Times as the API writes them: RFC 3339, UTC, microseconds, ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """`seconds` since the epoch as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def now() -> str:
    """This moment as RFC 3339."""
    return timestamp(datetime.now(UTC).timestamp())


def seconds(moment: str) -> float:
    """RFC 3339 (any precision down to nanoseconds) as seconds since the epoch."""
    return datetime.fromisoformat(moment).timestamp()


def is_moment(text: str) -> bool:
    """Whether `text` is a moment in RFC 3339."""
    try:
        return seconds(text) > 0
    except ValueError:
        return False


def between(start: str | None, end: str | None) -> float | None:
    """Seconds from `start` to `end`, None where either is missing."""
    return None if start is None or end is None else max(0.0, seconds(end) - seconds(start))
