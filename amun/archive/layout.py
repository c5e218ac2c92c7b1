"""The archive: where each thing of a finished inspection lies, and how it is read again.

::

    DEPLOYMENT/inspections/ID/build/specification       what was posted, with all defaults, and ``@created``
    DEPLOYMENT/inspections/ID/build/Dockerfile
    DEPLOYMENT/inspections/ID/build/log                 as text
    DEPLOYMENT/inspections/ID/build/raw-log             its bytes, only where they are not UTF-8
    DEPLOYMENT/inspections/ID/results/N/log             what item N printed, both streams as they came, as text
    DEPLOYMENT/inspections/ID/results/N/container-log   the same with its frames: streams and times
    DEPLOYMENT/inspections/ID/results/N/hwinfo
    DEPLOYMENT/inspections/ID/results/N/result          its report; put last of the four
    DEPLOYMENT/inspections/ID/observation               what its status was; put last of all

Documents are JSON. The original's readers know all of it but ``raw-log``, ``container-log`` and ``observation``. An
inspection is in the archive when its ``observation`` is: before that, there are only parts of it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

from amun.errors import ArchiveUnavailable
from amun.model.identifiers import is_valid
from amun.model.inspection import Observation

from . import documents
from .store import Store

OBSERVATION = "observation"
SPECIFICATION = "build/specification"
DOCKERFILE = "build/Dockerfile"
BUILD_LOG = "build/log"
RAW_BUILD_LOG = "build/raw-log"


def result(item: int, name: str) -> str:
    """Where something of an item lies: `name` is ``log``, ``container-log``, ``hwinfo`` or ``result``."""
    return f"results/{item}/{name}"


class Archive:
    """Finished inspections of one deployment, by id. What could not be an id names nothing, and reaches no store.

    Every method may raise `ArchiveUnavailable`.
    """

    def __init__(self, store: Store, deployment: str) -> None:
        self.store = store
        self._deployment = deployment

    def key(self, inspection_id: str, name: str = "") -> str:
        """The key of something of an inspection, without `name` that of all of it."""
        if not is_valid(inspection_id):
            raise ValueError(f"{inspection_id!r} is no id.")
        return f"{self._deployment}/inspections/{inspection_id}" + (f"/{name}" if name else "")

    def names(self, inspection_id: str) -> set[str]:
        """What there is of an inspection, and be it only parts."""
        whole = self.key(inspection_id)
        return {key.removeprefix(f"{whole}/") for key in self.store.list(whole)}

    def observation(self, inspection_id: str) -> Observation | None:
        """The last observation of an inspection, None if that is not (or not all) in the archive."""
        content = self._get(inspection_id, OBSERVATION)
        return None if content is None else documents.parse_observation(content)

    def build_log(self, inspection_id: str, offset: int = 0) -> Iterator[bytes] | None:
        """The bytes of a build's log, None if they were not kept."""
        raw = self._open(inspection_id, RAW_BUILD_LOG, offset)
        return raw if raw is not None else self._open(inspection_id, BUILD_LOG, offset)

    def item_log(self, inspection_id: str, item: int) -> Iterator[bytes] | None:
        """The container log of an item, None if it was not kept."""
        return self._open(inspection_id, result(item, "container-log"))

    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        """The report of an item, None if none was kept."""
        content = self._get(inspection_id, result(item, "result"))
        report: dict[str, Any] | None = None if content is None else documents.parse(content)
        return report

    def delete(self, inspection_id: str) -> None:
        """Remove all there is of an inspection: first that by which it is known."""
        self.store.delete(self.key(inspection_id, OBSERVATION))
        self.store.delete(self.key(inspection_id))

    def check(self) -> None:
        """Raise `ArchiveUnavailable` unless objects can be put, once only, read and removed."""
        key = f"{self._deployment}/check-{secrets.token_hex(8)}"
        try:
            kept, again = (self.store.put_bytes(key, content) for content in (b"first", b"second"))
            if not kept or again or self.store.get(key) != b"first":
                raise ArchiveUnavailable("The archive's store lets what it has be written over.")
        finally:
            self.store.delete(key)

    def _get(self, inspection_id: str, name: str) -> bytes | None:
        return self.store.get(self.key(inspection_id, name)) if is_valid(inspection_id) else None

    def _open(self, inspection_id: str, name: str, offset: int = 0) -> Iterator[bytes] | None:
        return self.store.open(self.key(inspection_id, name), offset) if is_valid(inspection_id) else None
