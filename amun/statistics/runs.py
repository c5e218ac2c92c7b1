"""Report → metrics: what the runner measured, and every number in the JSON object that the script printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amun.model.metric_path import canonical, finite, numbers

RUNNER = {
    "wall_time": "s",
    "user_time": "s",
    "system_time": "s",
    "peak_memory": "bytes",
    "voluntary_switches": "count",
    "involuntary_switches": "count",
}
"""What the runner measures of every item, and its unit; of all of them less is better."""

USAGE = {
    "user_time": ("ru_utime", 1),
    "system_time": ("ru_stime", 1),
    "peak_memory": ("ru_maxrss", 1024),
    "voluntary_switches": ("ru_nvcsw", 1),
    "involuntary_switches": ("ru_nivcsw", 1),
}
"""Where it says so in a report's `usage`, and the factor to the unit above."""

SHADOW = "stdout."
"""Before a script's path that would otherwise be one of the runner's."""

MOST_PATHS = 200
"""The script's metrics of an inspection that are kept."""

MOST_VALUES = 20_000
"""Values of any kind in what one script printed that are looked at."""


class Paths:
    """The script's paths that are kept of one inspection: those declared, then the first that are seen.

    One of these for all items of an inspection keeps what 1000 reports of a million numbers each amount to small.

    Attributes:
        truncated: whether there were more than are kept.
        declared: those of the specification, in the one way to write each.
    """

    def __init__(self, declared: Iterable[str] = (), most: int = MOST_PATHS) -> None:
        self.truncated = False
        self._most = most
        written = [canonical(path) for path in declared]
        self.declared = frozenset(written)
        self._kept = {path: path for path in written if path not in RUNNER}

    def keep(self, path: str) -> str | None:
        """Return the path, the same string for all items, or None if it is not kept."""
        kept = self._kept.get(path)
        if kept is None:
            if len(self._kept) >= self._most:
                self.truncated = True
            else:
                kept = self._kept[path] = path
        return kept


@dataclass(frozen=True)
class Run:
    """One item as the statistics see it.

    Attributes:
        outcome: ``succeeded``, ``failed`` or ``error``; None while it is not over.
        quality: ``clean``, ``disturbed`` or ``unknown``; None where the report says nothing.
        reasons: why it is disturbed or unknown, as in the report.
        values: number by metric path; empty unless it succeeded.
        truncated: whether there were more numbers than those.
        not_finite: declared metrics for which the script printed NaN or an infinity.
    """

    item: int
    warmup: bool
    outcome: str | None
    quality: str | None = None
    reasons: Sequence[Mapping[str, Any]] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    truncated: bool = False
    not_finite: frozenset[str] = frozenset()


def run_of(
    item: int, warmup: bool, outcome: str | None, report: Mapping[str, Any] | None, paths: Paths | None = None
) -> Run:
    """Return what the statistics need of an item.

    :param report: as the engine gives it, of any age; None where there is none (yet).
    :param paths: which of the script's numbers are kept, shared by all items of an inspection.
    """
    if report is None:
        return Run(item, warmup, outcome)
    quality, reasons = report.get("quality"), report.get("reasons")
    paths = paths or Paths()
    values = metrics_of(report, paths) if outcome == "succeeded" else {}
    return Run(
        item,
        warmup,
        outcome,
        quality if quality in ("clean", "disturbed", "unknown") else None,
        reasons if isinstance(reasons, list) else (),
        values,
        paths.truncated,
        paths.declared.intersection(_not_finite(report.get("not_finite"))),
    )


def metrics_of(report: Mapping[str, Any], paths: Paths | None = None) -> dict[str, float]:
    """Return the number of each metric of a report: the script's in the order it printed them, then the runner's."""
    paths = paths or Paths()
    kept = ((paths.keep(path), value) for path, value in _of_script(report.get("stdout")))
    return {path: value for path, value in kept if path is not None} | dict(_of_runner(report))


def _of_script(stdout: object) -> Iterator[tuple[str, float]]:
    for path, value in numbers(stdout if isinstance(stdout, Mapping) else {}, MOST_VALUES):
        yield _metric_path(path), value


def _not_finite(paths: object) -> Iterator[str]:
    return (_metric_path(path) for path in (paths if isinstance(paths, list) else ()) if isinstance(path, str))


def _metric_path(path: str) -> str:
    return f"{SHADOW}{path}" if _shadowed(path) else path


def _shadowed(path: str) -> bool:
    """Whether it is a runner's path, or looks like one that was taken out of its way."""
    while path.startswith(SHADOW):
        path = path.removeprefix(SHADOW)
    return path in RUNNER


def _of_runner(report: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if (wall := _wall_time(report)) is not None:
        yield "wall_time", wall
    usage = report.get("usage")
    for path, (name, factor) in USAGE.items():
        number = finite(usage.get(name)) if isinstance(usage, Mapping) else None
        number = None if number is None else finite(number * factor)
        if number is not None and number >= 0:
            yield path, number


def _wall_time(report: Mapping[str, Any]) -> float | None:
    """Seconds; None if a moment is missing, or the clock was set back meanwhile."""
    try:
        start, end = (datetime.fromisoformat(str(report.get(name))) for name in ("start_datetime", "end_datetime"))
        seconds = (end - start).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if seconds >= 0 else None
