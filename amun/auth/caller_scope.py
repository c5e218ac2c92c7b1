"""An engine as one caller sees it: what somebody else has submitted is not there.

This is the one place that keeps callers apart. Whatever the API does with an inspection for a caller, it does with a
view, and a view has no way to an inspection that does not lead through `_sees`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from amun.engines.base import Engine
from amun.errors import InspectionNotFound
from amun.model.inspection import Accepted, Inspection, Node, Observation, Submission
from amun.model.specification import Hardware

from .callers import Caller


class View:
    """What the API asks of an engine, for one caller. Methods are those of `Engine`, which says what they do."""

    def __init__(self, engine: Engine, caller: Caller) -> None:
        self._engine = engine
        self._caller = caller

    # -- inspections --------------------------------------------------------------------------------------------

    def submit(self, submission: Submission, key: str | None = None, fingerprint: str | None = None) -> Accepted:
        """Whose the inspection is, is seen to here; so is that callers may choose the same Idempotency-Keys."""
        owner = self._caller.name
        submission = replace(submission, inspection=replace(submission.inspection, owner=owner))
        # No key that is sent has a line feed in it, so that none is taken for another caller's.
        own_key = key if key is None or owner is None else f"{owner}\n{key}"
        return self._engine.submit(submission, own_key, fingerprint)

    def phases(self) -> Mapping[str, str | None]:
        return self._engine.phases(None if self._caller.admin else self._caller.name)

    def unfinished(self) -> Sequence[str]:
        """Those that the caller has submitted, also where they may see others."""
        return self._engine.unfinished(self._caller.name)

    def declared(self, inspection_id: str) -> Inspection:
        return self._checked(self._engine.declared(inspection_id))

    def whole(self, inspection: Inspection) -> Inspection:
        return self._engine.whole(self._checked(inspection))

    def observe(self, inspection_id: str) -> Observation:
        return self._seen(self._engine.observe(inspection_id))

    def observations(self, ids: Sequence[str]) -> Iterator[Observation]:
        return (each for each in self._engine.observations(ids) if self._sees(each.inspection))

    def _seen(self, observation: Observation) -> Observation:
        self._checked(observation.inspection)
        return observation

    def build_log(self, inspection_id: str, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        return self._engine.build_log(self._mine(inspection_id), offset, follow)

    def item_log(self, inspection_id: str, item: int, follow: bool = False) -> Iterator[bytes]:
        return self._engine.item_log(self._mine(inspection_id), item, follow)

    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        return self._engine.report(self._mine(inspection_id), item)

    def cancel(self, inspection_id: str) -> None:
        self._engine.cancel(self._mine(inspection_id))

    def delete(self, inspection_id: str) -> None:
        self._engine.delete(self._mine(inspection_id))

    def _mine(self, inspection_id: str) -> str:
        """The same id, if the caller may know of the inspection. Raises `InspectionNotFound`."""
        if not self._caller.admin:
            self.declared(inspection_id)
        return inspection_id

    def _checked(self, inspection: Inspection) -> Inspection:
        if not self._sees(inspection):
            raise InspectionNotFound(f"There is no inspection {inspection.id!r}.")
        return inspection

    def _sees(self, inspection: Inspection) -> bool:
        return self._caller.admin or (inspection.owner is not None and inspection.owner == self._caller.name)

    # -- what belongs to nobody ---------------------------------------------------------------------------------

    def nodes(self, *, free: bool = True) -> Sequence[Node]:
        return self._engine.nodes(free=free)

    def lacks(self, hardware: Hardware, node: Node) -> Iterator[str]:
        return self._engine.lacks(hardware, node)

    def complete(self, base: str) -> str:
        return self._engine.complete(base)

    def resolve(self, base: str) -> str | None:
        return self._engine.resolve(base)

    def refusal(self, base: str) -> str | None:
        return self._engine.refusal(base)

    def volumes(self, base: str) -> Sequence[str]:
        return self._engine.volumes(base)

    def has_environment(self, environment: str) -> bool:
        return self._engine.has_environment(environment)
