"""The tree of manifests that deploy Amun, read as files, kustomizations and objects; and what is wrong with one.

Kinds whose schema the tests bring along from a real server are held against that; others that Kubernetes itself has,
against the models of its Python client; what comes from elsewhere, against the fields that are used here.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import models

from amun.engines.kubernetes.rights import Right
from amun.settings import Settings
from tests.cluster.rules import schemas

Document = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "openshift"
OVERLAYS = ("openshift", "test", "separate")

LABELS: Mapping[str, Any] = {"matchLabels": {}, "matchExpressions": []}
ROUTE = {
    "spec": {
        "to": {"kind": "", "name": "", "weight": 0},
        "port": {"targetPort": ""},
        "tls": {"termination": "", "insecureEdgeTerminationPolicy": ""},
        "wildcardPolicy": "",
    }
}
MONITOR = {"spec": {"selector": LABELS, "endpoints": [{"port": "", "path": "", "interval": "", "scrapeTimeout": ""}]}}
RULE = {"alert": "", "expr": "", "for": "", "labels": {"severity": ""}, "annotations": {"summary": ""}}
KUSTOMIZATION: Mapping[str, Any] = {
    "namespace": "",
    "resources": [""],
    "components": [""],
    "images": [{"name": "", "newName": "", "newTag": ""}],
    "replicas": [{"name": "", "count": 0}],
    "patches": [{"path": ""}],
    "secretGenerator": [{"name": "", "behavior": "", "envs": [""], "literals": [""]}],
}
COMPONENT = {name: value for name, value in KUSTOMIZATION.items() if name != "namespace"}
SHAPES: dict[tuple[str, str], Mapping[str, Any]] = {
    ("route.openshift.io/v1", "Route"): ROUTE,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): MONITOR,
    ("monitoring.coreos.com/v1", "PrometheusRule"): {"spec": {"groups": [{"name": "", "rules": [RULE]}]}},
    ("kustomize.config.k8s.io/v1beta1", "Kustomization"): KUSTOMIZATION,
    ("kustomize.config.k8s.io/v1alpha1", "Component"): COMPONENT,
}
"""Fields of kinds whose schema is not at hand; a value stands for its type, an empty mapping for any strings."""


# -- files ------------------------------------------------------------------------------------------------------------


def files() -> list[Path]:
    return sorted(path for path in TREE.rglob("*") if path.is_file())


def kustomizations() -> list[Path]:
    return [path for path in files() if path.name == "kustomization.yaml"]


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def objects() -> list[Document]:
    """All objects as they are written, examples and patches among them."""
    found = [path for path in files() if path.suffix == ".yaml" and path.name != "kustomization.yaml"]
    return [document for path in found for document in documents(path)]


def base() -> list[Document]:
    """The objects of the base as they are written."""
    return [document for name in ("service", "inspections") for document in _listed(TREE / "base" / name)]


def component(name: str) -> list[Document]:
    """The objects of a component as they are written."""
    return _listed(TREE / "components" / name)


def _listed(place: Path) -> list[Document]:
    (kustomization,) = documents(place / "kustomization.yaml")
    return [document for name in kustomization["resources"] for document in documents(place / name)]


def of(found: list[Document], kind: str) -> dict[str, Document]:
    """Those of a kind, by name."""
    return {document["metadata"]["name"]: document for document in found if document["kind"] == kind}


def granted_by(role: Document) -> set[Right]:
    """The rights of a Role or ClusterRole, one by one."""
    return {
        Right(verb, group, resource)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


# -- rendered ---------------------------------------------------------------------------------------------------------


def renderer() -> list[str] | None:
    """A command that renders the directory named after it; None where there is none."""
    for command in (["kustomize", "build"], ["kubectl", "kustomize"], ["oc", "kustomize"]):
        if shutil.which(command[0]) and _works([*command, "--help"]):
            return command
    return None


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def render(command: list[str], place: Path) -> list[Document]:
    done = subprocess.run([*command, str(place)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def settings(found: list[Document]) -> dict[str, str]:
    """The data of the Secret of settings among rendered objects."""
    (data,) = (each["data"] for name, each in of(found, "Secret").items() if name.startswith("amun-settings"))
    return {name: base64.b64decode(value).decode() for name, value in data.items()}


def understood(given: Mapping[str, str]) -> Settings:
    """The settings that these variables make."""
    values: dict[str, Any] = {name.removeprefix("AMUN_").lower(): value for name, value in given.items()}
    return Settings(**{name: value for name, value in values.items() if name in Settings.model_fields})


# -- what is wrong ----------------------------------------------------------------------------------------------------


def problems(document: Document) -> list[str]:
    """What a strict server would refuse in an object, or in the parts of one that a patch is."""
    version, kind = document.get("apiVersion", ""), document.get("kind", "")
    plain = {name: value for name, value in document.items() if name != "$patch"}
    if schemas.schema_of(version, kind) is not None:
        return schemas.problems(plain)
    if (version, kind) in SHAPES:
        rest = {name: value for name, value in plain.items() if name not in ("apiVersion", "kind", "metadata")}
        return [*_modelled(plain.get("metadata"), "V1ObjectMeta", "metadata"), *_shaped(rest, SHAPES[version, kind])]
    group = version.partition("/")[0]
    if hasattr(models, f"V1{kind}") and (group == "policy" or group.endswith(".k8s.io")):
        return list(_modelled(plain, f"V1{kind}", ""))
    return [f"no schema for {version} {kind}"]


def _modelled(value: Any, kind: str, path: str) -> Iterator[str]:
    """By the Python client's models, which say the type of each field: ``list[V1PolicyRule]``, ``dict(str, str)``."""
    if value is None or kind == "object":
        return
    several = re.fullmatch(r"(?i:list)\[(.+)\]", kind)
    named = re.fullmatch(r"(?i:dict)[\[(]str, (.+)[\])]", kind)
    if several:
        yield from _each(value, several[1], path)
    elif named:
        for key, item in value.items():
            yield from _modelled(item, named[1], f"{path}.{key}")
    elif hasattr(models, kind):
        yield from _fields(value, getattr(models, kind), path)
    elif not isinstance(value, {"str": str, "int": int, "bool": bool}.get(kind, str)):
        yield f"{path} is {value!r}, not {kind}"


def _each(value: Any, kind: str, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path} is no list"
        return
    for index, item in enumerate(value):
        yield from _modelled(item, kind, f"{path}[{index}]")


def _fields(value: Any, model: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is {value!r}, not a mapping"
        return
    known = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    for key, item in value.items():
        inner = f"{path}.{key}".lstrip(".")
        if key in known:
            yield from _modelled(item, known[key], inner)
        else:
            yield f'unknown field "{inner}"'


def _shaped(value: Any, shape: Any, path: str = "") -> Iterator[str]:
    """By an example of each field."""
    if type(value) is not type(shape):
        yield f"{path} is {value!r}, not {type(shape).__name__}"
    elif isinstance(value, dict):
        for key, item in value.items():
            inner = f"{path}.{key}".lstrip(".")
            if key in shape:
                yield from _shaped(item, shape[key], inner)
            elif shape:
                yield f'unknown field "{inner}"'
    elif isinstance(value, list) and shape:
        for index, item in enumerate(value):
            yield from _shaped(item, shape[0], f"{path}[{index}]")
