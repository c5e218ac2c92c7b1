"""Was an item disturbed? A verdict on what the kernel counted while it ran, with the figures it rests on.

Most causes are judged by the share of the item's wall time that they cost (`amun.runs.interval`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from amun.model.thresholds import Thresholds

from .interval import ALONE, TICK, Interval, at

Quality = Literal["clean", "disturbed", "unknown"]
Reason = dict[str, str]
"""``reason`` in CamelCase, and ``message``, a sentence with the figures."""

FEW_TICKS = 3
"""Fewer of them say nothing."""

STEADY = 0.5
"""Seconds that something must last to be judged by how busy the machine was, or by frequencies."""

KIB_OF_BLOCK = 0.5


def assess(
    kernel: Mapping[str, Any] | None, usage: Mapping[str, Any], wall: float | None, thresholds: Thresholds
) -> tuple[Quality, list[Reason]]:
    """Return the quality of an item and the reasons for it; none where it is clean.

    :param kernel: snapshots ``before`` and ``after`` as `amun.runs.kernel_counters.parse` returns them.
    :param usage: the report's, of getrusage.
    :param wall: seconds that the item ran, where that is known; used if the snapshots do not say.
    """
    before, after = (kernel or {}).get("before"), (kernel or {}).get("after")
    if not before or not after:
        message = (
            "What the kernel counted could not be read." if after or not before else "The run did not come to its end."
        )
        return "unknown", [_reason("NotMeasured", message)]
    seen = Interval(before, after, usage, wall)
    if not seen.span > 0:
        return "unknown", [_reason("NotMeasured", "Nothing says how long the run took.")]
    reasons = [reason for cause in CAUSES for reason in cause(seen, thresholds)]
    if reasons:
        return "disturbed", reasons
    share, _ = seen.waited()
    if share is None or _counts(seen, share, thresholds.waiting, thresholds):
        message = "Nothing that could be read says whether the script waited for a CPU."
        return "unknown", [_reason("NotMeasured", message)]
    return "clean", []


def _throttled(seen: Interval, thresholds: Thresholds) -> Iterator[Reason]:
    """The limit is the item's own; every processor counts by itself how long it had to stand."""
    share = min(1.0, seen.throttled / seen.span / max(1.0, seen.limit or 1.0))
    if _counts(seen, share, thresholds.throttled, thresholds):
        periods, held = seen.between("cgroup", "periods"), seen.between("cgroup", "throttled_periods")
        of = f" ({seen.limit:.3g} CPUs)" if seen.limit else ""
        often = f" in {held:.0f} of {periods:.0f} periods" if held and periods else ""
        yield _reason(
            "Throttled",
            f"The run was held back by its own CPU limit{of}{often}, for {_seconds(seen.throttled)} in "
            f"{_seconds(seen.span)}: it measures the limit. Ask for more CPU in run.requests.",
        )


def _waiting(seen: Interval, thresholds: Thresholds) -> Iterator[Reason]:
    share, certain = seen.waited()
    if certain and share is not None and _counts(seen, share, thresholds.waiting, thresholds):
        message = f"The script waited for a CPU for about {_seconds(share * seen.span)} of its {_seconds(seen.span)}"
        yield _reason("CpuContention", f"{message}{_used_by_others(seen)}.")


def _steal(seen: Interval, thresholds: Thresholds) -> Iterator[Reason]:
    ticks = seen.between("ticks", "steal") or 0.0
    # What was taken hit whoever wanted to run, in proportion, and each processor by itself.
    share = min(1.0, ticks * TICK * (1 - (seen.of_others() if seen.others is not None else 0.0)) / seen.span)
    if ticks >= FEW_TICKS and _counts(seen, share / seen.parallel, thresholds.steal, thresholds):
        message = f"The hypervisor took the machine's CPUs away for {_seconds(ticks * TICK)} in {_seconds(seen.span)}."
        yield _reason("CpuSteal", message)


def _busy(seen: Interval, thresholds: Thresholds) -> Iterator[Reason]:
    """Neighbours on other processors take caches, memory bandwidth and frequency, and no kernel counts that."""
    if seen.others is None or seen.cpus is None or seen.span < STEADY:
        return
    if seen.others / seen.span >= thresholds.busy * seen.cpus:
        used = f"{seen.others / seen.span:.2g} of the machine's {seen.cpus:.0f} CPUs"
        yield _reason("BusyMachine", f"Other programs used {used} while the script ran.")


def _memory(seen: Interval, thresholds: Thresholds) -> Iterator[Reason]:
    stalled, certain = seen.stalled("memory")
    share = min(stalled or 0.0, seen.off(seen.usage.get("ru_utime")))
    if _counts(seen, share, thresholds.memory, thresholds):
        who = "The run" if certain else "A program on the machine"
        advice = " If it is near its limit, ask for more memory in run.requests." if certain else ""
        message = f"{who} stood still for want of memory for {_seconds((stalled or 0.0) * seen.span)}"
        yield _reason("MemoryPressure", f"{message} in {_seconds(seen.span)}.{advice}")


def _io(seen: Interval, thresholds: Thresholds) -> Iterator[Reason]:
    """Waiting for a disk is a script's own affair unless others use it too."""
    paged = [seen.between("paged", name) for name in ("in", "out")]
    own = KIB_OF_BLOCK * sum(seen.usage.get(name, 0.0) for name in ("ru_inblock", "ru_oublock"))
    total = sum(kib or 0.0 for kib in paged)
    stalled, _ = seen.stalled("io")
    if None in paged or total <= own or not own:
        return
    share = min(stalled or 0.0, seen.off(seen.own), (total - own) / total)
    if _counts(seen, share, thresholds.io, thresholds):
        message = f"Other programs moved {(total - own) / 1024:.0f} of {total / 1024:.0f} MiB to and from disks"
        yield _reason(
            "IoContention", f"{message}, and {_seconds((stalled or 0.0) * seen.span)} were spent waiting for them."
        )


def _frequency(seen: Interval, thresholds: Thresholds) -> Iterator[Reason]:
    first, last = (at(snapshot, ("frequency_hz",)) for snapshot in (seen.before, seen.after))
    # Several processors at work are slower each, by design.
    if not first or not last or seen.span < STEADY or seen.parallel > ALONE:
        return
    if last < first * (1 - thresholds.frequency):
        message = (
            f"The processor ran at {first / 1e9:.2f} GHz before the script and at {last / 1e9:.2f} GHz at its end."
        )
        yield _reason("FrequencyDropped", message)


def _thermal(seen: Interval, thresholds: Thresholds) -> Iterator[Reason]:
    events = seen.between("thermal_events")
    if events:
        yield _reason("ThermalThrottling", f"Processors were slowed down {events:.0f} times for being hot.")


CAUSES: tuple[Callable[[Interval, Thresholds], Iterator[Reason]], ...] = (
    _throttled,
    _waiting,
    _steal,
    _busy,
    _memory,
    _io,
    _frequency,
    _thermal,
)
"""Each yields a reason where it disturbed the item; the item's own limit comes first, being the easiest to mend."""


def _counts(seen: Interval, share: float, threshold: float, thresholds: Thresholds) -> bool:
    return share >= threshold and share * seen.span >= thresholds.floor and share > 0


def _used_by_others(seen: Interval) -> str:
    if seen.others is None or seen.cpus is None:
        return ""
    return f"; other programs used {seen.others / seen.span:.2g} of the machine's {seen.cpus:.0f} CPUs meanwhile"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def _reason(reason: str, message: str) -> Reason:
    return {"reason": reason, "message": message}
