"""What the status of a Build says of its phases, and of how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import Any

Document = dict[str, Any]

GENERIC = ("Failed", "GenericBuildFailed", "Generic Build failure - check logs for details.")
MEMORY = ("Failed", "OutOfMemoryKilled", "The build pod was killed due to an out of memory condition.")
SNIPPET_LINES, SNIPPET_WIDTH = 5, 120


class Missing(Exception):
    """Something a Build names is not there yet."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


def set_phase(build: Document, phase: str, now: str, reason: str = "", message: str = "") -> None:
    """Move a Build to a phase; why, and by its conditions since when."""
    status = build["status"]
    times = {"lastUpdateTime": now, "lastTransitionTime": now}
    said = {name: text for name, text in (("reason", reason), ("message", message)) if text}
    for condition in status["conditions"]:
        if condition["status"] == "True" and condition["type"] != phase:
            condition.update(times, status="False")
            condition.pop("reason", None)
            condition.pop("message", None)
    if all(condition["type"] != phase for condition in status["conditions"]):
        status["conditions"].append({"type": phase, "status": "True", **times, **said})
    for name in ("reason", "message"):
        status.pop(name, None)
    status.update(said, phase=phase)


def completed(build: Document, pod: Document | None, now: str) -> None:
    """Say of a Build that is over when it began and ended, and of a failed one what its log ended with."""
    status = build["status"]
    start = status.setdefault("startTimestamp", ((pod or {}).get("status") or {}).get("startTime") or now)
    if "completionTimestamp" not in status:
        status["completionTimestamp"] = now
        seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(start)).total_seconds()
        if seconds:
            status["duration"] = int(seconds) * 10**9
    if status["phase"] in ("Failed", "Error") and not status.get("logSnippet") and (said := snippet(pod)):
        status["logSnippet"] = said


def snippet(pod: Document | None) -> str:
    """The last lines of what the container of a build left as its message."""
    listed = ((pod or {}).get("status") or {}).get("containerStatuses") or [{"state": {}}]
    message = (listed[0]["state"].get("terminated") or {}).get("message", "")
    lines = message.rstrip("\n").split("\n")[-SNIPPET_LINES:]
    return "\n".join(line if len(line) <= SNIPPET_WIDTH else f"{line[:58]}...{line[-59:]}" for line in lines)


def fail_reason(pod: Document, deleted: tuple[str, str]) -> tuple[str, str, str]:
    """Phase, reason and message of a Build whose pod failed without the builder's saying why."""
    status = pod["status"]
    states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    if any((state["state"].get("terminated") or {}).get("reason") == "OOMKilled" for state in states):
        return MEMORY
    if status.get("reason") == "Evicted":
        return "Failed", "BuildPodEvicted", status.get("message", "")
    if pod["metadata"].get("deletionTimestamp"):
        return ("Error", *deleted)
    return GENERIC


def stage(name: str, step: str, start: datetime, end: datetime) -> Document:
    """How long one part of a build took."""
    began = f"{start:%Y-%m-%dT%H:%M:%SZ}"
    took = {"startTime": began, "durationMilliseconds": max(int((end - start).total_seconds() * 1000), 1)}
    return {"name": name, **took, "steps": [{"name": step, **took}]}
