"""What pods, and templates of pods, are filled in with, and what they must be like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import quantities
from .validation import Cause, bad, forbidden, is_label, labels, required

Document = dict[str, Any]

CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
TEMPLATE = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
SPEC = {
    "serviceAccountName": "default",
    "enableServiceLinks": True,
    "priority": 0,
    "preemptionPolicy": "PreemptLowerPriority",
}
MODE = 0o644
TAINT = "node.kubernetes.io/"
TOLERATIONS = [
    {"key": TAINT + key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for key in ("not-ready", "unreachable")
]
CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def default_template(spec: Document) -> None:
    """Fill in what both a pod and a template of one are given."""
    for name, value in TEMPLATE.items():
        spec.setdefault(name, dict(value) if isinstance(value, dict) else value)
    for container in containers(spec):
        tag = str(container.get("image", "")).rpartition("/")[2]
        latest = "@" not in tag and (":" not in tag or tag.endswith(":latest"))
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for name, value in CONTAINER.items():
            container.setdefault(name, value)
        default_resources(container)
        for variable in container.get("env") or ():
            if "fieldRef" in (variable.get("valueFrom") or {}):
                variable["valueFrom"]["fieldRef"].setdefault("apiVersion", "v1")
    for volume in spec.get("volumes") or ():
        for source in ("configMap", "projected", "downwardAPI", "secret"):
            if isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", MODE)


def default_resources(container: Document) -> None:
    """Quantities are in one form."""
    resources = container.setdefault("resources", {})
    for name in ("limits", "requests"):
        if resources.get(name):
            resources[name] = {key: quantities.canonical(value) for key, value in resources[name].items()}


def default_pod(pod: Document) -> None:
    """Fill in what a pod is given when it is made."""
    spec = pod.setdefault("spec", {})
    default_template(spec)
    for name, value in SPEC.items():
        spec.setdefault(name, value)
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for resources in (container["resources"] for container in containers(spec)):
        if resources.get("limits"):  # requests are limits where nothing else is said
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    quality = _quality(spec)
    spec["tolerations"] = [*(spec.get("tolerations") or []), *TOLERATIONS]
    if quality != "BestEffort":
        spec["tolerations"].append({"key": f"{TAINT}memory-pressure", "operator": "Exists", "effect": "NoSchedule"})
    pod["status"] = {"phase": "Pending", "qosClass": quality}


def _quality(spec: Document) -> str:
    asked = [container.get("resources") or {} for container in containers(spec)]
    if not any(resources.get("limits") or resources.get("requests") for resources in asked):
        return "BestEffort"
    both = ("cpu", "memory")
    full = all(
        all((r.get("limits") or {}).get(n) and r["limits"][n] == (r.get("requests") or {}).get(n) for n in both)
        for r in asked
    )
    return "Guaranteed" if full else "Burstable"


def containers(spec: Mapping[str, Any]) -> list[Document]:
    """All containers of a pod, first those that run first."""
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def check(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """What is wrong with the spec of a pod."""
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for place in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(place) or ()):
            yield from _container(container, f"{path}.{place}[{index}]", volumes)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        yield bad(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    yield from labels(spec.get("nodeSelector"), f"{path}.nodeSelector")


def _container(container: Mapping[str, Any], path: str, volumes: set[Any]) -> Iterator[Cause]:
    if not container.get("name"):
        yield required(f"{path}.name")
    else:
        yield from (bad(f"{path}.name", container["name"], why) for why in is_label(container["name"]))
    if not str(container.get("image", "")).strip():
        yield required(f"{path}.image")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            yield f"{path}.volumeMounts[{index}].name", "FieldValueNotFound", f'Not found: "{mount.get("name")}"'
        if not mount.get("mountPath"):
            yield required(f"{path}.volumeMounts[{index}].mountPath")
    yield from resources(container.get("resources") or {}, f"{path}.resources")


def resources(given: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """What is wrong with limits and requests."""
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    for place, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            if quantities.parse(amount) < 0:
                yield bad(f"{path}.{place}[{name}]", amount, "must be greater than or equal to 0")
            elif place == "requests" and name in limits and quantities.parse(amount) > quantities.parse(limits[name]):
                why = f"must be less than or equal to {name} limit of {limits[name]}"
                yield bad(f"{path}.requests", amount, why)


def check_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """What of a pod's spec was changed that must not be."""
    if _unchangeable(old) != _unchangeable(new):
        yield forbidden("spec", CHANGEABLE)
    before, after = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
    if before is not None and after is None:
        yield bad("spec.activeDeadlineSeconds", None, "must not update from a positive integer to nil value")
    elif before is not None and after is not None and after > before:
        yield bad("spec.activeDeadlineSeconds", after, "must be less than or equal to previous value")


def _unchangeable(spec: Mapping[str, Any]) -> Document:
    kept = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for place in ("initContainers", "containers"):
        if place in kept:
            kept[place] = [{k: v for k, v in item.items() if k != "image"} for item in kept[place]]
    return kept
