"""Conditions of pods, as those who set them write them."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

ORDER = (
    "DisruptionTarget",
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
)


def set_condition(pod: Document, kind: str, status: str, now: str, reason: str = "", message: str = "") -> None:
    """Set a condition of a pod; the time of its transition changes only with its status."""
    listed = pod["status"].setdefault("conditions", [])
    old = next((condition for condition in listed if condition["type"] == kind), None)
    since = old["lastTransitionTime"] if old and old["status"] == status else now
    fresh = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    fresh |= {name: value for name, value in (("reason", reason), ("message", message)) if value}
    kept = [condition for condition in listed if condition["type"] != kind]
    pod["status"]["conditions"] = sorted([*kept, fresh], key=lambda condition: ORDER.index(condition["type"]))


def get_condition(pod: Document, kind: str) -> Document:
    """A condition of a pod, empty where it has none of that type."""
    listed = pod["status"].get("conditions") or ()
    found: Document = next((condition for condition in listed if condition["type"] == kind), {})
    return found
