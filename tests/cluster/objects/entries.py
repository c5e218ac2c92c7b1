"""One object as it is kept: never changed once it is there, encoded once for all who read it."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

METADATA_GROUP = "meta.k8s.io/v1"


def clone(value: Any) -> Any:
    """A copy of what JSON can say."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


class Entry:
    """A version of an object. `object` is shared: whoever changes it takes a `copy`."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.object = document
        self.metadata: dict[str, Any] = document["metadata"]

    def copy(self) -> dict[str, Any]:
        copied: dict[str, Any] = clone(self.object)
        return copied

    @property
    def name(self) -> str:
        return str(self.metadata["name"])

    @property
    def version(self) -> int:
        return int(self.metadata["resourceVersion"])

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.get("labels") or {}

    @cached_property
    def bare(self) -> bytes:
        """As an item of a list, which names its kind once for all."""
        return encode({key: value for key, value in self.object.items() if key not in ("kind", "apiVersion")})

    @cached_property
    def head(self) -> bytes:
        kind = encode({"kind": self.object["kind"], "apiVersion": self.object["apiVersion"]})
        return kind[:-1] + b","

    @property
    def whole(self) -> bytes:
        return self.head + self.bare[1:]

    @cached_property
    def partial(self) -> bytes:
        """Its metadata alone."""
        return encode({"kind": "PartialObjectMetadata", "apiVersion": METADATA_GROUP, "metadata": self.metadata})
