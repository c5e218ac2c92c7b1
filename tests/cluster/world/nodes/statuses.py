"""What the kubelet writes into the status of a pod, from its first look at it to the last."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from .conditions import get_condition, set_condition

Document = dict[str, Any]

UNINITIALIZED = "ContainersNotInitialized"
UNREADY = "ContainersNotReady"
OVER = ("Succeeded", "Failed")
LOST = {
    "exitCode": 137,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
    "startedAt": None,
    "finishedAt": None,
}


def begin(pod: Document, now: str, address: str) -> None:
    """The pod has come to its node: nothing runs yet."""
    spec, status = pod["spec"], pod["status"]
    first = [container["name"] for container in spec.get("initContainers") or ()]
    names = " ".join(container["name"] for container in spec["containers"])
    set_condition(pod, "PodReadyToStartContainers", "False", now)
    if first:
        incomplete = f"containers with incomplete status: [{' '.join(first)}]"
        set_condition(pod, "Initialized", "False", now, UNINITIALIZED, incomplete)
    else:
        set_condition(pod, "Initialized", "True", now)
    for kind in ("Ready", "ContainersReady"):
        set_condition(pod, kind, "False", now, UNREADY, f"containers with unready status: [{names}]")
    status.update(hostIP=address, hostIPs=[{"ip": address}], startTime=now)
    reason = "PodInitializing" if first else "ContainerCreating"
    for place, listed in (("initContainerStatuses", "initContainers"), ("containerStatuses", "containers")):
        if spec.get(listed):
            status[place] = [_container(container, reason) for container in spec[listed]]


def _container(spec: Document, reason: str) -> Document:
    mounts = [
        {name: mount[name] for name in ("name", "mountPath")}
        | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {})
        for mount in spec.get("volumeMounts") or ()
    ]
    return {
        "name": spec["name"],
        "state": {"waiting": {"reason": reason}},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": spec["image"],
        "imageID": "",
        "started": False,
        **({"volumeMounts": mounts} if mounts else {}),
    }


def container(pod: Document, name: str) -> Document:
    """The status of one container, an initial one or not."""
    status = pod["status"]
    listed = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    found: Document = next(each for each in listed if each["name"] == name)
    return found


def networked(pod: Document, now: str, address: str) -> None:
    """The pod has its network: containers may start."""
    set_condition(pod, "PodReadyToStartContainers", "True", now)
    pod["status"].update(podIP=address, podIPs=[{"ip": address}])


def initialized(pod: Document, now: str) -> None:
    set_condition(pod, "Initialized", "True", now)


def waiting(pod: Document, name: str, reason: str, message: str) -> None:
    container(pod, name)["state"] = {"waiting": {"reason": reason, "message": message}}


def running(pod: Document, name: str, now: str, image: Mapping[str, str], started: str, identity: str) -> None:
    """A container runs; of the last of them, so does the pod."""
    state = container(pod, name)
    state.update(image, state={"running": {"startedAt": started}}, started=True, containerID=identity)
    main = pod["status"].get("containerStatuses") or []
    if state in main:
        state["ready"] = True
        pod["status"]["phase"] = "Running"
        if all(each["ready"] for each in main):
            set_condition(pod, "Ready", "True", now)
            set_condition(pod, "ContainersReady", "True", now)


def terminated(pod: Document, name: str, image: Mapping[str, str], ended: Document) -> None:
    """A container is over."""
    state = container(pod, name)
    first = state in (pod["status"].get("initContainerStatuses") or [])
    ready = first and ended["exitCode"] == 0
    state.update(image, state={"terminated": ended}, started=False, ready=ready, containerID=ended["containerID"])


def unready(pod: Document, now: str, phase: str) -> None:
    """The pod will be over: it says so before its phase does, which waits for the last container."""
    reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
    if phase == "Succeeded" and get_condition(pod, "Initialized"):
        set_condition(pod, "Initialized", "True", now, reason)
    for kind in ("Ready", "ContainersReady"):
        set_condition(pod, kind, "False", now, reason)


def over(pod: Document, now: str, phase: str, reason: str = "", message: str = "") -> None:
    """The pod is over, and nothing of it runs any more."""
    unready(pod, now, phase)
    set_condition(pod, "PodReadyToStartContainers", "False", now)
    status = pod["status"]
    status["phase"] = phase
    status.update({name: value for name, value in (("reason", reason), ("message", message)) if value})
    if get_condition(pod, "Initialized").get("status") == "True":
        for state in status.get("containerStatuses") or ():
            if "terminated" not in state["state"]:
                state.update(state={"terminated": dict(LOST)}, ready=False, started=False)


def identity() -> str:
    """The id of a container."""
    return f"containerd://{secrets.token_hex(32)}"
