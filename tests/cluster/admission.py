"""What is filled in, checked and refused before an object is kept."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from tests.cluster import errors
from tests.cluster.entries import Entry
from tests.cluster.kinds import Kind

if TYPE_CHECKING:
    from tests.cluster.store import Store


def uid() -> str:
    return str(uuid.uuid4())


def create(store: Store, kind: Kind, document: dict[str, Any]) -> None:
    """Fill in and check a new object, in place."""


def update(kind: Kind, old: Entry, document: dict[str, Any], subresource: str) -> None:
    """Keep of a changed object what may change, in place; refuse what must not."""
    metadata = document.setdefault("metadata", {})
    version = metadata.get("resourceVersion")
    if version and version != old.metadata["resourceVersion"]:
        raise errors.conflict(kind, old.name)


def delete(kind: Kind, entry: Entry, preconditions: dict[str, Any]) -> None:
    """Refuse what is not the object meant."""
