"""Answers about what was measured, as a service gives them: a time line, a summary, a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

A, B = "inspection-a-0123456789abcdef", "inspection-b-0123456789abcdef"
Document = dict[str, Any]


def moment(seconds: float) -> str:
    """So many seconds after noon."""
    return f"2026-11-23T12:{int(seconds // 60):02}:{seconds % 60:06.3f}Z"


def a_step(step: str, item: int | None, begin: float, end: float | None, **changes: Any) -> Document:
    finished = None if end is None else moment(end)
    made = {"step": step, "item": item, "started_at": moment(begin), "finished_at": finished}
    return {**made, "waiting": step in ("queue", "wait"), "reason": None, "message": None, **changes}


def a_detail(timeline: Sequence[Document], phase: str = "succeeded", **specification: Any) -> Document:
    status = {"parameters": {"inspection_id": A}, "phase": phase, "reason": None, "message": None}
    return {
        "inspection_id": A,
        "specification": {"base": "debian:12", **specification},
        "status": status,
        "items": [{"item": 0, "warmup": True}, {"item": 1, "warmup": False}],
        "timeline": list(timeline),
    }


def a_run(item: int, **changes: Any) -> Document:
    run = {"item": item, "warmup": False, "outcome": "succeeded", "quality": "clean", "reasons": [], "counted": True}
    return {**run, **changes}


def counts(**changes: Any) -> Document:
    none = {"warmup": 0, "failed": 0, "disturbed": 0, "unknown": 0, "left_out": 0}
    return {"total": 20, "over": 20, "counted": 20, **none, **changes}


def a_metric(path: str, values: Sequence[float], **changes: Any) -> Document:
    ordered = sorted(values)
    median = ordered[len(ordered) // 2]
    return {
        "path": path,
        "source": "script",
        "unit": None,
        "better": None,
        "declared": False,
        "n": len(values),
        "median": median,
        "mean": sum(values) / len(values),
        "standard_deviation": 0.0,
        "median_absolute_deviation": median / 50,
        "min": ordered[0],
        "max": ordered[-1],
        "percentiles": {str(share): median for share in (5, 25, 50, 75, 90, 95, 99)},
        "interval": {"low": median * 0.99, "high": median * 1.01, "confidence": 0.95},
        "outliers": [],
        "trend": {"direction": "none", "change": 0.0, "p": 0.8},
        "values": [{"item": item, "value": value, "quality": "clean"} for item, value in enumerate(values)],
        **changes,
    }


def a_summary(metrics: Sequence[Document] = (), runs: Sequence[Document] = (), **items: Any) -> Document:
    return {
        "inspection_id": A,
        "phase": "succeeded",
        "parameters": {"inspection_id": A},
        "items": counts(**items),
        "runs": list(runs),
        "metrics": list(metrics),
        "truncated": False,
    }


def a_pair(**changes: Any) -> Document:
    return {
        "a": A,
        "b": B,
        "labels": ["A", "B"],
        "n": [20, 18],
        "medians": [2.0, 1.5],
        "ratio": 0.75,
        "interval": {"low": 0.741, "high": 0.762},
        "p": 0.00001,
        "p_corrected": 0.00002,
        "cliffs_delta": -0.98,
        "detectable": 0.031,
        "needed": {"difference": 0.05, "runs": 9, "more": 0},
        "different": True,
        "verdict": "B is 1.31 to 1.35 times as fast as A (95 %, n = 20 + 18).",
        **changes,
    }


def compared(path: str, *pairs: Document, **changes: Any) -> Document:
    metric = {"path": path, "unit": "s", "better": "lower", "declared": False}
    return {**metric, "pairs": list(pairs), **changes}


def a_comparison(*metrics: Document, **changes: Any) -> Document:
    def inspection(label: str, inspection_id: str) -> Document:
        known = {"label": label, "inspection_id": inspection_id, "identifier": None, "base": "debian:12"}
        return {**known, "environment": "sha256:" + label.lower() * 64, "items": counts()}

    return {
        "parameters": {},
        "inspections": [inspection("A", A), inspection("B", B)],
        "alike": True,
        "unlike": [],
        "differences": {"specification": [], "packages": []},
        "confidence": 0.95,
        "tests": 6,
        "verdict": "B is 1.31 to 1.35 times as fast as A by wall_time (95 %, n = 20 + 18).",
        "metrics": list(metrics),
        **changes,
    }
