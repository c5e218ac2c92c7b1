"""What is done about limits where control groups do not enforce them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.engines.podman.podman_cli import Podman
from amun.engines.podman.runs import oci_hook, usage
from amun.engines.podman.runs.usage import UsageGuard
from amun.pages import words

MEBIBYTE = 1 << 20
LIMITS = st.sets(st.sampled_from(["cpu", "memory", "pids"]))


@given(LIMITS)
def test_each_limit_is_enforced_or_said_not_to_be(limits: set[str]) -> None:
    weak = usage.weak_limits(limits)
    assert len(weak) + len(limits) == 3
    assert weak.get("cpu", "none") == "none"
    assert {how for name, how in weak.items() if name != "cpu"} <= {"fallback"}
    assert all(name in words.weak_limits(weak) for name in weak)


@given(st.text(min_size=1), st.integers(1, 50_000))
def test_a_pod_has_always_the_same_user_in_the_range(pod: str, first: int) -> None:
    assert first <= usage.user_of(pod, first) < first + usage.USERS
    assert usage.user_of(pod, first) == usage.user_of(pod, first)


@pytest.mark.parametrize("before", [None, [{"type": "RLIMIT_NPROC", "soft": 9, "hard": 9}]])
def test_the_hook_sets_what_annotations_ask_for_and_leaves_the_rest(before: Any) -> None:
    process = {"rlimits": before}
    oci_hook.limit_resources(process, {oci_hook.PROCESSES: "7", oci_hook.MEMORY: str(MEBIBYTE)})
    limits = {one["type"]: (one["soft"], one["hard"]) for one in process["rlimits"]}
    assert limits == {"RLIMIT_NPROC": (7, 7), "RLIMIT_DATA": (MEBIBYTE, MEBIBYTE)}
    untouched = {"rlimits": before}
    oci_hook.limit_resources(untouched, {"other": "1"})
    assert untouched == {"rlimits": before}


def test_no_limit_is_above_what_this_process_may_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, 100))
    process: dict[str, Any] = {}
    oci_hook.limit_resources(process, {oci_hook.PROCESSES: "1000"})
    assert process["rlimits"] == [{"type": "RLIMIT_NPROC", "soft": 100, "hard": 100}]
    assert usage.ulimit("nproc", 1000) == "nproc=100:100"
    assert usage.ulimit("nproc", 50) == "nproc=50:50"


CHILDREN = """
import os, sys
for _ in range(3):
    if os.fork() == 0:
        kept = bytes([1]) * (20 << 20) if sys.argv[1] == "own" else shared
        print(flush=True)
        sys.stdin.read()
        os._exit(0)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("kind", "memory", "exceeded"), [("own", 40, "memory"), ("own", 900, None)])
def test_the_memory_of_all_that_came_of_a_process_counts(kind: str, memory: int, exceeded: str | None) -> None:
    if os.geteuid() != 0:
        pytest.skip("without root, Podman has to be asked to look")
    with subprocess.Popen(
        [sys.executable, "-c", CHILDREN, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        guard = UsageGuard(Podman("podman", {}), memory * MEBIBYTE, None)
        assert guard.exceeded(process.pid) == exceeded
        assert UsageGuard(Podman("podman", {}), None, 3).exceeded(process.pid) == "processes"
        assert UsageGuard(Podman("podman", {}), None, 4).exceeded(process.pid) is None


def test_memory_that_children_share_counts_once() -> None:
    if os.geteuid() != 0:
        pytest.skip("without root, Podman has to be asked to look")
    program = "shared = bytes([1]) * (60 << 20)\n" + CHILDREN
    with subprocess.Popen(
        [sys.executable, "-c", program, "shared"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        tree = list(usage.descent(process.pid))
        assert sum(one.resident for one in tree) > 200 * MEBIBYTE
        assert UsageGuard(Podman("podman", {}), 150 * MEBIBYTE).exceeded(process.pid) is None


def test_a_container_that_is_gone_takes_nothing() -> None:
    assert list(usage.descent(0)) == []
    assert UsageGuard(Podman("podman", {}), 1, 1).exceeded(0) is None
