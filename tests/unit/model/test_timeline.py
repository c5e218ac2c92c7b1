"""Where the time of an inspection went, told at every point of its life."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from amun.model import timeline
from amun.model.inspection import BuildState, Inspection, ItemState, Observation
from amun.validation.problems import validated


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}.000000Z"


BUILT = BuildState(state="terminated", outcome="succeeded", started_at=at(5), finished_at=at(20))
RAN = ItemState(
    0, "terminated", "succeeded", "Completed", placed_at=at(22), pulled_at=at(25), started_at=at(26), finished_at=at(40)
)


def steps(build: BuildState, *items: ItemState, **more: Any) -> list[tuple[str, str, str | None]]:
    """Name, start and end of each step."""
    return [(step["step"], step["started_at"], step["finished_at"]) for step in document(build, *items, **more)]


def document(build: BuildState, *items: ItemState, **more: Any) -> list[dict[str, Any]]:
    specification = validated({"base": "debian:12", "script": "true", "batch_size": len(items) or 1})
    inspection = Inspection("inspection-1", specification, "0" * 64, "sha256:1", at(1))
    return timeline.to_document(Observation(inspection, build, items or (ItemState(0),), **more))


def test_all_of_it_is_told_and_waiting_is_told_apart() -> None:
    told = document(BUILT, RAN, finished_at=at(41))
    assert [(step["step"], step["item"], step["waiting"]) for step in told] == [
        ("queue", None, True),
        ("build", None, False),
        ("wait", 0, True),
        ("pull", 0, False),
        ("start", 0, False),
        ("run", 0, False),
    ]
    # one ends where the next begins, from when it was accepted to the end of the run
    assert [step["started_at"] for step in told] == [at(1), at(5), at(20), at(22), at(25), at(26)]
    assert [step["finished_at"] for step in told] == [at(5), at(20), at(22), at(25), at(26), at(40)]


def test_what_goes_on_has_no_end_and_says_why_it_waits() -> None:
    (queued,) = document(BuildState(reason="QuotaExceeded", message="No room."))
    assert (queued["step"], queued["finished_at"], queued["reason"]) == ("queue", None, "QuotaExceeded")
    assert steps(BuildState(state="running", started_at=at(5)))[-1] == ("build", at(5), None)
    waiting = document(BUILT, ItemState(0, reason="Unschedulable", message="0/3 nodes are available."))[-1]
    assert (waiting["step"], waiting["finished_at"], waiting["message"]) == ("wait", None, "0/3 nodes are available.")
    running = replace(RAN, state="running", outcome=None, finished_at=None)
    assert steps(BUILT, running)[-1] == ("run", at(26), None)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (replace(BUILT, started_at=at(0), finished_at=at(0)), []),  # there before it was accepted
        (replace(BUILT, started_at=at(0)), [("build", at(1), at(20))]),  # joined while it was under way
        (BuildState("terminated", "succeeded", started_at=None, finished_at=at(0)), []),
    ],
)
def test_of_a_shared_build_only_what_it_waited_for_counts(build: BuildState, expected: list[object]) -> None:
    assert [step for step in steps(build, RAN) if step[0] in ("queue", "build")] == expected


def test_a_failed_build_is_the_end_and_says_why() -> None:
    failed = replace(BUILT, outcome="failed", reason="BuildFailed", message="Step 3 failed.")
    told = document(failed, finished_at=at(21))
    assert [step["step"] for step in told] == ["queue", "build"]
    assert (told[-1]["finished_at"], told[-1]["message"]) == (at(20), "Step 3 failed.")


def test_what_was_never_started_ends_with_the_inspection() -> None:
    failed = replace(RAN, outcome="failed", reason="NonZeroExit")
    told = document(BUILT, failed, ItemState(1), finished_at=at(41))
    assert (told[-1]["step"], told[-1]["item"], told[-1]["finished_at"]) == ("wait", 1, at(41))


def test_a_cancelled_inspection_that_waited_for_its_build_waits_no_more() -> None:
    assert steps(BuildState(), cancelled_at=at(9), finished_at=at(9)) == [("queue", at(1), at(9))]


def test_one_machine_needs_no_pull_and_clocks_may_disagree() -> None:
    here = replace(RAN, pulled_at=None)
    assert [name for name, *_ in steps(BUILT, here)] == ["queue", "build", "wait", "start", "run"]
    early = replace(RAN, placed_at=at(19))  # another machine's clock is behind
    assert all(end is None or start <= end for _, start, end in steps(BUILT, early))
