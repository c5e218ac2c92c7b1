"""What an inspection's items measured: how many count, how undisturbed they were, and every metric."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from amun.client import Document

from . import quantities
from .item_marks import MarkRow, mark_of_run
from .plots import Indented, Line, Lines, Plot, strip
from .sanitize import plain
from .views import table

WIDE = 110  # Columns from which on metrics are the rows of a table.
ROWS = 60
ARROWS = {"lower": "lower is better", "higher": "higher is better"}

Metric = Mapping[str, Any]


def summary_view(summary: Document) -> RenderableType:
    """The counts, a mark an item, what disturbed some, then the metrics."""
    parts: list[RenderableType] = [Text(counts(summary.get("items") or {}))]
    runs = summary.get("runs") or []
    if runs:
        parts.append(MarkRow([mark_of_run(run) for run in runs]))
    parts += _disturbances(runs)
    parts += [Text(_absent(metric), "yellow") for metric in summary.get("absent") or []]
    metrics = summary.get("metrics") or []
    if metrics:
        parts += [Text(""), _Metrics(metrics[:ROWS])]
    if len(metrics) > ROWS or summary.get("truncated"):
        parts.append(Text(f"… and more than these {min(len(metrics), ROWS)} metrics: --json shows up to 200."))
    return Group(*parts)


def counts(items: Mapping[str, Any]) -> str:
    """How many items count, and why the others do not."""
    counted, total = items.get("counted") or 0, items.get("total") or 0
    rest = [
        _how_many(items.get("warmup"), "warm-up", "warm-ups"),
        _how_many(items.get("failed"), "failed", "failed"),
        _how_many(items.get("left_out"), "disturbed, left out", "disturbed, left out"),
        _how_many(total - (items.get("over") or 0), "not over", "not over"),
    ]
    words = [f"{counted} of {total} items counted", *filter(None, rest)]
    if items.get("disturbed") and not items.get("left_out"):
        words.append(f"{items['disturbed']} disturbed (--clean leaves them out)")
    if items.get("unknown"):
        words.append(f"{items['unknown']} of unknown quality")
    return ", ".join(words) + "."


def metric_heading(metric: Metric) -> Text:
    """Its path, and whether less or more is better."""
    better = ARROWS.get(metric.get("better") or "")
    return Text.assemble((plain(metric.get("path")), "bold"), (f"  {better}" if better else "", "dim"))


class _Metrics:
    """A table where there is room for one, else a paragraph a metric."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width >= WIDE:
            yield _as_table(self._metrics)
            return
        for metric in self._metrics:
            yield metric_heading(metric)
            yield Indented(_as_paragraph(metric))


def _as_table(metrics: Sequence[Metric]) -> Table:
    confidence = next((m["interval"]["confidence"] for m in metrics if m.get("interval")), None)
    interval = f"{quantities.percent(confidence)} interval" if confidence else "interval"
    headings = ["metric", "better", "n", "median", interval, "spread", "outliers", "trend", "least to most"]
    built = table(headings, [], numbers=("n", "median", "outliers"))
    for column in built.columns[1:-1]:
        column.no_wrap = True
    for metric in metrics:
        cells = (Text(plain(metric.get("path"))), Text(plain(metric.get("better") or "-")), str(metric.get("n")))
        built.add_row(
            *cells, *map(Text, _figures(metric)), _strip(metric) if len(metric.get("values") or []) > 1 else ""
        )
    return built


def _figures(metric: Metric) -> list[str]:
    """Median, interval, spread, outliers and trend as text."""
    unit = metric.get("unit")
    return [
        quantities.amount(metric.get("median"), unit),
        _interval(metric),
        _spread(metric),
        str(len(metric.get("outliers") or [])) if metric.get("outliers") else "-",
        _trend(metric.get("trend")),
    ]


def _as_paragraph(metric: Metric) -> RenderableType:
    """Median, how sure and how even it is, and the strip, in lines that may be short."""
    median, interval, spread, _, trend = _figures(metric)
    share = quantities.percent(metric["interval"]["confidence"]) if metric.get("interval") else ""
    first = f"{median}" + (f" ({interval}, {share})" if share else "") + f", n = {metric.get('n')}"
    outliers = [str(outlier.get("item")) for outlier in metric.get("outliers") or []]
    named = ", ".join(outliers[:10]) + (" …" if len(outliers) > 10 else "")
    words = [
        f"spread {spread}" if spread != "-" else "",
        trend if trend != "-" else "",
        f"outlier{'s' if len(outliers) > 1 else ''}: item {named}" if outliers else "",
    ]
    parts: list[RenderableType] = [Text(first), Text(", ".join(filter(None, words)), "dim")]
    if len(metric.get("values") or []) > 1:
        low, high = quantities.together([metric["min"], metric["max"]], metric.get("unit"))
        parts.append(Lines([Line(low, _strip(metric), (high,))]))
    return Group(*parts)


def _interval(metric: Metric) -> str:
    found = metric.get("interval")
    return quantities.extent(found["low"], found["high"], metric.get("unit")) if found else "-"


def _spread(metric: Metric) -> str:
    """The median absolute deviation, as a share of the median where there is one."""
    deviation, median = metric.get("median_absolute_deviation"), metric.get("median")
    if deviation is None:
        return "-"
    share = deviation / abs(median) if median else math.inf
    return f"± {quantities.percent(share)}" if math.isfinite(100 * share) else quantities.amount(deviation, None)


def _trend(trend: Mapping[str, Any] | None) -> str:
    if not trend or trend.get("direction") not in ("rising", "falling"):
        return "-"
    change = trend.get("change")
    return plain(trend["direction"]) + (f" {quantities.change(change)}" if change is not None else "")


def _strip(metric: Metric) -> Plot:
    values = metric.get("values") or []
    return strip([value["value"] for value in values], [value.get("quality") == "disturbed" for value in values])


def _disturbances(runs: Sequence[Mapping[str, Any]]) -> Iterator[Text]:
    """What disturbed items that count: which ones for the same reasons, and the sentences of the first of these."""
    alike: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for run in runs:
        if run.get("quality") == "disturbed" and not run.get("warmup"):
            alike.setdefault(tuple(plain(why.get("reason")) for why in run.get("reasons") or []), []).append(run)
    for reasons, disturbed in alike.items():
        items = [str(run.get("item")) for run in disturbed]
        named = ", ".join(items[:10]) + (" …" if len(items) > 10 else "")
        words = " ".join(plain(why.get("message")) for why in disturbed[0].get("reasons") or [] if why.get("message"))
        example = (f"; item {items[0]}: " if len(items) > 1 else ": ") + words if words else ""
        yield Text(f"Disturbed ({', '.join(reasons) or 'no reason given'}): item {named}{example}", "yellow")


def _absent(metric: Mapping[str, Any]) -> str:
    """Which items have no number of a metric that the specification declares."""
    words = [
        f"{what} item {', '.join(map(str, items[:10]))}{' …' if len(items) > 10 else ''}"
        for what, items in (("not printed by", metric.get("missing")), ("not finite in", metric.get("not_finite")))
        if items
    ]
    return f"Declared metric {plain(metric.get('path'))}: {'; '.join(words)}"


def _how_many(count: int | None, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}" if count else ""
