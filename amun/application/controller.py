"""The controller: looks at what is, compares it with what should be, and moves every inspection one step on.

It keeps nothing: killed at any moment and started again, it goes on from what the engine shows. Every step may be
repeated. Where two controllers run on one engine, the engine decides which may act.
"""

from __future__ import annotations

import enum
import math
import threading
import time

import structlog

from amun.engines import unexpected
from amun.engines.base import Engine, NotYet
from amun.engines.unexpected import Refusals, Unexpected
from amun.errors import AmunError, InspectionNotFound
from amun.model import status
from amun.model.inspection import Observation
from amun.telemetry.logs import logger

PERIOD = 1.0
"""Seconds after which everything is looked at again, though nothing seems to have changed."""

HOUSEKEEPING = "housekeeping"


class Step(enum.Enum):
    """What an inspection needs next."""

    BUILD = enum.auto()
    RUN = enum.auto()
    STOP = enum.auto()
    FINISH = enum.auto()


def next_step(observation: Observation) -> Step | None:
    """The one step that moves an inspection on, None if it is over. A job never starts before its build is complete."""
    if observation.finished_at is not None:
        return None
    build = observation.build
    if observation.defect is not None or build.outcome in ("failed", "error"):
        return Step.FINISH
    if observation.cancelled_at is not None:
        return Step.STOP if status.active(observation) else Step.FINISH
    if build.outcome is None:
        return Step.BUILD
    return Step.FINISH if status.job_over(observation) else Step.RUN


class Controller:
    """Runs the loop on one engine. What that refuses for good is given up after `patience` seconds."""

    def __init__(self, engine: Engine, patience: float = math.inf) -> None:
        self._engine = engine
        self._stopped = threading.Event()
        self._alive_at = time.monotonic()
        self._unexpected = Unexpected()
        self._refusals = Refusals(patience)

    def silence(self) -> float:
        """Seconds since the loop last finished something: a step, a look, a try to reach the engine."""
        return time.monotonic() - self._alive_at

    def _alive(self) -> None:
        self._alive_at = time.monotonic()

    def stop(self) -> None:
        """End `run` soon. What runs in the engine goes on without it."""
        self._stopped.set()

    def run(self) -> None:
        """Move inspections on until `stop`; waits while another controller does so already."""
        while not self._stopped.is_set():
            try:
                with self._engine.leadership() as leading:
                    while leading and not self._stopped.is_set():
                        self._alive()
                        self.sweep()
                        self._engine.wait(PERIOD)
            except AmunError as exc:
                logger.error("engine out of reach", error=str(exc))
            except Exception:
                logger.exception("controller failed, starting over")
            self._alive()
            self._stopped.wait(PERIOD)

    def sweep(self) -> None:
        """One step for each inspection that is not over, oldest first, then housekeeping."""
        for inspection_id in self._engine.unfinished():
            with structlog.contextvars.bound_contextvars(inspection_id=inspection_id):
                self._try_step(inspection_id)
        try:
            self._engine.tend()
            self._unexpected.over(HOUSEKEEPING)
        except AmunError:
            raise
        except Exception:
            self._unexpected.too_often(HOUSEKEEPING, "housekeeping failed, trying again")

    def _try_step(self, inspection_id: str) -> None:
        try:
            self.step(inspection_id)
            self._went_well(inspection_id)
        except (InspectionNotFound, NotYet):
            self._went_well(inspection_id)  # deleted meanwhile, or under way
        except AmunError as exc:
            logger.warning("step failed, trying again", error=str(exc))
            if self._refusals.too_long(inspection_id, exc):
                self._give_up(inspection_id, unexpected.REFUSED, str(exc))
        except Exception:  # one inspection's trouble is not the others'
            if self._unexpected.too_often(inspection_id, "step failed, trying again"):
                self._give_up(inspection_id, unexpected.REASON, unexpected.MESSAGE)
        self._alive()

    def _went_well(self, inspection_id: str) -> None:
        self._unexpected.over(inspection_id)
        self._refusals.over(inspection_id)

    def _give_up(self, inspection_id: str, reason: str, message: str) -> None:
        try:
            self._engine.give_up(inspection_id, reason, message)
        except InspectionNotFound:
            pass
        except Exception as exc:
            logger.warning("inspection cannot be given up", error=str(exc))

    def step(self, inspection_id: str) -> None:
        """Move one inspection one step on."""
        observation = self._engine.observe(inspection_id)
        inspection = observation.inspection
        match next_step(observation):
            case Step.BUILD:
                self._engine.build(inspection)
            case Step.RUN:
                self._engine.run(inspection)
            case Step.STOP:
                self._engine.stop(inspection)
            case Step.FINISH:
                self._engine.stop(inspection)
                self._engine.finish(inspection)
                logger.info("inspection over", phase=status.verdict(observation).phase)
            case None:
                self._engine.finish(inspection)
