"""Builds that several inspections wait for, each with limits of its own. Needs Podman."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amun.engines.podman.host import machine
from amun.engines.podman.host.machine import Machine
from amun.settings import Settings
from tests.conftest import Service, wait_until
from tests.support.standin_base import hog, make, slow, tokens

pytestmark = [pytest.mark.podman, pytest.mark.slow]


class Stack:
    """A stack on a service of its own, posted with different limits."""

    def __init__(self, service: Service, base: str, *packages: str) -> None:
        self.service = service
        self.document = {"base": base, "packages": list(packages)}

    def post(self, timeout: int = 600, cache: bool = True, **requests: str) -> str:
        return self.service.submit(
            {**self.document, "build": {"timeout": timeout, "requests": requests, "cache": cache}}
        )

    def log(self, inspection_id: str) -> str:
        return b"".join(self.service.client.build_log(inspection_id)).decode()

    def build_path(self, inspection_id: str) -> Path:
        container: str = self.service.client.status(inspection_id)["build"]["container"]
        return self.service.state_dir / "builds" / container.removeprefix("build-")


@pytest.fixture(scope="module")
def found(base: str) -> Machine:
    return machine.for_settings(Settings())


@pytest.fixture
def post(own_service: Callable[..., Service], found: Machine, base: str) -> Callable[..., Stack]:
    if "memory" not in found.limits:
        pytest.skip("this machine cannot limit the memory of containers")
    image = make(found, base)
    service = own_service(max_builds=2).start()
    return lambda *packages: Stack(service, image, *packages)


def ended(stack: Stack, inspection_id: str) -> tuple[str, str | None]:
    status: dict[str, Any] = stack.service.wait(inspection_id, timeout=120)
    return status["phase"], status["reason"]


KILLED = ("build_failed", "OutOfMemoryKilled")
LATE = ("build_failed", "DeadlineExceeded")
BUILT = ("succeeded", None)


def test_who_allows_too_little_memory_decides_for_nobody_else(post: Callable[..., Stack]) -> None:
    stack = post(slow(3), hog(200))
    small = stack.post(memory="64Mi")
    wait_until(lambda: "to go" in stack.log(small))
    larger, smallest = stack.post(memory="512Mi"), stack.post(memory="48Mi")
    assert ended(stack, small) == KILLED
    assert ended(stack, smallest) == KILLED
    assert ended(stack, larger) == BUILT
    log = stack.log(larger)
    assert "The build came to a limit; it begins again with larger ones." in log
    assert len(tokens(log)) == 2
    assert len(tokens(stack.log(small))) == 1
    assert "begins again" not in stack.log(small)
    assert ended(stack, stack.post(memory="64Mi")) == BUILT, "what is built is built"


def test_who_comes_after_a_failure_of_smaller_limits_has_a_build_of_their_own(post: Callable[..., Stack]) -> None:
    stack = post(hog(200))
    assert ended(stack, stack.post(memory="64Mi")) == KILLED
    assert ended(stack, stack.post(memory="512Mi")) == BUILT


def test_a_build_afresh_begins_again_for_those_who_joined_it(post: Callable[..., Stack]) -> None:
    stack = post(slow(2), hog(200))
    afresh = stack.post(memory="64Mi", cache=False)
    wait_until(lambda: "to go" in stack.log(afresh))
    joined = stack.post(memory="512Mi")
    assert ended(stack, afresh) == KILLED
    assert ended(stack, joined) == BUILT


def test_when_the_one_with_large_limits_is_cancelled_the_build_is_over_for_the_rest(post: Callable[..., Stack]) -> None:
    stack = post(slow(3), hog(200))
    small = stack.post(memory="64Mi")
    wait_until(lambda: "to go" in stack.log(small))
    large = stack.post(memory="512Mi")
    stack.service.client.cancel(large)
    assert ended(stack, small) == KILLED
    assert stack.service.wait(large)["phase"] == "cancelled"
    assert len(tokens(stack.log(small))) == 1


def test_less_of_the_processor_is_no_reason_to_be_late_for_who_allows_more(post: Callable[..., Stack]) -> None:
    """One has allowed the same time, but more of the processor: at the end of the time it begins again with that."""
    stack = post(slow(4))
    small = stack.post(timeout=3, cpu="200m")
    wait_until(lambda: "to go" in stack.log(small))
    large = stack.post(timeout=600, cpu="1")
    quick = stack.post(timeout=3, cpu="1")
    assert ended(stack, small) == LATE
    assert ended(stack, quick) == LATE, "four seconds are four seconds, whatever the processor"
    assert ended(stack, large) == BUILT
    assert len(tokens(stack.log(large))) == 2


@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_controller_that_is_killed_forgets_neither_limits_nor_who_waits(
    post: Callable[..., Stack], moment: str
) -> None:
    stack = post(slow(3), hog(200))
    small = stack.post(memory="64Mi")
    wait_until(lambda: "to go" in stack.log(small))
    large = stack.post(memory="512Mi")
    if moment == "between":
        wait_until(lambda: "begins again" in stack.log(large), pause=0.01)
    for pid in stack.service.parts("controller"):
        os.kill(pid, signal.SIGKILL)
    assert ended(stack, small) == KILLED
    assert ended(stack, large) == BUILT
    assert len(tokens(stack.log(large))) == 2
