"""(f) Many inspections of one environment, queued at once: how many are over in a second."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from . import processes
from .figures import Figure, number
from .plan import Plan

CLIENTS = 8


def measure(plan: Plan) -> Iterator[Figure]:
    """From the first POST until the controller has closed the last one."""
    service, document = plan.service, plan.specification("#!/bin/sh\ntrue\n")
    service.over(service.submit(document))
    count, active = plan.inspections, service.settings.state_dir / "active"
    controller = [service.part("controller")]
    spent = processes.cpu_seconds(controller)
    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        ids = list(clients.map(lambda _: service.submit(document), range(count)))
    submitted = time.perf_counter() - begun
    while os.listdir(active):
        time.sleep(0.1)
    seconds = time.perf_counter() - begun
    spent = processes.cpu_seconds(controller) - spent
    for inspection_id in ids:
        service.over(inspection_id)  # says so if one did not succeed
    yield Figure(f"{count} inspections submitted in", f"{number(submitted)} s")
    yield Figure(f"  run, {service.settings.max_runs} at a time, in", f"{number(seconds)} s")
    yield Figure("  inspections a second", number(count / seconds))
    yield Figure("  the controller's CPU time an inspection", f"{number(spent / count * 1000)} ms")
