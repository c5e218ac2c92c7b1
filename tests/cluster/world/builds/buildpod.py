"""The pod that builds an image, as the build controller makes it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.rules.podrules import containers

Document = dict[str, Any]

TEMPLATE = Path(__file__).with_name("build-pod.json").read_text()
BUILD_NAME = "openshift.io/build.name"
WEEK = 7 * 24 * 3600
SOURCES = {"configMap": "/var/run/configs/openshift.io/build", "secret": "/var/run/secrets/openshift.io/build"}
BEFORE = "build-system-configs"
PULL_SECRET = "builder-dockercfg-tqhnp"


def name_of(build: Document) -> str:
    return f"{build['metadata']['name']}-build"


def pod(build: Document, output: str, overrides: Mapping[str, Any]) -> Document:
    """The pod of a Build that pushes to `output`; `overrides` are what the cluster demands of all of them."""
    name, spec = build["metadata"]["name"], build["spec"]
    made: Document = json.loads(TEMPLATE.replace("@NAME@", name).replace("@TOKEN@", secrets.token_hex(3)[:5]))
    made["metadata"]["ownerReferences"] = [_owner(build)]
    seen = json.dumps(_as_seen(build, output), separators=(",", ":")) + "\n"
    for container in containers(made["spec"]):
        container["resources"] = spec.get("resources") or {}
        for variable in container["env"]:
            if variable["name"] == "BUILD":
                variable["value"] = seen
    for kind in SOURCES:
        _mount(made["spec"], kind, [source[kind]["name"] for source in spec["source"].get(f"{kind}s") or ()])
    made["spec"]["activeDeadlineSeconds"] = spec.get("completionDeadlineSeconds") or WEEK
    selected = {**(spec.get("nodeSelector") or {}), **(overrides.get("nodeSelector") or {})}
    made["spec"]["nodeSelector"] = {**selected, "kubernetes.io/os": "linux"}
    if overrides.get("tolerations"):
        made["spec"]["tolerations"] = [dict(toleration) for toleration in overrides["tolerations"]]
    return made


def config_maps(pod: Document) -> list[Document]:
    """What the pod is given beside the context: certificates and settings of the cluster, none of them here."""
    name, metadata = pod["metadata"]["labels"][BUILD_NAME], pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    names = [f"{name}-{part}" for part in ("ca", "global-ca", "sys-config")]
    return [{"metadata": {"name": each, "ownerReferences": [owner]}, "data": {}} for each in names]


def _owner(build: Document) -> Document:
    metadata = build["metadata"]
    kind = {"apiVersion": build["apiVersion"], "kind": "Build"}
    return {**kind, "name": metadata["name"], "uid": metadata["uid"], "controller": True}


def _as_seen(build: Document, output: str) -> Document:
    """The Build as its pod is given it: with all references resolved."""
    strategy = dict(build["spec"]["strategy"])
    strategy["dockerStrategy"] = {"pullSecret": {"name": PULL_SECRET}, **(strategy.get("dockerStrategy") or {})}
    to = {"to": {"kind": "DockerImage", "name": output}, "pushSecret": {"name": PULL_SECRET}} if output else {}
    status = {**build["status"], **({"outputDockerImageReference": output} if output else {})}
    return {**build, "spec": {**build["spec"], "strategy": strategy, "output": to}, "status": status}


def _mount(spec: Document, kind: str, names: list[str]) -> None:
    """Mount the ConfigMaps or Secrets that the context is made of.

    ConfigMaps as recorded; Secrets likewise, by setupInputSecrets (openshift-controller-manager,
    pkg/build/controller/strategy/util.go).
    """
    key = "secretName" if kind == "secret" else "name"
    volumes = [{"name": f"{n}-build"[-63:], kind: {key: n, "defaultMode": 0o600}} for n in names]
    mounts = [{"name": f"{n}-build"[-63:], "readOnly": True, "mountPath": f"{SOURCES[kind]}/{n}"} for n in names]
    for listed, more in ((spec["volumes"], volumes), (spec["containers"][0]["volumeMounts"], mounts)):
        place = next(number for number, each in enumerate(listed) if each["name"] == BEFORE)
        listed[place:place] = more
