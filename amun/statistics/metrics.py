"""Which metrics there are, and what is known of each: in the order in which they are served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from amun.model.metric_path import canonical
from amun.model.specification import Metric

from .runs import RUNNER
from .units import unit_of


@dataclass(frozen=True)
class Described:
    """A metric: `source` is who measured it, `better` which way is, None where nobody said so."""

    path: str
    source: Literal["runner", "script"]
    unit: str | None
    better: Literal["lower", "higher"] | None
    declared: bool

    def to_document(self) -> dict[str, object]:
        return dict(vars(self))


def described(path: str, declared: Mapping[str, Metric]) -> Described:
    """Say what is known of a metric: what was declared, what Amun knows of its own, what the key tells.

    :param declared: by canonical path.
    """
    said = declared.get(path)
    runner = path in RUNNER
    return Described(
        path,
        "runner" if runner else "script",
        (said.unit if said else None) or (RUNNER[path] if runner else unit_of(path)),
        (said.better if said else None) or ("lower" if runner else None),
        said is not None,
    )


def by_path(declared: Iterable[Metric]) -> dict[str, Metric]:
    """Declared metrics by canonical path; of two for the same, the first."""
    found: dict[str, Metric] = {}
    for metric in declared:
        found.setdefault(canonical(metric.path), metric)
    return found


def ordered(seen: Iterable[str], declared: Mapping[str, Metric]) -> list[str]:
    """Paths in the order in which they are served: declared, then the script's as first seen, then the runner's."""
    script = dict.fromkeys(path for path in seen if path not in RUNNER)
    return list(dict.fromkeys([*declared, *script, *RUNNER]))


def seen(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """All paths of these values, as first seen."""
    return list(dict.fromkeys(path for values in runs for path in values))
