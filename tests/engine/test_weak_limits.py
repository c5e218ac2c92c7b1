"""Where no control group limits processes and memory: real containers on a machine that is taken for such a one.

On a machine where they really are missing (a user who is not root, control groups v1), nothing is pretended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from amun.engines.podman.host import machine
from amun.pages import words
from amun.settings import Settings
from tests.conftest import Service, wait_until

from .test_build_limits import Bases, build

pytestmark = [pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(900)]

PATIENCE = 400
"""Seconds that an inspection has: vfs copies the whole image for every step of a build, and for every container."""

PROCESSES, BUILD_PROCESSES = 40, 60
WEAK = {"cpu": "none", "memory": "fallback", "processes": "fallback"}


def weak_limits() -> dict[str, str]:
    """`WEAK`, and the disk where the storage of this machine's Podman is such that nothing is counted."""
    return {**WEAK, **({} if machine.for_settings(Settings()).counts_disk else {"disk": "none"})}


FORKS = """#!/usr/bin/env python3
import os, time
for started in range(400):
    try:
        if os.fork() == 0:
            time.sleep(4)
            os._exit(0)
    except BlockingIOError:
        break
print(started, os.getuid(), flush=True)
time.sleep(3)
"""
THREADS = """#!/usr/bin/env python3
import os, threading, time
try:
    for started in range(400):
        threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
except RuntimeError:
    pass
print(started, os.getuid(), flush=True)
"""
GROWS = """#!/usr/bin/env python3
import time
print("before", flush=True)
kept = []
for _ in range(300):
    kept.append(bytes([1]) * (1 << 20))
    time.sleep(0.01)
time.sleep(60)
"""
GROWS_TOGETHER = """#!/usr/bin/env python3
import os, time
for _ in range(6):
    if os.fork() == 0:
        kept = bytes([1]) * (40 << 20)
        time.sleep(60)
time.sleep(60)
"""
ASKS_FOR_ALL = """#!/usr/bin/env python3
try:
    bytearray(3 << 30)
except MemoryError:
    print("refused")
"""
SHARES = """#!/usr/bin/env python3
import os, time
kept = bytes([1]) * (60 << 20)
children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        time.sleep(4)
        os._exit(0)
    children.append(child)
print({os.waitpid(child, 0)[1] for child in children})
"""
GREEDY = """#!/bin/sh
case $* in
    *install*forker*) python3 -c '
import os, time
for _ in range(300):
    if os.fork() == 0: time.sleep(60); os._exit(0)
time.sleep(60)' ;;
    *install*eater*) python3 -c '
import time
kept = []
for _ in range(200): kept.append(bytes([1]) * (1 << 20)); time.sleep(0.02)
time.sleep(6)' ;;
esac
echo "no such package"; exit 1
"""


def weaken(state_dir: Path, settings: Settings) -> None:
    """Have a state directory say that this machine's control groups limit nothing."""
    assert machine.for_settings(settings).usable
    place = state_dir / "machine"
    kept = json.loads((place / "machine.json").read_text())
    kept["machine"].update(limits=[], build_limits=[], build_group=None)
    (place / "machine.json").write_text(json.dumps(kept))
    hook = json.loads((place / "hooks" / "precreate.json").read_text())
    hook["hook"]["args"][4] = "0"
    (place / "hooks" / "precreate.json").write_text(json.dumps(hook))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    state_dir = tmp_path_factory.mktemp("weak") / "state"
    limits = {"pids_limit": PROCESSES, "build_pids_limit": BUILD_PROCESSES}
    made = Service(state_dir, max_runs=2, max_builds=1, grace=1, **limits)
    state_dir.mkdir(mode=0o700)
    weaken(state_dir, Settings(state_dir=state_dir, max_runs=2, max_builds=1, **limits))
    yield made.start()
    made.finish()


Run = Callable[..., tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def run(service: Service, base: str) -> Run:
    """Run a script; its item's status and its report."""

    def run(script: str, memory: str = "256Mi") -> tuple[dict[str, Any], dict[str, Any]]:
        asked = {"timeout": 50, "requests": {"memory": memory}}
        made = service.submit({"base": base, "script": script, "run": asked})
        status = service.wait(made, timeout=PATIENCE)
        return status["job"]["pods"][0], service.client.result(made)["result"]

    return run


@pytest.mark.parametrize("script", [FORKS, THREADS])
def test_each_of_the_runs_at_a_time_may_have_its_processes(service: Service, base: str, script: str) -> None:
    made = [service.submit({"base": base, "script": script}) for _ in range(2)]
    seen = []
    for one in made:
        assert service.wait(one, timeout=PATIENCE)["phase"] == "succeeded"
        seen.append(service.client.result(one)["result"]["stdout_text"].split())
    assert all(PROCESSES // 2 < int(started) < PROCESSES for started, _ in seen)
    assert len({user for _, user in seen}) == 2


def test_the_kernel_holds_each_process_and_each_user(run: Run) -> None:
    _, report = run("#!/bin/sh\ncat /proc/self/limits\n", memory="128Mi")
    limits = {line[:25].strip(): line.split()[-3:-1] for line in report["stdout_text"].splitlines()}
    assert limits["Max processes"] == [str(PROCESSES)] * 2
    assert limits["Max data size"] == [str(2 * (128 << 20) + (1 << 30))] * 2


@pytest.mark.parametrize("script", [GROWS, GROWS_TOGETHER])
def test_a_run_that_takes_too_much_memory_is_ended_as_by_the_kernel(run: Run, script: str) -> None:
    item, report = run(script, memory="128Mi")
    assert (item["reason"], item["exit_code"]) == ("OOMKilled", 137)
    assert report["oom_killed"] is True
    assert script != GROWS or report["stdout_text"] == "before\n"


def test_one_process_cannot_take_all_memory_between_two_looks(run: Run) -> None:
    _, report = run(ASKS_FOR_ALL)
    assert report["stdout_text"] == "refused\n"


def test_memory_that_processes_share_counts_once(run: Run) -> None:
    item, report = run(SHARES, memory="256Mi")
    assert (item["reason"], report["stdout_text"]) == ("Completed", "{0}\n")


def test_others_go_on_while_one_is_ended(service: Service, run: Run, base: str) -> None:
    made = service.submit({"base": base, "script": GROWS, "run": {"requests": {"memory": "64Mi"}}})
    _, report = run("#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8; do sleep 0.5; done; echo all\n")
    assert report["stdout_text"] == "all\n"
    assert service.wait(made, timeout=PATIENCE)["reason"] == "OOMKilled"


def test_answers_and_pages_say_which_limits_are_weak(service: Service, run: Run, base: str) -> None:
    item, report = run("#!/bin/sh\ntrue\n")
    weak = weak_limits()
    assert item["weak_limits"] == report["weak_limits"] == weak
    made = service.client.list(limit=1)["items"][0]["inspection_id"]
    assert service.client.status(made)["build"]["weak_limits"] == weak
    page = requests.get(f"{service.url}/inspections/{made}/items/0", timeout=30).text
    assert words.weak_limits(weak) in " ".join(page.split())


@pytest.fixture
def greedy(base: str, tmp_path: Path) -> Iterator[str]:
    bases = Bases(machine.for_settings(Settings()), base, tmp_path)
    (tmp_path / "dnf").write_text(GREEDY)
    yield bases.make("COPY dnf /usr/bin/dnf", "RUN chmod 755 /usr/bin/dnf")
    bases.remove()


def test_a_build_with_too_many_processes_is_ended(service: Service, greedy: str) -> None:
    status, _ = build(service, greedy, packages=["forker"])
    assert (status["phase"], status["reason"]) == ("build_failed", "ProcessLimitExceeded")
    assert status["build"]["weak_limits"] == weak_limits()


def test_a_build_that_takes_too_much_memory_is_ended_and_begun_again_for_who_allows_more(
    service: Service, greedy: str
) -> None:
    asked = [{"requests": {"memory": memory}} for memory in ("64Mi", "1Gi")]
    small, large = [service.submit({"base": greedy, "packages": ["eater"], "build": build}) for build in asked]
    assert service.wait(small, timeout=PATIENCE)["reason"] == "OutOfMemoryKilled"
    status = service.wait(large, timeout=PATIENCE)
    assert status["phase"] == "build_failed"
    assert status["reason"] != "OutOfMemoryKilled"
    log = b"".join(service.client.build_log(large)).decode()
    assert "begins again with larger ones" in log
    assert "no such package" in log
    wait_until(lambda: service.client.status(small)["build"]["reason"] == "OutOfMemoryKilled")
