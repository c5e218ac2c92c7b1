"""What there is: versions, groups and resources, as clients ask before anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cluster.objects.kinds import BY_PATH, Kind

from .routes import RESOURCES, SUBRESOURCES

Document = dict[str, Any]

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
VIRTUAL_VERBS = {"ImageStreamTag": ["delete", "get", "list"]}
SUBRESOURCE_VERBS = {"log": ["get"], "instantiate": ["create"], "clone": ["create"], "eviction": ["create"]}
SUBRESOURCE_KINDS = {"log": "", "instantiate": "BuildRequest", "clone": "BuildRequest", "eviction": "Eviction"}


def document(path: str, without: frozenset[str] = frozenset()) -> Document | None:
    """The answer to a discovery request; `without` are groups that this cluster does not serve."""
    match path.strip("/").split("/"):
        case ["version"]:
            version: Document = json.loads((Path(__file__).parents[1] / "recorded" / "version.json").read_text())
            return version
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["api", "v1"]:
            return _resources("")
        case ["apis"]:
            groups = [_group(group) for group in groups_served() if group not in without]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", group] if group in groups_served() and group not in without:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        case ["apis", group, "v1"] if group in groups_served() and group not in without:
            return _resources(group)
    return None


def groups_served() -> list[str]:
    return sorted({kind.group for kind in RESOURCES.values() if kind.group})


def _group(group: str) -> Document:
    version = {"groupVersion": f"{group}/v1", "version": "v1"}
    return {"name": group, "versions": [version], "preferredVersion": version}


def _resources(group: str) -> Document:
    listed = [entry for kind in RESOURCES.values() if kind.group == group for entry in _entries(kind)]
    version = f"{group}/v1" if group else "v1"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": listed}


def _entries(kind: Kind) -> list[Document]:
    if kind.name == "BuildRequest":
        return []
    kept = (kind.group, kind.plural) in BY_PATH
    verbs = VERBS if kept else VIRTUAL_VERBS.get(kind.name, ["create"])
    common: Document = {"singularName": kind.name.lower(), "namespaced": kind.namespaced}
    listed = [{"name": kind.plural, **common, "kind": kind.name, "verbs": verbs}]
    names = [*SUBRESOURCES.get(kind.plural, ()), *(["status"] if kind.status else [])]
    for name in dict.fromkeys(names):
        entry = {"name": f"{kind.plural}/{name}", **common, "kind": SUBRESOURCE_KINDS.get(name) or kind.name}
        listed.append({**entry, "singularName": "", "verbs": SUBRESOURCE_VERBS.get(name, ["get", "patch", "update"])})
    return listed
