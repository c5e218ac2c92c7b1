"""Numbers and machines in words that a person uses. Pure; whatever is not there is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

NOTHING = "\N{EN DASH}"

PHASES = {
    "queued": "queued",
    "building": "building",
    "build_failed": "build failed",
    "pending": "pending",
    "running": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "error": "error",
}
"""Every phase, as a person reads it."""

OVER = frozenset({"build_failed", "succeeded", "failed", "cancelled", "error"})

UNITS = {"percent": "%", "s": "s", "ms": "ms", "us": "µs", "ns": "ns", "kib": "KiB", "mib": "MiB", "gib": "GiB"}


def state(item: Mapping[str, Any]) -> tuple[str, str]:
    """Where an item stands: the phase that it looks like, and in words."""
    where = str(item.get("state"))
    if where != "terminated":
        return ("running" if where == "running" else "pending"), where
    if item.get("reason") in ("NotStarted", "Cancelled"):
        return "cancelled", "not started" if item["reason"] == "NotStarted" else "cancelled"
    outcome = item.get("outcome") or ("succeeded" if item.get("exit_code") == 0 else "failed")
    return outcome, outcome


def when(moment: object) -> str:
    """An RFC 3339 time to the second, in UTC."""
    try:
        found = datetime.fromisoformat(str(moment)).astimezone(UTC)
    except ValueError:
        return NOTHING
    return f"{found:%Y-%m-%d %H:%M:%S}"


def between(start: object, end: object) -> float | None:
    """Seconds from one RFC 3339 time to another; None unless both are there."""
    try:
        span = datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(start))
    except ValueError:
        return None
    return max(0.0, span.total_seconds())


def duration(seconds: object) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if not isinstance(seconds, int | float):
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def size(count: object) -> str:
    """Bytes: ``512 B``, ``1.5 MiB``, ``24 GiB``."""
    if not isinstance(count, int | float):
        return NOTHING
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1023.95:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def number(value: object, unit: str | None = None) -> str:
    """Four digits of a number that was measured, with its unit; seconds and bytes in handy ones."""
    if not isinstance(value, int | float):
        return NOTHING
    if unit == "bytes":
        return size(value)
    if unit == "s" and abs(value) < 1e-10:
        value = 0  # what is left of rounding
    if unit == "s" and 0 < abs(value) < 0.9995:
        scale, unit = (1e3, "ms") if abs(value) >= 0.9995e-3 else (1e6, "us")
        value *= scale
    shown = f"{value:.4g}"
    if "e" in shown and 1 <= abs(value) < 1e9:
        shown = f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{shown} {UNITS.get(unit, unit)}" if unit and unit != "count" else shown


def percent(share: object) -> str:
    """A share of one: ``0.51 %``, ``9 %``, ``177 %``."""
    if not isinstance(share, int | float):
        return NOTHING
    hundredths = share * 100
    return f"{hundredths:.0f} %" if 9.95 <= abs(hundredths) < 1e6 else f"{hundredths:.2g} %"


def hardware(hwinfo: Mapping[str, Any] | None) -> str:
    """The machine of a run: ``AMD EPYC 7B13, 2 of 8 processors, 24 GiB``, as far as it is known."""
    found = hwinfo or {}
    cpu, memory, cgroup = (_object(found.get(name)) for name in ("cpu_info", "memory", "cgroup"))
    parts = [_brand(cpu), _processors(cpu.get("count"), cgroup.get("cpu_limit"))]
    parts.append(_memory(memory.get("total_bytes"), cgroup.get("memory_limit_bytes")))
    gpus = found.get("gpus")
    parts += [str(_object(gpu).get("product") or "a GPU") for gpu in gpus] if isinstance(gpus, list) else []
    return ", ".join(filter(None, parts)) or "not known"


def system(report: Mapping[str, Any]) -> str:
    """What the script found itself in: ``Debian GNU/Linux 12 (bookworm), Python 3.11.2``."""
    release, runtime = _object(report.get("os_release")), _object(report.get("runtime_environment"))
    python = runtime.get("python_version")
    return ", ".join(filter(None, [release.get("pretty_name"), python and f"Python {python}"])) or "not known"


def plain_list(words: Iterable[object]) -> str:
    """``a, b and c``."""
    *first, last = [str(word) for word in words] or [NOTHING]
    return f"{', '.join(first)} and {last}" if first else last


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _brand(cpu: Mapping[str, Any]) -> str:
    brand = str(cpu.get("brand_raw") or cpu.get("arch_string_raw") or "")
    return re.sub(r"\s+", " ", re.sub(r"\((R|TM)\)|\bCPU\b|@.*", "", brand)).strip()


def _processors(count: object, limit: object) -> str:
    if not isinstance(count, int):
        return ""
    if isinstance(limit, int | float) and 0 < limit < count:
        return f"{limit:g} of {count} processors"
    return f"{count} processor{'s' if count != 1 else ''}"


def _memory(total: object, limit: object) -> str:
    if isinstance(limit, int) and isinstance(total, int) and limit < total:
        return f"{size(limit)} of {size(total)}"
    return size(total) if isinstance(total, int) else ""


def weak_limits(limits: Mapping[str, str]) -> str:
    """Which limits no control group enforces: ``not enforced: cpu; enforced by a fallback: memory``."""
    known = {"none": "not enforced", "fallback": "enforced by a fallback"}
    found = {said: [name for name, how in limits.items() if how == word] for word, said in known.items()}
    return "; ".join(f"{said}: {', '.join(names)}" for said, names in found.items() if names)
