"""Why a pod waits, or could not be made: in the cluster's own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError"})
"""The kubelet's reasons for a container whose image it could not get (pkg/kubelet/images)."""


# Words of the kubelet's evictions for limits of the pod's own (pkg/kubelet/eviction/helpers.go: …MessageFmt); a node
# that runs low has others, and those alone make a pod a DisruptionTarget.
_DISK = re.compile(
    r"exceeded its local ephemeral storage limit|ephemeral local storage usage exceeds the total limit of containers"
    r"|Usage of EmptyDir volume .* exceeds the limit"
)

STORAGE = "StorageLimitExceeded"


def wrote_too_much(message: str | None) -> bool:
    """Whether a pod was evicted because it wrote more to disk than it may."""
    return bool(_DISK.search(message or ""))


class Why(NamedTuple):
    """A CamelCase word for programs and a sentence for people."""

    reason: str
    message: str


def why(pod: Mapping[str, Any]) -> Why | None:
    """What keeps a pod from starting: the scheduler's or the kubelet's reason, None where it is on its way."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Why(condition.get("reason") or "Unschedulable", condition.get("message") or "It has no node yet.")
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        held = (container.get("state") or {}).get("waiting") or {}
        if held.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return Why(held["reason"], held.get("message") or f"Container {container['name']} cannot start yet.")
    return None


UNNOTICED = Why("NotStarted", "Nothing on the cluster has taken any notice of it.")


def unnoticed(pod: Mapping[str, Any]) -> Why | None:
    """Whether no scheduler has looked at a pod."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    looked_at = any(condition["type"] == "PodScheduled" for condition in conditions)
    return None if looked_at or (pod.get("spec") or {}).get("nodeName") else UNNOTICED


def refused_pods(events: Iterable[Mapping[str, Any]]) -> Why | None:
    """Why the pods of a Job are not made, by the last event that says so."""
    said = [event for event in events if event.get("reason") == "FailedCreate"]
    if not said:
        return None
    last = max(said, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return Why(reason_of(last.get("message") or "", "FailedCreate"), last.get("message") or "")


def reason_of(message: str, otherwise: str) -> str:
    """A quota has no reason of its own on a cluster; the words that it is refused with are always the same."""
    return "QuotaExceeded" if "exceeded quota" in message else otherwise
