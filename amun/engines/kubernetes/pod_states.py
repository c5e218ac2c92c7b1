"""Where the items of an inspection stand, by their pods and their Job: pure functions of the objects.

Nothing of a log is needed for it: hwinfo and the runner leave their accounts in the termination messages of their
containers (`amun.runs.programs`), which the kubelet keeps in the pod's status. So a status costs no more for a thousand
items than for one.
"""

from __future__ import annotations

import json
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from amun.model import timestamps
from amun.model.inspection import Inspection, ItemState
from amun.runs import report
from amun.runs.log_frames import Frame
from amun.runs.report import Outcome

from . import deleted_pods, names, pending_reasons
from .deleted_pods import Tried
from .records import Reason

CONTAINER = "run"
HWINFO = "hwinfo"

KILLED = (128 + signal.SIGKILL, 128 + signal.SIGTERM)
"""Exit codes of a container that was ended from outside."""

Pod = Mapping[str, Any]
Job = Mapping[str, Any]


def index(pod: Pod) -> int:
    """The item that a pod runs, -1 for a pod that no Job made."""
    return names.number(pod, names.ITEM, names.number(pod, names.INDEX, -1))


def attempt(pod: Pod) -> int:
    """Which attempt at its item a pod is, from 1: its Job's own, and those that the Job has counted as failed."""
    return names.number(pod, names.ATTEMPT, 1) + names.number(pod, names.FAILURES)


def states(
    inspection: Inspection,
    pods: Iterable[Pod],
    jobs: Sequence[Job],
    made: Mapping[str, int],
    stopped: Reason | None,
    attempts: int,
) -> tuple[ItemState, ...]:
    """One state for each item, by index. `stopped` says why none is started any more, where that is so."""
    by_item: defaultdict[int, list[Pod]] = defaultdict(list)
    for pod in pods:
        by_item[index(pod)].append(pod)
    found = []
    for item in inspection.items:
        tried = deleted_pods.tried(inspection.id, item, by_item[item], jobs, made)
        state = _state(inspection, item, by_item[item], tried, attempts)
        if state.state == "waiting" and state.container is None:
            state = _without_pod(state, tried, attempts)
        if state.state == "waiting" and stopped is not None:
            state = replace(state, state="terminated", outcome="error", reason=stopped.reason, message=stopped.message)
        found.append(state)
    return tuple(found)


def decisive(pods: Sequence[Pod]) -> Pod | None:
    """The pod whose report is the item's: the first that ended by itself, else the last there is."""
    ordered = sorted(pods, key=_made)
    ended = [pod for pod in ordered if ended_by_itself(pod)]
    return min(ended, key=_finished) if ended else (ordered[-1] if ordered else None)


def deleted(pod: Pod) -> bool:
    """Whether somebody deletes a pod that Amun did not ask to be deleted, and that had not ended before."""
    metadata, ended = pod["metadata"], _ending(pod, CONTAINER)
    moment = metadata.get("deletionTimestamp")
    if moment is None or names.STOPPED in (metadata.get("annotations") or {}):
        return False
    asked = timestamps.seconds(moment) - (metadata.get("deletionGracePeriodSeconds") or 0)
    return ended is None or timestamps.seconds(ended["finishedAt"]) >= asked


def terminated(pod: Pod) -> bool:
    """Whether none of its containers runs, or ever will."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def working(pod: Pod) -> bool:
    """Whether the script's container runs, or has just ended: the pod's own startTime is no container's."""
    return not terminated(pod) and _began(pod, CONTAINER)


def taken_away(
    inspection: Inspection, pods: Iterable[Pod], jobs: Sequence[Job], made: Mapping[str, int], attempts: int
) -> list[tuple[int, int]]:
    """Items whose last attempt somebody took away for good, and the number of the next one at each."""
    by_item: defaultdict[int, list[Pod]] = defaultdict(list)
    for pod in pods:
        by_item[index(pod)].append(pod)
    found = []
    for item in inspection.items:
        own = by_item[item]
        tried = deleted_pods.tried(inspection.id, item, own, jobs, made)
        ended = all(map(terminated, own)) and not any(map(ended_by_itself, own))
        if ended and tried.over and not tried.succeeded and tried.attempt < attempts:
            found.append((item, tried.attempt + 1))
    return found


def begun(pod: Pod) -> bool:
    """Whether any of its containers has begun."""
    return _began(pod, HWINFO) or _began(pod, CONTAINER)


def without_image(pod: Pod) -> bool:
    """Whether a pod waits for its image, which could not be had."""
    why = None if terminated(pod) else pending_reasons.why(pod)
    return why is not None and why.reason in pending_reasons.IMAGE


def on_its_way(pod: Pod) -> bool:
    """Whether a node is about to run it: it may have begun before anybody sees it."""
    return bool((pod.get("spec") or {}).get("nodeName")) and (pending_reasons.why(pod) is None or _began(pod, HWINFO))


def _began(pod: Pod, container: str) -> bool:
    return bool({"running", "terminated"} & (_status(pod, container).get("state") or {}).keys())


def disrupted(pod: Pod) -> str | None:
    """The platform's reason for having ended it, None where it did not."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return condition.get("reason") or "Evicted"
    return "PodDeleted" if deleted(pod) else None


def ended_by_itself(pod: Pod) -> bool:
    """Whether it ran to an end that was not the platform's doing."""
    return terminated(pod) and disrupted(pod) is None and _ending(pod, CONTAINER) is not None


def outcome(pod: Pod) -> Outcome:
    """What the cluster knows of how a pod's script ended."""
    status, script = pod.get("status") or {}, _ending(pod, CONTAINER)
    ending = script or _ending(pod, HWINFO) or {}
    annotations = pod["metadata"].get("annotations") or {}
    own = "Cancelled" if names.STOPPED in annotations else None
    reason = own or disrupted(pod) or status.get("reason") or ending.get("reason")
    if reason == "Evicted" and pending_reasons.wrote_too_much(status.get("message")):
        reason = pending_reasons.STORAGE
    if script is None and reason == "Error" and ending["exitCode"] not in KILLED:
        reason = "StartError"  # hwinfo.sh fails for nothing else
    return Outcome(
        exit_code=ending.get("exitCode"),
        reason=reason,
        oom_killed=True if ending.get("reason") == "OOMKilled" else None,  # kubelets do not tell of other processes
        started_at=_begun(pod, CONTAINER),
        finished_at=_moment(ending.get("finishedAt")),
        hostname=pod["metadata"]["name"],
    )


def account(pod: Pod, log: Iterable[Frame] = ()) -> Iterator[Frame]:
    """What is known of a run, the full and early first: what is in the log, what hwinfo and the runner left in their
    termination messages, as frames of a log would say it."""
    yield from log
    described = (_ending(pod, HWINFO) or {}).get("message")
    yield _said(json.dumps({"hwinfo": described} if described else {}))
    yield _said((_ending(pod, CONTAINER) or {}).get("message") or "")


def _said(text: str) -> Frame:
    return Frame("", "report", text.encode())


def short_report(inspection: Inspection, pod: Pod) -> dict[str, Any]:
    """The report of a pod's run as far as it is known without its log."""
    run = inspection.specification.run
    sent = inspection.script_sha256 or ""
    return report.assemble(account(pod), outcome(pod), sent, run.requests.hardware, timeout=run.timeout)


def _state(inspection: Inspection, item: int, pods: Sequence[Pod], tried: Tried, attempts: int) -> ItemState:
    pod = decisive(pods)
    if pod is None or (attempt(pod) < tried.attempt and not ended_by_itself(pod)):
        return ItemState(item)
    which = max(attempt(pod), sorted(map(_made, pods)).index(_made(pod)) + 1)
    state = ItemState(
        item,
        attempt=which,
        node=(pod.get("spec") or {}).get("nodeName"),
        container=CONTAINER,
        started_at=_begun(pod, CONTAINER),
        placed_at=_placed(pod),
        pulled_at=_begun(pod, HWINFO),
    )
    if not terminated(pod):
        return _unfinished(state, pod)
    known, short = outcome(pod), short_report(inspection, pod)
    wanted = inspection.specification.run.requests.hardware
    found = report.verdict(short, known, wanted, inspection.script_sha256)
    if found.reason == "PodDeleted":
        found = replace(found, message=deleted_pods.MESSAGE)
    if found.phase == "error" and which < attempts and _starts_again(pod, tried):
        return ItemState(item, attempt=which + 1, container=CONTAINER, reason="Restarting", message=found.message)
    if found.reason == "Cancelled" and not _began(pod, CONTAINER):
        found = replace(found, message="The run was cancelled before its script began.")
        known = replace(known, exit_code=None)
    return replace(
        state,
        state="terminated",
        outcome=found.phase,
        reason=found.reason,
        message=found.message or (pod.get("status") or {}).get("message"),
        exit_code=known.exit_code,
        started_at=short["start_datetime"] or state.started_at,
        finished_at=short["end_datetime"] or _moment_of_phase(pod),
        hardware_match=short["hardware_match"],
    )


def _unfinished(state: ItemState, pod: Pod) -> ItemState:
    held = pending_reasons.why(pod)
    if held is not None:
        return replace(state, reason=held.reason, message=held.message, started_at=None)
    if working(pod):
        return replace(state, state="running")
    state = replace(state, state="scheduling", started_at=None)
    if _began(pod, HWINFO):
        message = "The node's hardware is being described; the script begins after it."
        return replace(state, reason="PodInitializing", message=message)
    return replace(state, reason="PodPending", message="The run is about to start.")


def _starts_again(pod: Pod, tried: Tried) -> bool:
    """Whether there will be another pod: by the Job, as its failure policy says (job.yaml.j2), or by a further one."""
    if deleted(pod):
        return True
    codes = [(_ending(pod, name) or {}).get("exitCode") or 0 for name in (HWINFO, CONTAINER)]
    counted = disrupted(pod) is not None or not any(codes)
    failed = (pod.get("status") or {}).get("phase") == "Failed"
    return failed and counted and not tried.over


def _without_pod(state: ItemState, tried: Tried, attempts: int) -> ItemState:
    """What is known of an item whose pod is gone, and its log with it."""
    state = replace(state, attempt=tried.attempt)
    if tried.succeeded:
        return replace(state, state="terminated", outcome="succeeded", reason="Completed", message=None, exit_code=0)
    if not tried.over:
        return state
    if tried.attempt < attempts:
        return replace(state, attempt=tried.attempt + 1, reason="Restarting", message=deleted_pods.MESSAGE)
    return replace(state, state="terminated", outcome="error", reason="PodDeleted", message=deleted_pods.MESSAGE)


def _ending(pod: Pod, container: str) -> Mapping[str, Any] | None:
    ended: Mapping[str, Any] | None = (_status(pod, container).get("state") or {}).get("terminated")
    return ended


def _status(pod: Pod, container: str) -> Mapping[str, Any]:
    status = pod.get("status") or {}
    listed = (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ()))
    return next((one for one in listed if one["name"] == container), {})


def _made(pod: Pod) -> tuple[int, str, str]:
    """Orders the pods of one item: by the failures before it, for the times have whole seconds."""
    metadata = pod["metadata"]
    return names.number(pod, names.FAILURES), metadata.get("creationTimestamp") or "", metadata["name"]


def _finished(pod: Pod) -> str:
    return (_ending(pod, CONTAINER) or {}).get("finishedAt") or "~"


def _begun(pod: Pod, container: str) -> str | None:
    """When a container began: hwinfo, the first, does when its node has the image, which it shares with the script."""
    for state in (_status(pod, container).get("state") or {}).values():
        if state.get("startedAt"):
            return _moment(state["startedAt"])
    return None


def _placed(pod: Pod) -> str | None:
    """When the scheduler found a node for it."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "True":
            return _moment(condition.get("lastTransitionTime"))
    return None


def _moment_of_phase(pod: Pod) -> str | None:
    """When a pod that never came to run its containers was given up."""
    changed = [one.get("lastTransitionTime") for one in (pod.get("status") or {}).get("conditions") or ()]
    return _moment(max(filter(None, changed), default=None))


def _moment(text: str | None) -> str | None:
    return None if text is None else timestamps.timestamp(timestamps.seconds(text))
