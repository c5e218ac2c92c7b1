"""Keeping one inspection: bit by bit as its parts come to their end, each object once, the observation last.

Killed anywhere, this goes on from what the archive has. Logs pass through a file, so that the memory they take does not
grow with them.
"""

from __future__ import annotations

import codecs
import contextlib
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import IO

from amun.engines.base import Engine
from amun.environments import dockerfile, logins
from amun.errors import Unreadable
from amun.model import timestamps
from amun.model.inspection import Observation
from amun.runs import log_frames
from amun.telemetry import metrics
from amun.telemetry.logs import logger

from . import documents
from .layout import BUILD_LOG, DOCKERFILE, OBSERVATION, RAW_BUILD_LOG, SPECIFICATION, Archive, result
from .store import CHUNK

IN_MEMORY = 1 << 20
"""Bytes of a log up to which it takes no file."""

_REPORTING = threading.Lock()
"""Reports are worked on one at a time: each takes many times what a script printed."""


class Keeping:
    """What is kept of one inspection, and what is still to be; used by one thread at a time."""

    def __init__(self, archive: Archive, engine: Engine, inspection_id: str) -> None:
        self._archive = archive
        self._engine = engine
        self._id = inspection_id
        self._there: set[str] = set()
        self._looked = False
        self._built = False
        self._ended: set[int] = set()

    def news(self, observation: Observation) -> bool:
        """Whether something has ended that is not known to be kept."""
        built = self._built or observation.build.outcome is None
        return not built or any(item.outcome is not None and item.item not in self._ended for item in observation.items)

    def advance(self, observation: Observation, over: bool) -> Observation | None:
        """Keep what has ended. Of an inspection that is `over`, keep everything, and return the archive's observation.

        Raises `InspectionNotFound` if it was deleted: then what was put in the meantime is to be deleted as well.
        """
        if not self._looked:
            self._there, self._looked = self._archive.names(self._id), True
        if over or observation.build.outcome is not None:
            self._keep_build(observation)
        for item in observation.items:
            if item.outcome is not None:
                self._keep_item(item.item)
        closed = self._close(observation) if over else None
        self._engine.declared(self._id)
        return closed

    def _keep_build(self, observation: Observation) -> None:
        if self._built:
            return
        inspection = self._engine.whole(observation.inspection)
        self._put(SPECIFICATION, documents.specification(inspection))
        base = self._engine.complete(inspection.specification.base)
        private = logins.owner_digest(inspection.owner) if inspection.private else None
        self._put(DOCKERFILE, dockerfile.context(inspection.specification, base, private)["Dockerfile"])
        if BUILD_LOG not in self._there:
            with self._what_is_left("build"), _spooled(self._engine.build_log(self._id)) as log:
                if _is_text(log):
                    self._put(BUILD_LOG, log)
                else:
                    self._put(RAW_BUILD_LOG, log)
                    self._put_text(BUILD_LOG, _chunks(log))
        self._built = True

    def _keep_item(self, item: int) -> None:
        if item in self._ended:
            return
        if result(item, "result") not in self._there:
            with self._what_is_left(f"item {item}"):
                self._keep_item_log(item)
            with self._what_is_left(f"item {item}"):
                self._keep_report(item)
        self._ended.add(item)

    def _keep_item_log(self, item: int) -> None:
        with _spooled(self._engine.item_log(self._id, item)) as log:
            self._put(result(item, "container-log"), log)
            frames = log_frames.frames(_chunks(log))
            self._put_text(result(item, "log"), (frame.data for frame in frames if frame.stream != "report"))

    def _keep_report(self, item: int) -> None:
        with _REPORTING:
            report = self._engine.report(self._id, item)
            if report is None:
                return
            hwinfo, content = documents.dump(report.get("hwinfo")), documents.dump(report)
        self._put(result(item, "hwinfo"), hwinfo)
        self._put(result(item, "result"), content)

    def _close(self, observation: Observation) -> Observation | None:
        whole = self._engine.whole(observation.inspection)
        closed = replace(observation, inspection=whole, finished_at=timestamps.now(), data_stored=True)
        if self._archive.store.put_bytes(self._archive.key(self._id, OBSERVATION), documents.observation(closed)):
            metrics.STORED.inc()
            return closed
        return self._archive.observation(self._id)  # another controller was first, or this one before it was killed

    @contextlib.contextmanager
    def _what_is_left(self, what: str) -> Iterator[None]:
        """Something may be lost for good before it could be kept: that must not hold up the rest for ever."""
        try:
            yield
        except Unreadable as exc:
            logger.warning("cannot be archived any more", inspection_id=self._id, what=what, error=str(exc))

    def _put(self, name: str, content: IO[bytes] | bytes) -> None:
        if name in self._there:
            return
        key = self._archive.key(self._id, name)
        if isinstance(content, bytes):
            self._archive.store.put_bytes(key, content)
        else:
            content.seek(0)
            self._archive.store.put_once(key, content)
        self._there.add(name)

    def _put_text(self, name: str, chunks: Iterable[bytes]) -> None:
        with _spooled(_as_text(chunks)) as text:
            self._put(name, text)


@contextlib.contextmanager
def _spooled(chunks: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """A file of all that comes, for a while."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
        yield file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return iter(partial(file.read, CHUNK), b"")


def _is_text(file: IO[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(file):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _as_text(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same in UTF-8, with replacement characters for what is not: readers of text fail on anything else."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for chunk in chunks:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()
