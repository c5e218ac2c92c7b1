"""Where an inspection stands, in the words of the API: pure functions of what an engine observed.

`phase` is the one word for people and schedulers; the BUILD, JOB and ITEM objects are those of API.md, with the
fields that the two older generations of clients read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from . import timestamps
from .inspection import BuildState, ItemState, Observation

Phase = Literal["queued", "building", "build_failed", "pending", "running", "succeeded", "failed", "cancelled", "error"]

OVER: frozenset[Phase] = frozenset({"build_failed", "succeeded", "failed", "cancelled", "error"})

WORKFLOW = {
    "queued": "Pending",
    "building": "Running",
    "pending": "Running",
    "running": "Running",
    "succeeded": "Succeeded",
    "build_failed": "Failed",
    "failed": "Failed",
    "cancelled": "Failed",
    "error": "Error",
}
"""Phases as the workflow engine under the second generation of the service called them."""


@dataclass(frozen=True)
class Verdict:
    """The phase, why it waits or failed, and one sentence about it."""

    phase: Phase
    reason: str | None = None
    message: str | None = None

    @property
    def over(self) -> bool:
        return self.phase in OVER


def too_many_failures(observation: Observation) -> bool:
    """Whether more items have failed than the specification allows, so that no other is started."""
    failures = sum(item.outcome not in (None, "succeeded") for item in observation.items)
    return failures > max(0, observation.inspection.specification.allowed_failures)


def active(observation: Observation) -> bool:
    """Whether a container may be working, or about to, for this inspection alone."""
    return any(item.state in ("running", "scheduling") for item in observation.items)


def job_over(observation: Observation) -> bool:
    """Whether every item has ended that ever will."""
    if active(observation):
        return False
    stopped = observation.cancelled_at is not None or too_many_failures(observation)
    return stopped or all(item.outcome is not None for item in observation.items)


def verdict(observation: Observation) -> Verdict:
    """The phase of an inspection with its reason."""
    build = observation.build
    if observation.defect is not None:
        return Verdict("error", "StateCorrupt", observation.defect)
    if build.outcome == "error":
        return Verdict("error", build.reason, build.message)
    if build.outcome == "failed" and build.reason != "Cancelled":
        return Verdict("build_failed", build.reason, build.message)
    if observation.cancelled_at is not None and _cut_short(observation):
        if active(observation):
            return Verdict("running", "Cancelling", "The inspection is being cancelled.")
        return Verdict("cancelled", "Cancelled", "The inspection was cancelled.")
    if build.outcome is None:
        return _waiting_or(build, Verdict("building"), "queued")
    return _job_verdict(observation)


def _cut_short(observation: Observation) -> bool:
    """Whether cancelling took something away: all that was to be done may have been done before it took effect."""
    build = observation.build
    if build.outcome != "succeeded" or (build.finished_at or "") > (observation.cancelled_at or ""):
        return True
    return any(item.outcome is None or item.reason == "Cancelled" for item in observation.items)


def _waiting_or(state: BuildState, running: Verdict, waiting: Phase) -> Verdict:
    if state.state == "running":
        return Verdict(running.phase, state.reason, state.message)
    return Verdict(waiting, state.reason or "BuildQueued", state.message or "The build waits for its turn.")


def _job_verdict(observation: Observation) -> Verdict:
    items = observation.items
    if not job_over(observation):
        if any(item.state in ("running", "terminated") for item in items):
            return Verdict("running")
        first = items[0]
        return Verdict("pending", first.reason or "RunQueued", first.message or "The run waits for its turn.")
    failed = [item for item in items if item.outcome == "failed"]
    broken = [item for item in items if item.outcome == "error"]
    if not too_many_failures(observation):
        return Verdict("succeeded")
    # A caller retries what the platform failed, never what the script failed.
    decisive = broken if broken and len(failed) <= observation.inspection.specification.allowed_failures else failed
    phase: Phase = "error" if decisive is broken else "failed"
    return Verdict(phase, decisive[0].reason, _about(decisive, len(items)))


def _about(items: list[ItemState], count: int) -> str:
    first = items[0]
    which = "The run" if count == 1 else f"Item {first.item}"
    more = f" ({len(items)} of {count} items in all)" if len(items) > 1 else ""
    return f"{which} failed: {first.message or first.reason}{more}"


# -- documents ------------------------------------------------------------------------------------------------------


def to_document(observation: Observation) -> dict[str, Any]:
    """The status of API.md."""
    found = verdict(observation)
    build, job = build_document(observation), job_document(observation, found)
    return {
        "parameters": {"inspection_id": observation.inspection.id},
        **asdict(found),
        "build": build,
        "job": job,
        "status": {
            "build": build,
            "job": job,
            "workflow": _workflow(observation, found),
            "data_stored": observation.data_stored,
        },
    }


def summary(observation: Observation) -> dict[str, Any]:
    """What a list says of an inspection; `duration` is in seconds, from when it was accepted to its end."""
    inspection, items, found = observation.inspection, observation.items, verdict(observation)
    finished = end(observation) if found.over else None
    return {
        "inspection_id": inspection.id,
        "owner": inspection.owner,
        "identifier": inspection.specification.identifier,
        "base": inspection.specification.base,
        "created": inspection.created,
        "started_at": _least(item.started_at for item in items),
        "finished_at": finished,
        "duration": timestamps.between(inspection.created, finished),
        "cached": observation.build.cached,
        "batch_size": len(items),
        "items": _tally(items),
        **asdict(found),
    }


def _tally(items: Sequence[ItemState]) -> dict[str, int]:
    return {
        "total": len(items),
        "over": sum(item.outcome is not None for item in items),
        "succeeded": sum(item.outcome == "succeeded" for item in items),
        "failed": sum(item.outcome in ("failed", "error") for item in items),
    }


def build_document(observation: Observation) -> dict[str, Any]:
    """BUILD of API.md. `started_at` is when it was accepted until it starts: older clients refuse null there."""
    inspection, document = observation.inspection, asdict(observation.build)
    document.pop("outcome")
    document["started_at"] = document["started_at"] or inspection.created
    return {**document, "environment": inspection.environment}


def job_document(observation: Observation, found: Verdict) -> dict[str, Any] | None:
    """JOB of API.md, None if there is no script. After a failed build it is over, so that nobody polls for ever."""
    items = observation.items
    if not items:
        return None
    warmup = observation.inspection.specification.warmup
    pods = [item_document(item, found.over, item.item < warmup) for item in items]
    first = pods[0]
    if found.over and observation.build.outcome != "succeeded":
        reason = "BuildFailed" if found.phase == "build_failed" else found.reason
        first = {**first, "reason": reason, "finished_at": end(observation)}
    return {
        "container": first["container"],
        "active": sum(item.state == "running" for item in items),
        "succeeded": sum(item.outcome == "succeeded" for item in items),
        "failed": sum(item.outcome in ("failed", "error") for item in items),
        "completions": len(items),
        "state": first["state"],
        "exit_code": first["exit_code"],
        "reason": first["reason"],
        "started_at": _least(item.started_at for item in items) or observation.inspection.created,
        "finished_at": end(observation) if found.over else None,
        "pods": pods,
    }


def item_document(item: ItemState, over: bool, warmup: bool = False) -> dict[str, Any]:
    """ITEM of API.md; one that was never started, and never will be, is over as well."""
    document = {**asdict(item), "warmup": warmup}
    document.pop("outcome")
    if over and item.state == "waiting":
        document.update(state="terminated", reason="NotStarted")
    return document


def _workflow(observation: Observation, found: Verdict) -> dict[str, Any]:
    workflow: dict[str, Any] = {
        "phase": WORKFLOW[found.phase],
        "startedAt": observation.inspection.created,
        "finishedAt": end(observation) if found.over else None,
        "message": found.message,
    }
    if found.over:
        workflow["conditions"] = [{"type": "Completed", "status": "True"}]
    return workflow


def end(observation: Observation) -> str | None:
    """When the last thing of the inspection ended."""
    ends = [observation.build.finished_at, observation.cancelled_at, *(item.finished_at for item in observation.items)]
    known = sorted(end for end in ends if end is not None)
    return observation.finished_at or (known[-1] if known else None)


def _least(moments: Iterable[str | None]) -> str | None:
    return min((moment for moment in moments if moment is not None), default=None)
