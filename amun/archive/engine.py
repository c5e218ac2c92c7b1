"""Any engine with an archive behind it: what is over is kept there, and read from there once the engine forgot it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from amun.engines.base import Engine, NotYet, Queue, check_item
from amun.errors import InspectionNotFound
from amun.model import timestamps
from amun.model.inspection import Accepted, Inspection, Node, Observation, Submission
from amun.model.specification import Hardware

from .layout import Archive
from .worker import Keeper

SETTLE = 2.0
"""Seconds that the build of a cancelled inspection has to be stopped, so that the archive says how it ended."""


class Archived(Engine):
    """The engine `inner`, and an archive.

    * Reads of an inspection that `inner` does not know (any more), or of what went with its pod, are answered by the
      archive. While that is out of reach they are refused as such: nobody knows whether there is an answer.
    * The controller closes no inspection before the archive has all of it: it is asked to come again (`NotYet`).
    * Lists are those of `inner`: what only the archive has is found by its id.
    """

    name = "archived"

    def __init__(self, inner: Engine, archive: Archive) -> None:
        self.name = inner.name  # type: ignore[misc]
        self.inner = inner
        self._archive = archive
        self._keeper = Keeper(archive, inner)
        self._seen = threading.local()

    # -- read: the engine, then the archive ---------------------------------------------------------------------

    def declared(self, inspection_id: str) -> Inspection:
        try:
            return self.inner.declared(inspection_id)
        except InspectionNotFound as unknown:
            return self._kept(inspection_id, unknown).inspection

    def whole(self, inspection: Inspection) -> Inspection:
        try:
            return self.inner.whole(inspection)
        except InspectionNotFound as unknown:
            return self._kept(inspection.id, unknown).inspection

    def observe(self, inspection_id: str) -> Observation:
        try:
            observation = self.inner.observe(inspection_id)
        except InspectionNotFound as unknown:
            return self._kept(inspection_id, unknown)
        self._seen.last = observation
        return observation

    def build_log(self, inspection_id: str, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        try:
            chunks = self.inner.build_log(inspection_id, offset, follow)
            return _begun(self._unless_empty(chunks, inspection_id, None, offset))
        except InspectionNotFound as unknown:
            self._kept(inspection_id, unknown)
            return self._log_of_archive(inspection_id, None, offset)

    def item_log(self, inspection_id: str, item: int, follow: bool = False) -> Iterator[bytes]:
        try:
            chunks = self.inner.item_log(inspection_id, item, follow)
            return _begun(self._unless_empty(chunks, inspection_id, item))
        except InspectionNotFound as unknown:
            check_item(self._kept(inspection_id, unknown).inspection, item)
            return self._log_of_archive(inspection_id, item)

    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        try:
            report = self.inner.report(inspection_id, item)
            if report is not None or not self._ended(inspection_id, item):
                return report
        except InspectionNotFound as unknown:
            check_item(self._kept(inspection_id, unknown).inspection, item)
        return self._archive.report(inspection_id, item)

    def _unless_empty(
        self, chunks: Iterator[bytes], inspection_id: str, item: int | None, offset: int = 0
    ) -> Iterator[bytes]:
        """A log of the engine. One that says nothing may have gone with its pod: then that in the archive."""
        empty = True
        for chunk in chunks:
            empty = empty and not chunk
            yield chunk
        if empty and not (offset and any(self.inner.build_log(inspection_id))) and self._ended(inspection_id, item):
            yield from self._log_of_archive(inspection_id, item, offset)

    def _log_of_archive(self, inspection_id: str, item: int | None, offset: int = 0) -> Iterator[bytes]:
        if item is None:
            return self._archive.build_log(inspection_id, offset) or iter(())
        return self._archive.item_log(inspection_id, item) or iter(())

    def _ended(self, inspection_id: str, item: int | None) -> bool:
        """Whether an item, or else the build, was at work once, and is not any more."""
        observation = self.inner.observe(inspection_id)
        state = observation.build if item is None else observation.items[item]
        return state.outcome is not None

    def _kept(self, inspection_id: str, unknown: InspectionNotFound) -> Observation:
        """The archive's observation; raises `unknown` if it has none."""
        kept = self._archive.observation(inspection_id)
        if kept is None:
            raise unknown
        return kept

    def delete(self, inspection_id: str) -> None:
        """Forgotten by the engine first: what the controller puts into the archive after that, it removes again."""
        try:
            self.inner.delete(inspection_id)
        except InspectionNotFound as unknown:
            self._kept(inspection_id, unknown)
        self._archive.delete(inspection_id)

    # -- keep, at the controller's pace -------------------------------------------------------------------------

    def unfinished(self, owner: str | None = None) -> Sequence[str]:
        found = self.inner.unfinished(owner)
        if owner is None:
            self._keeper.retain(found)
        return found

    def run(self, inspection: Inspection) -> None:
        self.inner.run(inspection)
        self._keeper.keep(self._last(inspection.id))

    def _last(self, inspection_id: str) -> Observation:
        """What the controller, which is this thread, saw a moment ago: there may be thousands to look at."""
        last: Observation | None = getattr(self._seen, "last", None)
        return last if last is not None and last.inspection.id == inspection_id else self.inner.observe(inspection_id)

    def finish(self, inspection: Inspection, stored: bool = False, at: str | None = None) -> None:
        closed = self._keeper.closed(inspection.id)
        if closed is not None:
            self.inner.finish(inspection, stored=True, at=closed.finished_at)
            return self._keeper.forget(inspection.id)
        if self._keeper.waits(inspection.id):
            raise NotYet
        observation = self.inner.final(inspection.id)
        if observation.finished_at is not None or observation.defect is not None:
            return self.inner.finish(inspection, stored, at)
        if not _settling(observation):
            self._keeper.keep(observation, over=True)
        raise NotYet

    # -- all else is the engine's -------------------------------------------------------------------------------

    def check(self) -> None:
        self.inner.check()

    def nodes(self, *, free: bool = True) -> Sequence[Node]:
        return self.inner.nodes(free=free)

    def lacks(self, hardware: Hardware, node: Node) -> Iterator[str]:
        return self.inner.lacks(hardware, node)

    def complete(self, base: str) -> str:
        return self.inner.complete(base)

    def resolve(self, base: str) -> str | None:
        return self.inner.resolve(base)

    def refusal(self, base: str) -> str | None:
        return self.inner.refusal(base)

    def volumes(self, base: str) -> Sequence[str]:
        return self.inner.volumes(base)

    def has_environment(self, environment: str) -> bool:
        return self.inner.has_environment(environment)

    def submit(self, submission: Submission, key: str | None = None, fingerprint: str | None = None) -> Accepted:
        return self.inner.submit(submission, key, fingerprint)

    def inspections(self, owner: str | None = None) -> Sequence[str]:
        return self.inner.inspections(owner)

    def phases(self, owner: str | None = None) -> Mapping[str, str | None]:
        return self.inner.phases(owner)

    def observations(self, ids: Sequence[str]) -> Iterator[Observation]:
        return self.inner.observations(ids)

    def cancel(self, inspection_id: str) -> None:
        self.inner.cancel(inspection_id)

    def queue(self) -> Queue:
        return self.inner.queue()

    def leadership(self) -> AbstractContextManager[bool]:
        return self.inner.leadership()

    def build(self, inspection: Inspection) -> None:
        self.inner.build(inspection)

    def stop(self, inspection: Inspection) -> None:
        self.inner.stop(inspection)

    def give_up(self, inspection_id: str, reason: str, message: str) -> None:
        self.inner.give_up(inspection_id, reason, message)

    def final(self, inspection_id: str) -> Observation:
        return self.inner.final(inspection_id)

    def tend(self) -> None:
        self.inner.tend()

    def wait(self, timeout: float) -> None:
        self.inner.wait(timeout)


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same, the first chunk read by now: what is wrong is known before anything is sent."""
    return itertools.chain([first for first in [next(chunks, b"")] if first], chunks)


def _settling(observation: Observation) -> bool:
    """Whether the build of a cancelled inspection is being stopped: the archive is to say how that ended."""
    if observation.cancelled_at is None or observation.build.outcome is not None:
        return False
    return time.time() < timestamps.seconds(observation.cancelled_at) + SETTLE
