"""Keeping inspections beside the controller's steps: an archive that is slow or out of reach holds up nothing else."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from amun.engines.base import Engine
from amun.errors import AmunError, ArchiveUnavailable, InspectionNotFound
from amun.model.inspection import Observation
from amun.telemetry import metrics
from amun.telemetry.logs import logger

from .job import Keeping
from .layout import Archive

THREADS = 4
"""Inspections that are worked on at a time."""

RETRY_AFTER = 5.0
"""Seconds before what failed is tried again: for all inspections where it is the archive that failed."""


@dataclass
class _Task:
    keeping: Keeping
    busy: bool = False
    again: float = float("-inf")
    closed: Observation | None = None


class Keeper:
    """Threads that keep what they are told to. What they know is lost with the process, and found out again."""

    def __init__(self, archive: Archive, engine: Engine) -> None:
        self._archive = archive
        self._engine = engine
        self._lock = threading.Lock()
        self._tasks: dict[str, _Task] = {}
        self._again = float("-inf")
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def keep(self, observation: Observation, over: bool = False) -> None:
        """Have what has ended kept soon; all of it, if the inspection is `over`. Under way already is fine."""
        inspection_id = observation.inspection.id
        with self._lock:
            task = self._tasks.get(inspection_id)
            if task is None:
                task = self._tasks[inspection_id] = _Task(Keeping(self._archive, self._engine, inspection_id))
            if not self._may_begin(task) or not (over or task.keeping.news(observation)):
                return
            task.busy = True
            self._start_threads()
        self._work.put(partial(self._advance, inspection_id, task, observation, over))

    def waits(self, inspection_id: str) -> bool:
        """Whether `keep` would do nothing now: the inspection is being worked on, or something failed just now."""
        task = self._tasks.get(inspection_id)
        return task is not None and not self._may_begin(task)

    def closed(self, inspection_id: str) -> Observation | None:
        """What the archive says of an inspection that it has all of; None while it is not known to."""
        task = self._tasks.get(inspection_id)
        return None if task is None else task.closed

    def forget(self, inspection_id: str) -> None:
        """The engine has closed it: there is nothing more to do."""
        with self._lock:
            self._tasks.pop(inspection_id, None)

    def retain(self, inspection_ids: Collection[str]) -> None:
        """Give up all others, which nobody asks for any more: another controller closed them, or they were deleted.

        An engine that watches may have heard of that only after their observation was put.
        """
        with self._lock:
            for inspection_id in self._tasks.keys() - set(inspection_ids):
                if not self._tasks[inspection_id].busy:
                    del self._tasks[inspection_id]
                    self._work.put(partial(self._erase_if_deleted, inspection_id))

    def _may_begin(self, task: _Task) -> bool:
        return not task.busy and time.monotonic() >= max(task.again, self._again)

    # -- in threads ---------------------------------------------------------------------------------------------

    def _start_threads(self) -> None:
        while len(self._threads) < THREADS:
            thread = threading.Thread(target=self._labour, name=f"archive-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _labour(self) -> None:
        while True:
            self._work.get()()

    def _advance(self, inspection_id: str, task: _Task, observation: Observation, over: bool) -> None:
        try:
            if time.monotonic() >= self._again:  # else it failed since this was asked for
                task.closed = task.keeping.advance(observation, over)
        except InspectionNotFound:
            self._erase(inspection_id)
        except ArchiveUnavailable as exc:
            metrics.STORE_FAILURES.inc()
            logger.error("archive out of reach, trying again", inspection_id=inspection_id, error=exc.detail)
            self._again = time.monotonic() + RETRY_AFTER
        except AmunError as exc:
            logger.warning("not archived yet, trying again", inspection_id=inspection_id, error=str(exc))
            task.again = time.monotonic() + RETRY_AFTER
        except Exception:
            metrics.STORE_FAILURES.inc()
            logger.exception("not archived yet, trying again", inspection_id=inspection_id)
            task.again = time.monotonic() + RETRY_AFTER
        finally:
            task.busy = False

    def _erase_if_deleted(self, inspection_id: str) -> None:
        try:
            self._engine.declared(inspection_id)
        except InspectionNotFound:
            self._erase(inspection_id)
        except AmunError:
            self._later(partial(self._erase_if_deleted, inspection_id))

    def _erase(self, inspection_id: str) -> None:
        """Remove what was put for an inspection that was deleted meanwhile."""
        self.forget(inspection_id)
        try:
            self._archive.delete(inspection_id)
        except ArchiveUnavailable as exc:
            logger.error("archive out of reach, trying again", inspection_id=inspection_id, error=exc.detail)
            self._later(partial(self._erase, inspection_id))

    def _later(self, work: Callable[[], None]) -> None:
        time.sleep(RETRY_AFTER)
        self._work.put(work)
