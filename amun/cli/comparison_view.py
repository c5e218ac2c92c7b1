"""How inspections differ: the verdict, every metric with bars and intervals, and what is not the same about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from amun.client import Document

from . import quantities
from .plots import Indented, Line, Lines, Plot, bar, interval
from .sanitize import plain
from .summary_view import counts, metric_heading
from .views import table

BLOCKS = 16  # Of more metrics than this, the verdict alone is said.
MOST = 1000  # Items of an inspection.
LONGEST = 60  # Characters of a value that differs.

Pair = Mapping[str, Any]


def comparison_view(document: Document) -> RenderableType:
    """The verdict first, who was compared, metric by metric, then what differs."""
    inspections = document.get("inspections") or []
    parts: list[RenderableType] = [Text(plain(document.get("verdict")), "bold"), Text(""), _who(inspections)]
    unlike = document.get("unlike") or []
    if unlike:
        parts += [Text("Unlike hardware, compared all the same:", "yellow"), _values(inspections, unlike)]
    metrics = document.get("metrics") or []
    for metric in metrics[:BLOCKS]:
        parts += [metric_heading(metric), Indented(_block(metric, document.get("confidence"))), Text("")]
    parts += [_in_brief(metric, pair) for metric in metrics[BLOCKS:] for pair in metric.get("pairs") or []]
    return Group(*parts, *_differences(inspections, document.get("differences") or {}), _family(document))


def unlike_view(problems: Sequence[tuple[str, str]]) -> RenderableType:
    """The fields in which hardware differs, as the refusal names them."""
    return table(("hardware", "difference"), problems)


def _who(inspections: Sequence[Mapping[str, Any]]) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for inspection in inspections:
        words = f"{plain(inspection.get('inspection_id'))}: {counts(inspection.get('items') or {})}"
        grid.add_row(plain(inspection.get("label")), Text(words))
    return grid


def _block(metric: Mapping[str, Any], confidence: float | None) -> RenderableType:
    """The medians as bars, then each pair: ratio and interval, what the test says, what it could have said."""
    pairs = metric.get("pairs") or []
    medians = {label: (n, median) for pair in pairs for label, n, median in _ends(pair)}
    known = [median for _, median in medians.values() if median is not None]
    texts = iter(quantities.together(known, metric.get("unit")))
    lines = [
        Line(plain(label), None, (f"no value, n = {n}",))
        if median is None
        else Line(plain(label), bar(median, max(known)), (f"{next(texts)}, n = {n}",))
        for label, (n, median) in medians.items()
    ]
    axis = _axis(pairs)
    lines += [Line(_name(pair), _ratio_plot(pair, axis), (_ratio(pair, confidence),)) for pair in pairs]
    parts: list[RenderableType] = [Lines(lines)]
    for pair in pairs:
        style = "green" if pair.get("different") else ""
        parts += [Text(plain(pair.get("verdict")), style), Text(_tested(pair), "dim")]
    return Group(*parts)


def _ends(pair: Pair) -> Iterator[tuple[str, int, float | None]]:
    yield from zip(pair.get("labels") or [], pair.get("n") or [], pair.get("medians") or [], strict=False)


def _name(pair: Pair) -> str:
    return " / ".join(plain(label) for label in reversed(pair.get("labels") or []))


def _axis(pairs: Sequence[Pair]) -> tuple[float, float]:
    """From the least to the greatest ratio of all pairs, 1 among them, with some room around."""
    ends = [1.0]
    for pair in pairs:
        ends += [end for end in (pair.get("ratio"), *(_interval(pair) or ())) if end is not None]
    room = (max(ends) - min(ends)) * 0.05
    return min(ends) - room, max(ends) + room


def _ratio_plot(pair: Pair, axis: tuple[float, float]) -> Plot | None:
    ratio, found = pair.get("ratio"), _interval(pair)
    if ratio is None or not found:
        return None
    return interval(ratio, *found, 1.0, axis)


def _interval(pair: Pair) -> tuple[float, float] | None:
    found = pair.get("interval") or {}
    low, high = found.get("low"), found.get("high")
    return None if low is None or high is None else (low, high)


def _ratio(pair: Pair, confidence: float | None) -> str:
    """`0.853, 95 %: 0.841 to 0.866`."""
    ratio, found = pair.get("ratio"), _interval(pair)
    if ratio is None:
        return "no ratio"
    if not found:
        return quantities.number(ratio)
    middle, low, high = quantities.together([ratio, *found], None)
    return f"{middle}, {quantities.percent(confidence or 0.95)}: {low} to {high}"


def _tested(pair: Pair) -> str:
    """What the rank test says, and what it could have said of so many runs."""
    words = [f"{_name(pair)}: p {quantities.probability(pair.get('p_corrected'))} (corrected)"]
    if pair.get("cliffs_delta") is not None:
        words.append(f"Cliff's delta {pair['cliffs_delta']:+.2f}")
    if pair.get("detectable") is not None:
        words.append(f"{_difference(pair['detectable'])} could have been seen")
    needed = pair.get("needed") or {}
    if needed.get("runs") is not None:
        words.append(f"{_difference(needed.get('difference') or 0.05)} needs {_runs(needed)}")
    return "; ".join(words) + "."


def _difference(share: float) -> str:
    return quantities.percent(share) if share < 1 else f"a factor of {quantities.number(1 + share, 2)}"


def _runs(needed: Mapping[str, Any]) -> str:
    """How many, and what is missing."""
    runs, more = needed["runs"], needed.get("more")
    if runs > MOST:
        return f"{runs} runs each, more than an inspection may have"
    return f"{runs} runs each" + (f", {more} more" if more else " (there are enough)")


def _in_brief(metric: Mapping[str, Any], pair: Pair) -> Text:
    style = "green" if pair.get("different") else "dim"
    return Text(f"{plain(metric.get('path'))}: ", overflow="fold").append(plain(pair.get("verdict")), style)


def _differences(inspections: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> Iterator[RenderableType]:
    fields = [(field.get("path"), field.get("values") or []) for field in found.get("specification") or []]
    packages = [
        (f"{package.get('name')} ({package.get('kind')})", package.get("versions") or [])
        for package in found.get("packages") or []
    ]
    if not fields and not packages:
        yield Text("They were asked for alike, and have the same packages.")
        return
    yield Text("What differs", "bold")
    rows = [{"path": path, "values": values} for path, values in [*fields, *packages]]
    yield _values(inspections, rows)


def _values(inspections: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> Table:
    labels = [plain(inspection.get("label")) for inspection in inspections]
    return table(("", *labels), ([row.get("path"), *map(_short, row.get("values") or [])] for row in rows))


def _short(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        value = ", ".join(value) or "none"
    text = plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _family(document: Document) -> Text:
    tests = document.get("tests")
    words = f"{tests} test{'s' if tests != 1 else ''}; p is corrected for all of them (Holm)." if tests else ""
    return Text(words, "dim")
