"""What callers are told of an inspection at every point of its life, and what the controller does next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from amun.application.controller import Step, next_step
from amun.model import status
from amun.model.inspection import BuildState, Inspection, ItemState, Observation
from amun.validation.problems import validated

CREATED = "2026-01-01T00:00:00.000000Z"
LATER = "2026-01-01T00:01:00.000000Z"

QUEUED = BuildState()
BUILDING = BuildState(state="running", started_at=CREATED)
BUILT = BuildState(state="terminated", outcome="succeeded", reason="Completed", started_at=CREATED, finished_at=CREATED)
UNBUILT = replace(BUILT, outcome="failed", reason="BuildFailed", message="Step 3 failed.", exit_code=1)
KILLED = replace(BUILT, outcome="error", reason="BuildKilled", message="Killed twice.")
STOPPED = replace(BUILT, outcome="failed", reason="Cancelled", message="Nobody waits.")

WAITING = ItemState(0)
RUNNING = ItemState(0, state="running", started_at=CREATED)
DONE = ItemState(0, state="terminated", outcome="succeeded", reason="Completed", exit_code=0, finished_at=LATER)
FAILED = replace(DONE, outcome="failed", reason="NonZeroExit", message="The script exited with code 3.", exit_code=3)
LOST = replace(DONE, outcome="error", reason="NodeLost", message="The node is gone.", exit_code=137)


def observation(build: BuildState, *items: ItemState, **more: Any) -> Observation:
    document = {"base": "debian:12", "batch_size": max(1, len(items)), "allowed_failures": more.pop("allowed", 0)}
    specification = validated({**document, "script": "true"} if items else document)
    inspection = Inspection("inspection-1", specification, "0" * 64 if items else None, "sha256:1", CREATED)
    numbered = tuple(replace(item, item=number) for number, item in enumerate(items))
    return Observation(inspection, build, numbered, **more)


LIFE = [
    # what is, the phase, its reason, the controller's next step
    (observation(QUEUED, WAITING), "queued", "BuildQueued", Step.BUILD),
    (observation(BUILDING, WAITING), "building", None, Step.BUILD),
    (observation(UNBUILT, WAITING), "build_failed", "BuildFailed", Step.FINISH),
    (observation(KILLED, WAITING), "error", "BuildKilled", Step.FINISH),
    (observation(BUILT, WAITING), "pending", "RunQueued", Step.RUN),
    (observation(BUILT, RUNNING), "running", None, Step.RUN),
    (observation(BUILT, DONE, WAITING), "running", None, Step.RUN),
    (observation(BUILT, DONE, DONE), "succeeded", None, Step.FINISH),
    (observation(BUILT, FAILED), "failed", "NonZeroExit", Step.FINISH),
    (observation(BUILT, LOST), "error", "NodeLost", Step.FINISH),
    (observation(BUILT), "succeeded", None, Step.FINISH),
    # allowed_failures: as many may fail; with one more, the rest is not started
    (observation(BUILT, FAILED, WAITING, allowed=1), "running", None, Step.RUN),
    (observation(BUILT, FAILED, DONE, allowed=1), "succeeded", None, Step.FINISH),
    (observation(BUILT, FAILED, WAITING), "failed", "NonZeroExit", Step.FINISH),
    (observation(BUILT, FAILED, RUNNING), "running", None, Step.RUN),
    # the script's failure is never called the platform's, nor the reverse
    (observation(BUILT, LOST, FAILED, allowed=1), "error", "NodeLost", Step.FINISH),
    (observation(BUILT, LOST, FAILED), "failed", "NonZeroExit", Step.FINISH),
    # cancelling
    (observation(QUEUED, WAITING, cancelled_at=LATER), "cancelled", "Cancelled", Step.FINISH),
    (observation(STOPPED, WAITING, cancelled_at=LATER), "cancelled", "Cancelled", Step.FINISH),
    (observation(BUILT, RUNNING, cancelled_at=LATER), "running", "Cancelling", Step.STOP),
    (
        observation(BUILT, replace(FAILED, reason="Cancelled"), cancelled_at=LATER),
        "cancelled",
        "Cancelled",
        Step.FINISH,
    ),
    (observation(BUILT, DONE, cancelled_at=LATER), "succeeded", None, Step.FINISH),
    (observation(BUILT, cancelled_at=LATER), "succeeded", None, Step.FINISH),
    (observation(BUILDING, cancelled_at=LATER), "cancelled", "Cancelled", Step.FINISH),
    # state that cannot be read
    (observation(QUEUED, defect="The state file record.json is corrupt."), "error", "StateCorrupt", Step.FINISH),
]


@pytest.mark.parametrize(("seen", "phase", "reason", "step"), LIFE)
def test_phase_reason_and_next_step(seen: Observation, phase: str, reason: str | None, step: Step) -> None:
    found = status.verdict(seen)
    assert (found.phase, found.reason) == (phase, reason)
    assert next_step(seen) is step


@pytest.mark.parametrize("seen", [seen for seen, *_ in LIFE])
def test_what_waits_or_failed_says_why(seen: Observation) -> None:
    found = status.verdict(seen)
    if found.phase not in ("succeeded", "running", "building"):
        assert found.reason
        assert found.message


@pytest.mark.parametrize("seen", [seen for seen, *_ in LIFE])
def test_older_clients_can_read_it_and_learn_of_the_end(seen: Observation) -> None:
    document = status.to_document(seen)
    assert isinstance(document["build"]["started_at"], str)
    assert document["status"]["build"] == document["build"]
    over = status.verdict(seen).over
    assert ("conditions" in document["status"]["workflow"]) is over
    if seen.items:
        assert isinstance(document["job"]["started_at"], str)
        assert document["job"]["completions"] == len(seen.items)
        if over:
            assert document["job"]["state"] == "terminated"
            assert document["job"]["finished_at"] is not None
    else:
        assert document["job"] is None


def test_after_a_failed_build_the_job_is_over_and_says_so() -> None:
    job = status.to_document(observation(UNBUILT, WAITING, WAITING))["job"]
    assert (job["state"], job["reason"]) == ("terminated", "BuildFailed")
    assert [pod["reason"] for pod in job["pods"]] == ["NotStarted", "NotStarted"]


def test_a_closed_inspection_needs_nothing_more() -> None:
    assert next_step(observation(BUILT, DONE, finished_at=LATER)) is None
