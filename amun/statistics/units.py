"""What numbers are measured in, where the key they stand under says so."""

from __future__ import annotations

from amun.model.metric_path import read

TIME = frozenset({"s", "ms", "us", "ns", "min", "h"})

MEMORY = frozenset({"bytes", "kB", "MB", "GB", "KiB", "MiB", "GiB"})

NAMES = {
    "s": "s sec secs second seconds",
    "ms": "ms msec millis milliseconds",
    "us": "us usec micros microseconds",
    "ns": "ns nsec nanos nanoseconds",
    "min": "minutes",
    "h": "hours",
    "bytes": "bytes",
    "kB": "kb",
    "MB": "mb",
    "GB": "gb",
    "KiB": "kib",
    "MiB": "mib",
    "GiB": "gib",
    "%": "percent pct",
    "Hz": "hz",
    "kHz": "khz",
    "MHz": "mhz",
    "GHz": "ghz",
    "FLOPS": "flops",
    "MFLOPS": "mflops",
    "GFLOPS": "gflops",
    "1/s": "per_s per_sec per_second",
    "bytes/s": "bytes_per_s bytes_per_second",
    "MB/s": "mb_per_s mb_per_second",
    "MiB/s": "mib_per_s mib_per_second",
    "count": "count",
}
"""Units, and what of them follows a key's ``_``; the longest that fits counts. ``_min`` mostly is a minimum."""

SUFFIXES = {name: unit for unit, names in NAMES.items() for name in names.split()}

LONGEST_KEY = 200


def unit_of(path: str) -> str | None:
    """Return the unit that the last key of a path names, by its suffix or as a whole; None where it names none."""
    key = next((step for step in reversed(read(path) or ()) if isinstance(step, str)), "")
    parts = key[-LONGEST_KEY:].lower().split("_")
    endings = ("_".join(parts[start:]) for start in range(max(len(parts) - 3, 0), len(parts)))
    # A key "s" or "us" is a name like any other; "seconds" is not.
    return next((SUFFIXES[end] for end in endings if end in SUFFIXES and (len(parts) > 1 or len(end) > 3)), None)
