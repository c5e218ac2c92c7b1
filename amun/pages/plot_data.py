"""What plots are drawn from, as small as they can be sent; the tables beside them say the same in numbers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST = 8
"""Metrics that are drawn on one page; the tables have all."""

POINTS = 6000
"""Values that are drawn on one page."""


def of_runs(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A plot for each metric that differs between runs: its values in order of the runs, and their box."""
    chosen = [
        metric for metric in _ordered(summary.get("metrics", [])) if len(metric["values"]) > 1 and _varies(metric)
    ]
    return [
        {
            "path": metric["path"],
            "unit": metric.get("unit"),
            "values": [[each["item"], _short(each["value"]), each.get("quality")] for each in metric["values"]],
        }
        for metric in _few(chosen, lambda metric: len(metric["values"]))
    ]


def beside(compared: Mapping[str, Any], summaries: Iterable[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """A plot for each metric that was compared: the values of every inspection, under its label."""
    labels = [each["label"] for each in compared["inspections"]]
    known = [{metric["path"]: metric["values"] for metric in (found or {}).get("metrics", [])} for found in summaries]
    made = [
        {
            "path": metric["path"],
            "unit": metric.get("unit"),
            "groups": [
                {"label": label, "values": [_short(each["value"]) for each in metrics.get(metric["path"], [])]}
                for label, metrics in zip(labels, known, strict=True)
            ],
        }
        for metric in _ordered(compared.get("metrics", []))
    ]
    drawn = [plot for plot in made if len({value for group in plot["groups"] for value in group["values"]}) > 1]
    return _few(drawn, lambda plot: sum(len(group["values"]) for group in plot["groups"]))


def _ordered(metrics: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that were declared first, then the wall time among what the script tells: what people look at."""
    return sorted(metrics, key=lambda metric: (not metric.get("declared"), metric["path"] != "wall_time"))


def _varies(metric: Mapping[str, Any]) -> bool:
    return bool(metric["min"] != metric["max"])


def _few(plots: Sequence[Any], points: Any) -> list[Any]:
    chosen: list[Any] = []
    left = POINTS
    for plot in plots[:MOST]:
        left -= points(plot)
        if left < 0 and chosen:
            break
        chosen.append(plot)
    return chosen


def _short(value: float) -> float:
    return float(f"{value:.6g}")
