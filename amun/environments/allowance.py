"""What inspections allow the build that they share, so that one's limits do not decide for another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from amun.model import quantity
from amun.model.specification import Build


@dataclass(frozen=True)
class Allowance:
    """Limits of a build: CPU and memory as Kubernetes quantities, time in seconds."""

    cpu: str
    memory: str
    timeout: int

    @classmethod
    def of(cls, build: Build) -> Allowance:
        """What one specification allows."""
        return cls(build.requests.cpu, build.requests.memory, build.timeout)

    def exceeds(self, given: Allowance, reason: str | None) -> bool:
        """Whether a build that ended for `reason`, having been given so much, may come further with this much.

        Less CPU or memory may also be why time was short.
        """
        more_memory = quantity.parse(self.memory) > quantity.parse(given.memory)
        if reason == "OutOfMemoryKilled":
            return more_memory
        more_cpu = quantity.parse(self.cpu) > quantity.parse(given.cpu)
        return reason == "DeadlineExceeded" and (self.timeout > given.timeout or more_cpu or more_memory)


def largest(allowances: Iterable[Allowance]) -> Allowance:
    """The most that any of them allows, limit by limit; there must be one."""
    some = list(allowances)
    return Allowance(
        cpu=max((one.cpu for one in some), key=quantity.parse),
        memory=max((one.memory for one in some), key=quantity.parse),
        timeout=max(one.timeout for one in some),
    )
