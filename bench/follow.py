"""(e) Following a log: how soon the first byte is there, and what it costs in memory to follow much."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from . import processes
from .figures import Figure, number, spread
from .plan import Plan

ROUNDS = 6
FIRST_BYTE_AIM = "< 300 ms"
MEMORY_AIM = "< 32 MiB"

MUCH = 200 * 10**6
"""Bytes printed by the script that is followed for memory's sake."""

LINE = "x" * 98
CLOCK = "#!/bin/sh\ndate +%s.%N\nsleep 1\n"
PRINT = f"#!/bin/sh\nyes {LINE} | head -c {MUCH}\n"


def measure(plan: Plan) -> Iterator[Figure]:
    """The first rounds also fill the workers' memory with what they always need."""
    delays = [_first_byte(plan) for _ in range(plan.rounds or ROUNDS)]
    yield Figure("script's first print to follower's first byte", spread(delays, "ms"), FIRST_BYTE_AIM)
    yield from _memory(plan)


def _first_byte(plan: Plan) -> float:
    """Milliseconds between the moment the script prints and the moment the follower has it."""
    inspection_id = plan.service.submit(plan.specification(CLOCK))
    printed, arrived = b"", None
    for chunk in plan.service.client.item_log(inspection_id, follow=True):
        arrived = arrived or time.time()
        printed += chunk
    if arrived is None:
        raise RuntimeError("the script printed nothing")
    return (arrived - float(printed)) * 1000


def _memory(plan: Plan) -> Iterator[Figure]:
    service = plan.service
    workers, controller = service.workers(), service.part("controller")
    before, controller_before = processes.memory(workers), processes.memory([controller])
    document = plan.specification(PRINT, run={"requests": {"cpu": "1", "memory": "256Mi"}})
    inspection_id = service.submit(document)
    with Most(lambda: processes.memory(workers)) as most:
        begun = time.perf_counter()
        followed = sum(len(chunk) for chunk in service.client.item_log(inspection_id, follow=True))
        seconds = time.perf_counter() - begun
    if followed != MUCH:
        raise RuntimeError(f"{followed} bytes came of {MUCH}")
    service.over(inspection_id)
    yield Figure("memory of the API's workers before", f"{number(before)} MiB")
    what = f"  added while {MUCH / 10**6:.0f} MB are followed in {seconds:.0f} s"
    yield Figure(what, f"{number(most.value - before)} MiB", MEMORY_AIM)
    peak = processes.peak_memory(controller)
    yield Figure("memory of the controller before", f"{number(controller_before)} MiB")
    yield Figure("  its peak when the report is made of them", f"{number(peak)} MiB")


class Most:
    """The greatest value that a function has while this is entered, looked at 50 times a second."""

    def __init__(self, look: Callable[[], float]) -> None:
        self._look = look
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.value = look()

    def __enter__(self) -> Most:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.value = max(self.value, self._look())
