"""Items that neighbours disturb are told from those that nobody does, on this machine and with real containers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from amun.engines.podman.host.machine import for_settings
from tests.conftest import Service, environment_of

pytestmark = [pytest.mark.podman, pytest.mark.slow]

WORK = """#!/usr/bin/env python3
import json, time
start, end = time.perf_counter(), time.process_time() + {cpu}
while time.process_time() < end:
    sum(range(1000))
print(json.dumps({{"elapsed_s": time.perf_counter() - start}}))
"""
ITEMS = 3


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Busy processes beside the containers, on whatever processors the kernel gives them."""
    busy = [subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(count)]
    try:
        time.sleep(0.3)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def reports(service: Service, base: str, cpu: float, limit: str, items: int) -> list[dict[str, Any]]:
    """The reports of a script that needs `cpu` seconds of a processor and has a `limit`, one item after the other."""
    requests = {"cpu": limit, "memory": "128Mi"}
    document = {**environment_of(base, "quality"), "script": WORK.format(cpu=cpu), "run": {"requests": requests}}
    inspection_id = service.submit({**document, "batch_size": items})
    assert service.wait(inspection_id)["phase"] == "succeeded"
    return [service.client.result(inspection_id, item)["result"] for item in range(items)]


def used_by_others(report: dict[str, Any]) -> float:
    """Processors that were neither idle nor the script's, by the counters in its report."""
    before, after = report["kernel"]["before"], report["kernel"]["after"]
    ticks = {name: after["ticks"][name] - before["ticks"][name] for name in after["ticks"]}
    working = sum(ticks[name] for name in ("user", "nice", "system", "irq", "softirq")) / 100
    own = report["usage"]["ru_utime"] + report["usage"]["ru_stime"]
    return float(working - own) / (after["monotonic"] - before["monotonic"])


def causes(report: dict[str, Any]) -> set[str]:
    return {reason["reason"] for reason in report["reasons"]}


def test_runs_beside_busy_neighbours_are_called_disturbed(service: Service, base: str) -> None:
    with neighbours(2 * (os.cpu_count() or 1)):
        found = reports(service, base, 0.5, "1", ITEMS)
    assert sum("CpuContention" in causes(report) for report in found) >= ITEMS - 1, [r["reasons"] for r in found]
    assert {report["quality"] for report in found} <= {"disturbed", "clean"}
    for report in found:
        if report["quality"] == "disturbed":
            assert "other programs used" in report["reasons"][0]["message"].lower()


def test_runs_without_neighbours_are_called_clean(service: Service, base: str) -> None:
    """Where tests in other processes are neighbours, what they used is in the report, and so must be the verdict."""
    found = reports(service, base, 0.5, "1", ITEMS)
    for report in found:
        others = used_by_others(report) / report["kernel"]["after"]["cpus"]
        told = f"others used {others:.0%} of the machine: {report['reasons']}"
        assert report["quality"] != "unknown", told
        assert report["quality"] == "clean" or others > 0.1, told
        assert report["quality"] == "disturbed" or others < 0.5, told


def test_a_run_that_its_own_limit_holds_back_is_told_so(service: Service, base: str) -> None:
    if "cpu" not in for_settings(service.settings).limits:
        pytest.skip("no CPU limits on this machine")
    (report,) = reports(service, base, 0.2, "100m", 1)
    assert report["quality"] == "disturbed"
    assert report["reasons"][0]["reason"] == "Throttled"
    assert "(0.1 CPUs)" in report["reasons"][0]["message"]
    group = report["kernel"]["after"]["cgroup"]
    assert (group["quota_us"], group["period_us"]) == (10_000, 100_000)
    assert report["stdout"]["elapsed_s"] > 1
