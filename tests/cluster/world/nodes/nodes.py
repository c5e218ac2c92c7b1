"""The nodes of a cluster."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]

NFD = "feature.node.kubernetes.io/"
BUILDS = "node-role.kubernetes.io/builds"
"""Label and taint of a node that is there for builds alone."""

_HEALTH = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def node(
    name: str = "rig-node",
    cpu: str = "1",
    memory: str = "24479296Ki",
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
    extended: Mapping[str, str] | None = None,
    address: str = "10.99.0.1",
) -> Document:
    """A node that offers so much; its labels say of its processor what Node Feature Discovery would."""
    common = {"ephemeral-storage": "264212084Ki", "hugepages-1Gi": "0", "hugepages-2Mi": "0", "pods": "60"}
    offers = {"cpu": cpu, "memory": memory, **(extended or {})}
    return {
        "metadata": {
            "name": name,
            "labels": {
                "beta.kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node-role.kubernetes.io/worker": "",
                **processor(),
                **(labels or {}),
            },
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"taints": [dict(taint) for taint in taints]} if taints else {},
        "status": {
            "capacity": {**common, **offers, "cpu": "2"},
            "allocatable": {**common, **offers, "ephemeral-storage": "265142110657"},
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": _info(),
        },
    }


def apart(cpu: str = "1", build_cpu: str = "500m") -> list[Document]:
    """One node for runs, with room for two of the default size, and one for builds, with room for one."""
    taint = {"key": BUILDS, "effect": "NoSchedule"}
    builds = node("build-node", build_cpu, labels={BUILDS: ""}, taints=[taint], address="10.99.0.2")
    return [node(cpu=cpu), builds]


def overrides(given: Sequence[Document]) -> Document:
    """What a cluster gives all build pods: where there is a node for them alone, the way there."""
    if not any(BUILDS in each["metadata"]["labels"] for each in given):
        return {}
    return {"nodeSelector": {BUILDS: ""}, "tolerations": [{"key": BUILDS, "operator": "Exists"}]}


def healthy(now: str) -> list[Document]:
    """What a kubelet that is well says of its node."""
    beat = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return [{"type": t, "status": s, **beat, "reason": reason, "message": said} for t, s, reason, said in _HEALTH]


def processor() -> dict[str, str]:
    """Labels for the processor of this machine, which is what runs will see."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = dict(re.findall(r"^(cpu family|model|vendor_id)\s*: (\S+)$", text, re.MULTILINE))
    return {
        f"{NFD}cpu-model.family": found.get("cpu family", "6"),
        f"{NFD}cpu-model.id": found.get("model", "85"),
        f"{NFD}cpu-model.vendor_id": found.get("vendor_id", "GenuineIntel").removeprefix("Genuine"),
    }


def _info() -> Document:
    machine = uuid.uuid4().hex
    return {
        "machineID": machine,
        "systemUUID": machine,
        "bootID": str(uuid.uuid4()),
        "kernelVersion": "6.18.44",
        "osImage": "Debian GNU/Linux 12 (bookworm)",
        "containerRuntimeVersion": "containerd://1.6.20",
        "kubeletVersion": "v1.31.14",
        "kubeProxyVersion": "v1.31.14",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
