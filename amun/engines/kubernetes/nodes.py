"""Nodes: what requests of hardware mean as labels and devices, and the kinds of node that a cluster has."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amun.engines.base import lacks_labels
from amun.model import quantity
from amun.model.inspection import Node
from amun.model.specification import Hardware
from amun.settings import Settings

GPU_PRODUCT = "nvidia.com/gpu.product"
"""Label in which NVIDIA's GPU feature discovery tells the product."""

_NOT_IN_LABELS = re.compile(r"[^A-Za-z0-9_.-]+")
_LABELS_LEFT_OUT = re.compile(r".*(/hostname|/instance-type|machine-id|node-role\.kubernetes\.io/.*)")


@dataclass(frozen=True)
class Placement:
    """Which node labels requests of hardware ask for; the keys are settings, None where no label tells it."""

    cpu_family: str | None
    cpu_model: str | None
    physical_cpus: str | None
    processor: str | None

    @classmethod
    def of(cls, settings: Settings) -> Placement:
        keys = {name: getattr(settings, f"label_{name}") or None for name in cls.__dataclass_fields__}
        return cls(**keys)

    def selector(self, hardware: Hardware | None) -> dict[str, str]:
        """Labels that a node must have. What no label tells is left to hwinfo, after the run."""
        if hardware is None:
            return {}
        wanted: dict[str, str] = {}
        for name in ("cpu_family", "cpu_model", "physical_cpus", "processor"):
            key, value = getattr(self, name), getattr(hardware, name)
            if key is not None and value is not None:
                wanted[key] = label_value(str(value))
        if hardware.architecture is not None:
            wanted["kubernetes.io/arch"] = hardware.architecture
        if hardware.gpu is not None and hardware.gpu.product is not None:
            wanted[GPU_PRODUCT] = label_value(hardware.gpu.product)
        return {**wanted, **hardware.node_selector}

    def affinity(self, hardware: Hardware | None) -> dict[str, Any] | None:
        """The same as a required node affinity."""
        wanted = self.selector(hardware)
        if not wanted:
            return None
        expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in sorted(wanted.items())]
        terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}

    @staticmethod
    def devices(hardware: Hardware | None) -> dict[str, str]:
        """Extended resources, to be added to the limits of a container."""
        gpu = hardware.gpu if hardware is not None else None
        return {} if gpu is None else {gpu.vendor: str(gpu.count)}

    def seen(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """What a node's labels tell of its processor, in py-cpuinfo's words."""
        labels = node["metadata"].get("labels") or {}
        told = {"family": self.cpu_family, "model": self.cpu_model, "cores": self.physical_cpus}
        values = {name: labels.get(key or "", "") for name, key in told.items()}
        numbers = {name: int(text) for name, text in values.items() if re.fullmatch(r"\d{1,9}", text, re.ASCII)}
        brand = labels.get(self.processor or "")
        return {**numbers, "brand_raw": brand} if brand else numbers

    def lacks(self, hardware: Hardware, node: Node) -> Iterator[str]:
        """What a node lacks of the hardware requested, a sentence each."""
        yield from lacks_labels(self.selector(hardware), node)
        for vendor, count in self.devices(hardware).items():
            has = sum(device["count"] for device in node.gpus if device.get("vendor") == vendor)
            if has < int(count):
                yield f"Requested {count} x {vendor}, the node has {has}."


def label_value(text: str) -> str:
    """As those who label nodes write a brand into a value: what labels may not have becomes a hyphen."""
    return _NOT_IN_LABELS.sub("-", text)[:63].strip("-_.")


def placed(pod: Mapping[str, Any]) -> dict[str, Any] | None:
    """What counts of a pod for the room on its node; None for one that has none, or needs it no more."""
    status, spec = pod.get("status") or {}, pod["spec"]
    if "nodeName" not in spec or status.get("phase") not in ("Pending", "Running"):
        return None
    requests = [(container.get("resources") or {}).get("requests") or {} for container in spec["containers"]]
    return {"spec": {"nodeName": spec["nodeName"], "requests": requests}, "status": {"phase": status["phase"]}}


def kinds(
    nodes: Iterable[Mapping[str, Any]],
    pods: Sequence[Mapping[str, Any]],
    least: tuple[str, str],
    placement: Placement,
) -> list[Node]:
    """Nodes that are alike, as one each, and how many of them have room for requests of `least` CPU and memory.

    `pods` are Amun's own: what others use up of a node is not known here.
    """
    used = _used(pods)
    alike: defaultdict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for node in nodes:
        if _open(node):
            alike[_kind(node)].append(node)
    found = []
    for members in alike.values():
        free = sum(_has_room(member, used[member["metadata"]["name"]], least) for member in members)
        found.append(_node(members[0], len(members), free, placement.seen(members[0])))
    return found


def _used(pods: Iterable[Mapping[str, Any]]) -> defaultdict[str, tuple[float, float]]:
    used: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node is not None and pod["status"].get("phase") in ("Pending", "Running"):
            for requests in pod["spec"].get("requests") or ():
                cpu, memory = used[node]
                used[node] = cpu + _amount(requests, "cpu"), memory + _amount(requests, "memory")
    return used


def _has_room(node: Mapping[str, Any], used: tuple[float, float], least: tuple[str, str]) -> bool:
    allocatable = node["status"]["allocatable"]
    cpu = _amount(allocatable, "cpu") - used[0] >= float(quantity.parse(least[0]))
    return cpu and _amount(allocatable, "memory") - used[1] >= float(quantity.parse(least[1]))


def _open(node: Mapping[str, Any]) -> bool:
    """Whether Amun's pods are placed on it, be it soon: one being mended counts, one kept for others does not."""
    spec = node.get("spec") or {}
    return not spec.get("unschedulable") and not any(map(_keeps_off, spec.get("taints") or ()))


def _keeps_off(taint: Mapping[str, Any]) -> bool:
    """Whether a taint is there for good: those of the node controller come and go with a node's troubles."""
    return taint["effect"] in ("NoSchedule", "NoExecute") and not taint["key"].startswith("node.kubernetes.io/")


def _kind(node: Mapping[str, Any]) -> tuple[Any, ...]:
    status = node["status"]
    return (
        tuple(sorted(_labels(node).items())),
        status["nodeInfo"]["architecture"],
        tuple(sorted(_capacity(node).items())),
    )


def _labels(node: Mapping[str, Any]) -> dict[str, str]:
    labels = node["metadata"].get("labels") or {}
    return {name: value for name, value in labels.items() if not _LABELS_LEFT_OUT.fullmatch(name)}


def _capacity(node: Mapping[str, Any]) -> dict[str, float]:
    left_out = ("ephemeral-storage", "pods", "hugepages-1Gi", "hugepages-2Mi")
    amounts = node["status"]["allocatable"]
    # Nodes of one kind differ by some KiB.
    return {
        name: _amount(amounts, name) if name != "memory" else _amount(amounts, name) // 2**30
        for name in amounts
        if name not in left_out
    }


def _node(node: Mapping[str, Any], count: int, free: int, cpu_info: Mapping[str, Any]) -> Node:
    allocatable, info = node["status"]["allocatable"], node["status"]["nodeInfo"]
    devices = [name for name in allocatable if "/" in name]
    gpus = tuple({"vendor": name, "count": int(_amount(allocatable, name))} for name in devices)
    cpu = _amount(allocatable, "cpu")
    capacity = int(_amount(node["status"]["capacity"], "cpu"))
    return Node(
        name=node["metadata"]["name"] if count == 1 else f"{node['metadata']['name']} and {count - 1} more",
        architecture=info["architecture"],
        cpu=cpu,
        memory=int(_amount(allocatable, "memory")),
        hwinfo={"cpu_info": {"count": capacity, "arch_string_raw": info["architecture"], **cpu_info}},
        labels=node["metadata"].get("labels") or {}
        if count == 1
        else {"kubernetes.io/arch": info["architecture"], **_labels(node)},
        gpus=tuple(gpu for gpu in gpus if gpu["count"]),
        count=count,
        free=free,
    )


def _amount(amounts: Mapping[str, str], name: str) -> float:
    return float(quantity.parse(str(amounts.get(name, "0"))))
