"""Times as the API writes them: RFC 3339, UTC, microseconds, ``Z``."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
"""RFC 3339, section 5.6, as programs write it. ISO 8601 also has moments without a time or a zone."""


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
        return _MOMENT.fullmatch(text) is not None and seconds(text) > 0
    except ValueError:
        return False


def between(start: str | None, end: str | None) -> float | None:
    """Seconds from `start` to `end`, None where either is missing."""
    return None if start is None or end is None else max(0.0, seconds(end) - seconds(start))
