"""From what on an item counts as disturbed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """From what on an item counts as disturbed. Shares of its wall time that something cost, unless said otherwise.

    Attributes:
        floor: seconds that it must have cost at least.
        throttled: held back by its own CPU limit.
        waiting: ready to run while other programs had the processors.
        steal: the processors were taken away by the hypervisor.
        memory: stood still for want of memory.
        io: stood still for disks that others used.
        busy: share of the machine's processors that other programs used.
        frequency: share of its frequency that the processor lost.
    """

    floor: float = 0.005
    throttled: float = 0.05
    waiting: float = 0.05
    steal: float = 0.05
    memory: float = 0.05
    io: float = 0.1
    busy: float = 0.4
    frequency: float = 0.2
