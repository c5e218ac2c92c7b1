"""What callers can do with the numbers of inspections: the use cases behind summaries and comparisons."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from amun.auth.caller_scope import View
from amun.engines.base import Engine
from amun.errors import Conflict, ItemNotFound, Problem, Unlike
from amun.model import quantity, status
from amun.model.inspection import ItemState, Observation
from amun.model.specification import Metric
from amun.statistics import comparison, hardware_profile, specification_diff, summary
from amun.statistics.runs import Paths, Run, run_of
from amun.statistics.selection import counted
from amun.statistics.specification_diff import Packages

AT_ONCE = 4
"""Reports that are read side by side; each may take many times what its script printed."""

REMEMBERED = 64
"""Finished inspections whose numbers are kept in memory: they never change, and reading a thousand logs takes time."""


@dataclass(frozen=True)
class Measured:
    """What the reports of one inspection say in numbers.

    Attributes:
        runs: one for each item.
        profiles: the kinds of hardware that items that can be counted ran on.
        packages: what is installed in the environment, None where no report says it.
    """

    observation: Observation
    runs: Sequence[Run]
    profiles: Sequence[hardware_profile.Profile]
    packages: Packages | None

    @property
    def declared(self) -> Sequence[Metric]:
        return self.observation.inspection.specification.metrics


class Measuring:
    """Reads reports as numbers. Keeps nothing but what can be read again; safe for many threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._of_finished = lru_cache(REMEMBERED)(lambda inspection_id: self._read(engine.observe(inspection_id)))

    def summary(self, view: View, inspection_id: str, clean: bool, confidence: float) -> dict[str, Any]:
        """What an inspection measured. Raises `InspectionNotFound`."""
        measured = self._measured(view.observe(inspection_id))
        return {
            "inspection_id": inspection_id,
            "phase": status.verdict(measured.observation).phase,
            **summary.summarise(measured.runs, measured.declared, clean=clean, confidence=confidence),
        }

    def compare(
        self, view: View, ids: Sequence[str], paths: Sequence[str] | None, clean: bool, confidence: float,
        allow_unlike: bool,
    ) -> dict[str, Any]:  # fmt: skip
        """Whether inspections differ, and in what.

        Raises `InspectionNotFound`, `Conflict` for one that has nothing to compare, and `Unlike`.
        """
        measured = [self._measured(observation) for observation in [view.observe(one) for one in ids]]
        labels = string.ascii_uppercase[: len(ids)]
        samples = [(label, one, each.runs) for label, one, each in zip(labels, ids, measured, strict=True)]
        declared = list({metric.path: metric for one in reversed(measured) for metric in one.declared}.values())
        _check_counted(samples, clean)
        unlike = hardware_profile.unlike([one.profiles for one in measured])
        if unlike and not allow_unlike:
            raise Unlike([_problem(difference) for difference in unlike])
        found = comparison.compare(samples, declared, paths=paths, clean=clean, confidence=confidence)
        return {
            "inspections": [_heading(*each) for each in zip(samples, measured, found.pop("items"), strict=True)],
            "alike": not unlike,
            "unlike": unlike,
            "differences": _differences(view, measured),
            "confidence": confidence,
            **found,
        }

    def _measured(self, observation: Observation) -> Measured:
        if observation.finished_at is None:
            return self._read(observation)
        measured: Measured = self._of_finished(observation.inspection.id)
        return measured

    def _read(self, observation: Observation) -> Measured:
        specification = observation.inspection.specification
        cpu = float(quantity.parse(specification.run.requests.cpu))
        paths = Paths(metric.path for metric in specification.metrics)
        runs: list[Run] = []
        profiles: dict[hardware_profile.Profile, None] = {}
        packages: Packages | None = None
        for state, report in self._reports(observation):
            run = run_of(state.item, state.item < specification.warmup, state.outcome, report, paths)
            runs.append(run)
            if report is not None and run.outcome == "succeeded" and not run.warmup:
                profiles[hardware_profile.profile(report, cpu)] = None
                packages = packages or report.get("packages")
        return Measured(observation, runs, list(profiles), packages)

    def _reports(self, observation: Observation) -> Iterator[tuple[ItemState, dict[str, Any] | None]]:
        """Each item, with its report if there is one; no more than a few are in memory."""
        items = observation.items
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="reports") as threads:
            for first in range(0, len(items), AT_ONCE):
                some = items[first : first + AT_ONCE]
                yield from zip(some, threads.map(lambda state: self._report(observation, state), some), strict=True)

    def _report(self, observation: Observation, state: ItemState) -> dict[str, Any] | None:
        if state.outcome is None:
            return None
        try:
            return self._engine.report(observation.inspection.id, state.item)
        except ItemNotFound:
            return None


def _check_counted(samples: Sequence[tuple[str, str, Sequence[Run]]], clean: bool) -> None:
    empty = [inspection_id for _, inspection_id, runs in samples if not any(run.values for run in counted(runs, clean))]
    if empty:
        raise Conflict(f"There is nothing to compare yet: no item of {', '.join(empty)} counts.")


def _heading(sample: tuple[str, str, Sequence[Run]], measured: Measured, items: dict[str, int]) -> dict[str, Any]:
    inspection = measured.observation.inspection
    return {
        "label": sample[0],
        "inspection_id": inspection.id,
        "identifier": inspection.specification.identifier,
        "base": inspection.specification.base,
        "environment": inspection.environment,
        "items": items,
    }


def _differences(view: View, measured: Sequence[Measured]) -> dict[str, Any]:
    documents = [view.whole(one.observation.inspection).specification.to_document() for one in measured]
    installed = [one.packages for one in measured]
    if any(packages is None for packages in installed):
        installed = [specification_diff.wished(document) for document in documents]
    return {
        "specification": specification_diff.of_specifications(documents),
        "packages": specification_diff.of_packages(installed),
    }


def _problem(difference: dict[str, Any]) -> Problem:
    labels = string.ascii_uppercase[: len(difference["values"])]
    values = [f"{label} has {value}" for label, value in zip(labels, difference["values"], strict=True)]
    return Problem(difference["path"], ", ".join(values))
