"""Two inspections in one metric: the numbers of a comparison, and its sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import sentences
from .metrics import Described
from .numerics import Array, middle, power_of_e, served, unscaled
from .power import detectable, needed
from .two_sample_test import Evidence, Sample, samples, weigh

FIVE_PERCENT = 0.05


@dataclass
class Pair:
    """Two inspections' numbers of one metric, weighed.

    Attributes:
        places: of the two among the inspections that are compared.
        labels: of the same.
        medians: of the same, in the metric's unit.
        p_corrected: Holm's, once all that is tested is known.
    """

    metric: Described
    places: tuple[int, int]
    labels: tuple[str, str]
    medians: tuple[float | None, float | None]
    a: Sample
    b: Sample
    evidence: Evidence
    p_corrected: float = field(default=1.0)

    @property
    def p(self) -> float:
        return float(self.evidence.p)

    @property
    def counts(self) -> tuple[int, int]:
        return self.a.count, self.b.count

    def differs(self, confidence: float) -> bool:
        """The rule: Holm's corrected p is below 1 - `confidence`. The interval excludes "equal" then."""
        return self.evidence.tested and self.p_corrected < 1 - confidence

    def to_document(self, ids: Sequence[str], confidence: float, tests: int, main: bool) -> dict[str, Any]:
        """Return the pair as it is served; `tests` is how many were made in all, `main` as for the sentence."""
        level = (1 - confidence) / max(tests, 1)
        smallest = float(detectable(self.a, self.b, self.evidence, level))
        return {
            "a": ids[self.places[0]],
            "b": ids[self.places[1]],
            "labels": list(self.labels),
            "n": list(self.counts),
            "medians": list(self.medians),
            "ratio": self._ratio(),
            "interval": self._interval(confidence),
            "p": self.p,
            "p_corrected": self.p_corrected,
            "cliffs_delta": served(self.evidence.delta),
            "detectable": self._relative(smallest),
            "needed": self._needed(level),
            "different": self.differs(confidence),
            "verdict": self._shown(confidence, main) if self.differs(confidence) else self._not_shown(smallest, tests),
        }

    def _ratio(self) -> float | None:
        """Second median over the first; None where one is not positive, or it is no finite positive number."""
        first, second = self.medians
        return served(second / first) or None if first and second and self.a.logarithmic else None

    def _interval(self, confidence: float) -> dict[str, float] | None:
        """Of the ratio; None where there is none, or its ends are no finite positive numbers."""
        if not self.a.logarithmic or not self.evidence.tested:
            return None
        low, high = (served(power_of_e(float(end))) for end in self.evidence.interval(confidence))
        # Logarithms are rounded, and runs that all gave the same leave no room.
        ratio = self._ratio()
        return {"low": min(low, ratio), "high": max(high, ratio)} if low and high and ratio else None

    def _relative(self, shift: float) -> float | None:
        """A shift of the samples' scale as a share of the first median."""
        if self.a.logarithmic:
            return served(power_of_e(shift) - 1)
        level = abs(float(self.a.median))
        return served(shift / level) if level > 1e-300 else None

    def _needed(self, level: float) -> dict[str, float | int | None]:
        shift = np.log1p(FIVE_PERCENT) if self.a.logarithmic else FIVE_PERCENT * np.abs(self.a.median)
        runs = served(needed(self.a, self.b, self.evidence, np.asarray(shift), level)) if shift > 0 else None
        more = None if runs is None else max(int(runs) - min(self.counts), 0)
        return {"difference": FIVE_PERCENT, "runs": None if runs is None else int(runs), "more": more}

    def _not_shown(self, smallest: float, tests: int) -> str:
        if np.ptp(np.concatenate([self.a.values, self.b.values])) == 0:
            return sentences.constant_sentence(self.counts)
        relative = self._relative(smallest)
        size = math.inf if self.a.logarithmic else unscaled(smallest, self.a.exponent)
        if relative is None and math.isfinite(size):
            return sentences.unmeasured_sentence(self.metric, self.counts, size)
        return sentences.nothing_sentence(self.counts, relative, tests)

    def _shown(self, confidence: float, main: bool) -> str:
        circumstances = sentences.circumstances(self.counts, confidence)
        if interval := self._interval(confidence):
            ends = interval["low"], interval["high"]
            return sentences.ratio_sentence(self.metric, self.labels, *ends, circumstances, main)
        low, high = (unscaled(float(end), self.a.exponent) for end in self.evidence.interval(confidence))
        if self.a.logarithmic or not np.isfinite([low, high]).all():
            return sentences.unclear_sentence(self.metric, self.labels, circumstances)
        return sentences.difference_sentence(self.metric, self.labels, low, high, circumstances)


def pairs(metric: Described, labels: Sequence[str], numbers: Sequence[Sequence[float]]) -> list[Pair]:
    """Weigh each two inspections that have numbers of this metric.

    :param numbers: of each inspection, in the order of items.
    """
    there = [place for place, values in enumerate(numbers) if values]
    arrays: list[Array] = [np.array(numbers[place], dtype=np.float64) for place in there]
    scaled = dict(zip(there, samples(arrays), strict=True)) if there else {}
    medians = {place: served(middle(values)) for place, values in zip(there, arrays, strict=True)}
    return [
        Pair(
            metric,
            (first, second),
            (labels[first], labels[second]),
            (medians[first], medians[second]),
            scaled[first],
            scaled[second],
            weigh(scaled[first], scaled[second]),
        )
        for at, first in enumerate(there)
        for second in there[at + 1 :]
    ]
