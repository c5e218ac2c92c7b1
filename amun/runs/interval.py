"""What happened between two snapshots of the kernel's counters, in seconds and shares of them.

A script is to be called disturbed neither for what it does to itself nor for what its neighbours do to each other. So
where the kernel does not count something for the script itself, the least of several upper bounds is taken: what the
machine counted, what other programs can have taken, what is left of the wall time beside the script's CPU time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TICK = 0.01
"""Seconds of a tick of /proc/stat."""

SHORT = 0.1
"""Seconds; what happens in less is not seen in ticks."""

SLICE = 0.003
"""Seconds that a program waits at most, as a rule, when it is made to leave its processor to another."""

OWN = 0.25
"""Share of a script's CPU time that its first thread must have used for its waiting to stand for the script's. A shell
that waits for its children says nothing."""

ALONE = 1.02
"""CPUs; who used more on average had several at a time."""

RESTLESS = 400
"""Involuntary switches in a second of CPU time. One thread that has a processor nearly to itself has fewer."""


class Interval:
    """What happened between the two snapshots, in seconds; None for what is not known.

    Attributes:
        span: seconds between the snapshots.
        own: CPU time of the item.
        others: CPU time of all other programs on the machine.
    """

    def __init__(
        self, before: Mapping[str, Any], after: Mapping[str, Any], usage: Mapping[str, Any], wall: float | None
    ) -> None:
        self.before, self.after = before, after
        self.usage = {name: value for name, value in usage.items() if isinstance(value, int | float)}
        self.span = self.between("monotonic") or wall or 0.0
        self.own = self._own()
        self.others = self._others()
        self.throttled = (self.between("cgroup", "throttled_us") or 0.0) / 1e6

    def between(self, *path: str) -> float | None:
        """The difference of a counter; None if one of the two is missing, or it ran backwards."""
        first, second = at(self.before, path), at(self.after, path)
        return None if first is None or second is None or second < first else second - first

    @property
    def cpus(self) -> float | None:
        return at(self.after, ("cpus",)) or None

    @property
    def limit(self) -> float | None:
        """CPUs that the item may use."""
        quota, period = (at(self.after, ("cgroup", name)) for name in ("quota_us", "period_us"))
        return quota / period if quota and period else None

    @property
    def parallel(self) -> float:
        """CPUs that it had at a time, at least one."""
        return max(1.0, (self.own or 0.0) / self.span)

    def _own(self) -> float | None:
        used = self.between("cgroup", "usage_us")
        if used is not None:
            return used / 1e6
        times = [self.usage.get(name) for name in ("ru_utime", "ru_stime")]
        return None if None in times else sum(time or 0.0 for time in times)

    def _others(self) -> float | None:
        working = [self.between("ticks", name) for name in ("user", "nice", "system", "irq", "softirq")]
        if self.own is None or self.span < SHORT or None in working:
            return None
        return max(0.0, sum(ticks or 0.0 for ticks in working) * TICK - self.own)

    def of_others(self) -> float:
        """The share that others had of all CPU time that was used: more they cannot have taken from anybody."""
        if self.others is None or self.own is None:
            return 1.0
        return self.others / (self.own + self.others) if self.others else 0.0

    def off(self, used: float | None) -> float:
        """The share of the wall time that is left beside `used` seconds: no more can have been lost, by one thread."""
        if used is None or self.own is None or self.own > ALONE * self.span or self._several():
            return 1.0
        return max(0.0, 1 - used / self.span)

    def _several(self) -> bool:
        """Whether it looks as if several threads had shared what amounts to one processor."""
        return self.usage.get("ru_nivcsw", 0.0) > RESTLESS * (self.own or 0.0)

    def stalled(self, resource: str) -> tuple[float | None, bool]:
        """The share of time that some program stood still for want of it; whether that is told of the item itself."""
        own = self.between("cgroup", "pressure", resource, "some")
        if own is not None:
            return min(1.0, own / 1e6 / self.span), True
        machine = self.between("pressure", resource, "some")
        return (None if machine is None else min(1.0, machine / 1e6 / self.span)), False

    def waited(self) -> tuple[float | None, bool]:
        """The share of the wall time in which it waited for a processor because of others, None if nothing says it.

        Also whether that is so, and not only the most that it can have been.
        """
        held_back = min(1.0, self.throttled / self.span)
        waited = at(self.after, ("script", "waiting_ns"))
        running = at(self.after, ("script", "running_ns"))
        if waited is not None and running is not None and running / 1e9 >= OWN * (self.own or 0.0):
            return min(max(0.0, min(1.0, waited / 1e9 / self.span) - held_back), self.of_others()), True
        stalled, _ = self.stalled("cpu")
        switches = self.usage.get("ru_nivcsw")
        if stalled is None and switches is None:
            return None, False
        made_to = 1.0 if switches is None else switches * SLICE / self.span / self.parallel
        most = min(made_to, 1.0 if stalled is None else stalled, self.off(self.own), self.of_others())
        return max(0.0, most - held_back), self.others is not None


def at(snapshot: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    """The number at a path of a snapshot, None if there is none."""
    found: Any = snapshot
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
