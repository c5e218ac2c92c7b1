"""Whether inspections differ, metric by metric and pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from amun.model.metric_path import canonical
from amun.model.specification import Metric

from .metrics import Described, by_path, described, seen
from .multiple_testing import corrected
from .runs import RUNNER, Run
from .selection import counted, tally

if TYPE_CHECKING:
    from .pairs import Pair

WORTH_TESTING = ("wall_time", "peak_memory")
"""The runner's metrics that are tested if nobody says which: each costs all others some power."""

MOST_TESTS = 2000
"""Of metrics and pairs that nobody named; the first metrics are taken. So many leave no power, and take seconds."""

MOST_SENTENCES = 3


def compare(
    samples: Sequence[tuple[str, str, Sequence[Run]]],
    declared: Sequence[Metric] = (),
    *,
    paths: Sequence[str] | None = None,
    clean: bool = False,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Return `items` (one of each inspection), `metrics`, `tests` and `verdict` of the answer to ``POST /compare``.

    Equal inspections are called different in any of all metrics and pairs with a probability of 1 - `confidence` at
    most; see `decision` for what is reckoned with.

    :param samples: label, inspection id and runs of each inspection.
    :param declared: the `metrics` of their specifications; the first that is tested is what the verdict is of.
    :param paths: the metrics to test; without any, those declared, and where none are, the script's and some of the
        runner's.
    :param clean: leave out items that were disturbed.
    :param confidence: between 0 and 1.
    """
    # Not before it is asked for: NumPy and SciPy take most of a second to import.
    from .pairs import pairs

    known = by_path(declared)
    labels, ids = [label for label, _, _ in samples], [identifier for _, identifier, _ in samples]
    values = [[run.values for run in counted(runs, clean)] for _, _, runs in samples]
    metrics = [described(path, known) for path in tested(paths, known, values)]
    weighed = [pairs(metric, labels, [_numbers(metric, runs) for runs in values]) for metric in metrics]
    tests = _correct([pair for of_metric in weighed for pair in of_metric])
    main = main_metric([metric for metric, found in zip(metrics, weighed, strict=True) if found])
    documents = [
        [pair.to_document(ids, confidence, tests, metric is main) for pair in of_metric]
        for metric, of_metric in zip(metrics, weighed, strict=True)
    ]
    verdicts = next((found for metric, found in zip(metrics, documents, strict=True) if metric is main), [])
    return {
        "items": [tally(runs, clean) for _, _, runs in samples],
        "tests": tests,
        "verdict": _verdict(verdicts, main),
        "metrics": [
            {key: value for key, value in metric.to_document().items() if key != "source"} | {"pairs": found}
            for metric, found in zip(metrics, documents, strict=True)
        ],
    }


def tested(
    paths: Sequence[str] | None, known: Mapping[str, Metric], values: Sequence[Sequence[Mapping[str, float]]]
) -> list[str]:
    """Return the paths of the metrics to test."""
    if paths:
        return list(dict.fromkeys(map(canonical, paths)))
    if known:
        return list(known)
    # A metric that only one inspection has cannot be compared.
    each = [set(seen(runs)) for runs in values]
    shared = [path for path in seen([run for runs in values for run in runs]) if sum(path in own for own in each) > 1]
    most = MOST_TESTS // (len(values) * (len(values) - 1) // 2)
    script = [path for path in shared if path not in RUNNER]
    return script[: most - len(WORTH_TESTING)] + [path for path in WORTH_TESTING if path in shared]


def main_metric(metrics: Sequence[Described]) -> Described | None:
    """Return which of those compared the main verdict is of: the first declared, else the wall time, else the first."""
    first = next((metric for metric in metrics if metric.declared), None)
    wall = next((metric for metric in metrics if metric.path == "wall_time"), None)
    return first or wall or next(iter(metrics), None)


def _numbers(metric: Described, runs: Sequence[Mapping[str, float]]) -> list[float]:
    return [values[metric.path] for values in runs if metric.path in values]


def _correct(found: Sequence[Pair]) -> int:
    """Correct the p of all pairs that could be tested; returns how many these are."""
    testable = [pair for pair in found if pair.evidence.tested]
    for pair, p in zip(testable, corrected([pair.p for pair in testable]), strict=True):
        pair.p_corrected = p
    return len(testable)


def _verdict(found: Sequence[dict[str, Any]], main: Described | None) -> str:
    if main is None or not found:
        return "nothing to compare: no metric is in the reports of two of them"
    if len(found) == 1:
        return str(found[0]["verdict"])
    if len(found) <= MOST_SENTENCES:
        return "; ".join(_told(pair) for pair in found)
    different = sum(pair["different"] for pair in found)
    return f"{different} of {len(found)} pairs differ in {main.path}"


def _told(pair: dict[str, Any]) -> str:
    first, second = pair["labels"]
    return str(pair["verdict"]) if pair["different"] else f"{first} and {second}: {pair['verdict']}"
