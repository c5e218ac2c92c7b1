"""The verdict in one sentence: what was shown, how surely and by how many runs, or what could not have been seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .metrics import Described
from .units import MEMORY, TIME

LONGEST_NAME = 80

HUGE = 10
"""Relative difference from which on it is told as a factor."""


def ratio_sentence(
    metric: Described, labels: Sequence[str], low: float, high: float, circumstances: str, main: bool
) -> str:
    """Say by what factor the second differs from the first.

    :param low: least ratio (second over first) that goes with the data; positive, as is `high`, the greatest.
    :param main: whether it may go without saying which metric it is of.
    """
    first, second = labels
    name = shortened(metric.path)
    if metric.better == "lower" and metric.unit in TIME:
        speed = f"{second} is {span(1 / high, 1 / low)} times as fast as {first} ({circumstances})"
        return speed if main else f"by {name}, {speed}"
    if metric.better == "lower" and metric.unit in MEMORY:
        what = "memory" if metric.path == "peak_memory" else name
        return f"{second} needs {span(low, high)} times the {what} of {first} ({circumstances})"
    ending = "" if metric.better is None else f", which is {_judged(metric.better, low > 1)}"
    return f"{second}'s {name} is {span(low, high)} times {first}'s{ending} ({circumstances})"


def _judged(better: str, more: bool) -> str:
    return "better" if more == (better == "higher") else "worse"


def difference_sentence(metric: Described, labels: Sequence[str], low: float, high: float, circumstances: str) -> str:
    """Say how much more or less the second is than the first, where there is no ratio; ends in the metric's unit."""
    first, second = labels
    word = "more" if low > 0 else "less"
    ends = sorted((abs(low), abs(high)))
    amount = " to ".join(dict.fromkeys(f"{end:.3g}" for end in ends))
    unit = f" {shortened(metric.unit)}" if metric.unit else ""
    return f"{second}'s {shortened(metric.path)} is {amount}{unit} {word} than {first}'s ({circumstances})"


def unclear_sentence(metric: Described, labels: Sequence[str], circumstances: str) -> str:
    """Say that there is a difference whose size no number can tell."""
    first, second = labels
    return f"{second}'s {shortened(metric.path)} differs from {first}'s ({circumstances})"


def nothing_sentence(counts: Sequence[int], detectable: float | None, tests: int) -> str:
    """Say that no difference was shown, and what could have been.

    :param detectable: relative; None where none, however large, can be relied on to show.
    :param tests: how many there were, since each makes all others harder.
    """
    runs = f"with n = {number_of_runs(counts)}"
    if detectable is None:
        among = f" in {tests} tests at once" if tests > 1 else ""
        return f"no difference shown: even a large one may not have been seen {runs}{among}"
    return f"no difference shown: under {amount(detectable)} could not have been seen {runs}"


def unmeasured_sentence(metric: Described, counts: Sequence[int], detectable: float) -> str:
    """The same where the median is 0, and a difference cannot be told as a share of it."""
    size = f"{detectable:.3g} {shortened(metric.unit or '')}".strip()
    return f"no difference shown: under {size} could not have been seen with n = {number_of_runs(counts)}"


def constant_sentence(counts: Sequence[int]) -> str:
    return f"no difference: all runs gave the same number (n = {number_of_runs(counts)})"


def circumstances(counts: Sequence[int], confidence: float) -> str:
    return f"{percent(confidence)}, n = {' + '.join(map(str, counts))}"


def number_of_runs(counts: Sequence[int]) -> str:
    return " + ".join(map(str, counts if len(set(counts)) > 1 else counts[:1]))


def percent(share: float) -> str:
    return f"{float(f'{100 * share:.6g}'):g} %"


def amount(relative: float) -> str:
    """A relative difference in words, rounded up to two digits."""
    if relative >= HUGE:
        return f"a factor of {1 + relative:.2g}" if relative < 1e6 else "a factor of a million"
    digits = 1 - math.floor(math.log10(100 * relative)) if relative > 1e-6 else 6
    return f"{math.ceil(100 * relative * 10.0**digits - 1e-9) / 10.0**digits:g} %"


def span(low: float, high: float) -> str:
    """Two factors, with digits enough that neither looks like 1 if it is not."""
    for digits in range(2, 7):
        ends = [_factor(end, digits) for end in (low, high)]
        if all(float(end) != 1 for end in ends):
            break
    return " to ".join(dict.fromkeys(ends))


def _factor(number: float, digits: int) -> str:
    if 0.1 <= number < 10:
        return f"{number:.{digits}f}"
    return f"{number:.{digits + 1}g}"


def shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
