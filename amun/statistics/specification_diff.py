"""What differs between stacks: field by field of their specifications, package by package of what is installed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LONGEST = 300
"""Characters of JSON that are shown of a value; of a longer one it is the digest."""

NOT_TOLD = frozenset({"identifier", "requirements_locked"})
"""Keys that name an inspection, or say what the packages say better."""

Packages = Mapping[str, Mapping[str, str]]


def of_specifications(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return path and a value for each specification, null where it says nothing, of what is not in all the same."""
    fields = [dict(_fields(document)) for document in documents]
    paths = sorted({path for one in fields for path in one})
    values = {path: [one.get(path) for one in fields] for path in paths}
    return [
        {"path": path, "values": [_short(value) for value in own]}
        for path, own in values.items()
        if any(value != own[0] for value in own)
    ]


def of_packages(installed: Sequence[Packages | None]) -> list[dict[str, Any]]:
    """Return kind, name and a version for each environment, null where it is not in, of what is not in all the same.

    :param installed: versions by name and kind; None where it is not known of an environment, which then tells nothing.
    """
    if any(packages is None for packages in installed):
        return []
    found = []
    for kind in ("python", "native"):
        own = [(packages or {}).get(kind, {}) for packages in installed]
        for name in sorted(set().union(*own)):
            versions = [one.get(name) for one in own]
            if len(set(versions)) > 1:
                found.append({"kind": kind, "name": name, "versions": versions})
    return found


def wished(document: Mapping[str, Any]) -> Packages:
    """The packages that a specification names, for environments of which nothing else is known."""
    locked = (document["python"]["requirements_locked"] or {}).get("default") or {}
    versions = {
        name: str((package or {}).get("version", "")).lstrip("=") or "locked" for name, package in locked.items()
    }
    asked = dict.fromkeys(document["python_packages"], "as asked for")
    return {"python": {**versions, **asked}, "native": dict.fromkeys(document["packages"], "as asked for")}


def _fields(document: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if key in NOT_TOLD:
            continue
        if isinstance(value, Mapping) and value:
            yield from _fields(value, f"{path}{key}.")
        elif value not in (None, [], {}, ""):
            yield path + key, value


def _short(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True)
    if len(text) <= LONGEST:
        return value
    return f"{len(text)} characters, sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
