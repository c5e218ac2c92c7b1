"""What people get to see: tables of documents from the service. All text in them is made harmless on the way."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from amun.client import Document

from .console import phase_text
from .quantities import duration
from .results import Item, Result, item_states, started
from .sanitize import plain

COLUMNS = 6  # Batches larger than this are summed up by minimum, median and maximum.
ROWS = 60


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()) -> Table:
    """A table of plain text; columns named in `numbers` are set flush right."""
    built = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        built.add_column(
            heading, justify="right" if heading in numbers else "left", overflow="fold", header_style="bold"
        )
    for row in rows:
        built.add_row(*(cell if isinstance(cell, Text) else Text(_cell(cell)) for cell in row))
    return built


def result_view(result: Result) -> RenderableType:
    """Phase, items with exit code and usage, the numbers they printed, and the hardware in one line."""
    parts: list[RenderableType] = [headline(result.status)]
    reached = [item for item in result.items if item.report or started(item.state)]
    if reached:
        parts.append(_items_with_usage(reached))
    if len(reached) < len(result.items):
        parts.append(Text(f"{len(result.items) - len(reached)} of {len(result.items)} items not started."))
    if any(item.numbers for item in result.items):
        parts.append(_measurements(result.items))
    parts += [Text(f"Hardware: {line}") for line in dict.fromkeys(map(_hardware_line, result.items)) if line]
    return Group(*parts)


def status_view(status: Document) -> RenderableType:
    """Phase, build and items as they stand."""
    parts: list[RenderableType] = [headline(status), _build_line(status.get("build") or {})]
    states = item_states(status)
    if states:
        names = ("state", "reason", "exit_code", "node")
        rows = [
            (index, *map(state.get, names), _moment(state.get("started_at")), _moment(state.get("finished_at")))
            for index, state in states.items()
        ]
        headings = ("item", "state", "reason", "exit", "node", "started", "finished")
        parts.append(table(headings, rows, numbers=("item", "exit")))
    return Group(*parts)


def list_view(document: Document) -> RenderableType:
    """A page of inspections; where the service sums them up, with phase and time, and whose they are if anybody's."""
    items = document.get("items") or [{"inspection_id": name} for name in document.get("inspections") or []]
    if not items:
        return Text("No inspections.")
    owned = any(item.get("owner") for item in items)
    rows = (
        (
            item.get("inspection_id"),
            phase_text(str(item.get("phase") or "-")),
            item.get("reason"),
            _done(item),
            None if item.get("duration") is None else duration(item["duration"]),
            _moment(item.get("created")),
            *([item.get("owner")] if owned else []),
        )
        for item in items
    )
    headings = ("inspection", "phase", "reason", "items", "time", "created", *(["owner"] if owned else []))
    shown = table(headings, rows, numbers=("items", "time"))
    total = document.get("total")
    return shown if total in (None, len(items)) else Group(shown, Text(f"{len(items)} of {total}"))


def _done(item: Mapping[str, Any]) -> object:
    """`3/5` while three of five items are over, `5` once all are."""
    items = item.get("items") or {}
    over, total = items.get("over"), items.get("total", item.get("batch_size"))
    return total if over in (None, total) else f"{over}/{total}"


def hardware_view(document: Document) -> RenderableType:
    """The kinds of node, a row each."""
    headings = ("architecture", "processor", "family", "model", "cpu", "memory", "gpus", "nodes", "free")
    return table(headings, map(_node_row, document.get("hardware") or []), numbers=("cpu", "memory", "nodes", "free"))


def headline(status: Document) -> Text:
    """`ID: phase (Reason): message.`"""
    line = Text(plain((status.get("parameters") or {}).get("inspection_id", "")) + ": ")
    return line.append_text(phase_text(str(status.get("phase")))).append(because(status))


def because(status: Mapping[str, Any]) -> str:
    """The reason and message of a status, as the end of a line."""
    reason, message = status.get("reason"), status.get("message")
    return (f" ({plain(reason)})" if reason else "") + (f": {plain(message)}" if message else "")


def bytes_text(number: float) -> str:
    """A number of bytes as people say it, in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def _node_row(node: Mapping[str, Any]) -> Sequence[object]:
    cpu = (node.get("hwinfo") or {}).get("cpu_info") or {}
    gpus = (f"{gpu.get('count', 1)} {gpu.get('product') or gpu.get('vendor')}" for gpu in node.get("gpus") or [])
    return (
        node.get("architecture"),
        cpu.get("brand_raw"),
        cpu.get("family"),
        cpu.get("model"),
        node.get("cpu"),
        _memory(node.get("memory")),
        ", ".join(gpus) or None,
        node.get("count"),
        node.get("free"),
    )


def _build_line(build: Mapping[str, Any]) -> Text:
    words = [f"Build: {plain(build.get('state') or 'unknown')}"]
    if build.get("cached"):
        words.append("environment already built")
    if build.get("environment"):
        words.append(f"environment {plain(build['environment'])}")
    return Text(", ".join(words) + because(build))


def _items_with_usage(items: Sequence[Item]) -> Table:
    headings = ("item", "exit", "reason", "wall", "user", "sys", "peak memory")
    return table(headings, map(_usage_row, items), numbers=("item", "exit", "wall", "user", "sys", "peak memory"))


def _usage_row(item: Item) -> Sequence[object]:
    state, report = item.state, item.report or {}
    peak = item.usage("ru_maxrss")
    return (
        item.index,
        report.get("exit_code", state.get("exit_code")),
        state.get("reason") or (None if report else state.get("state")),
        _seconds(item.wall),
        _seconds(item.usage("ru_utime")),
        _seconds(item.usage("ru_stime")),
        None if peak is None else bytes_text(peak * 1024),
    )


def _measurements(items: Sequence[Item]) -> RenderableType:
    """The numbers that the items printed: a column an item, or how they spread where there are many."""
    columns = {item.index: item.numbers for item in items if item.numbers}
    names = list(dict.fromkeys(name for numbers in columns.values() for name in numbers))
    if len(columns) <= COLUMNS:
        headings = [f"[{index}]" for index in columns] if len(items) > 1 else ["value"]
        rows = [[name, *(numbers.get(name) for numbers in columns.values())] for name in names]
    else:
        headings = ["min", "median", "max"]
        rows = [[name, *_spread([n[name] for n in columns.values() if name in n])] for name in names]
    shown = table(["printed", *headings], rows[:ROWS], numbers=headings)
    if len(rows) <= ROWS:
        return shown
    return Group(shown, Text(f"… and {len(rows) - ROWS} numbers more: --json shows all."))


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def _hardware_line(item: Item) -> str:
    report = item.report or {}
    hwinfo = report.get("hwinfo") or {}
    cpu = hwinfo.get("cpu_info") or {}
    words = [
        cpu.get("brand_raw") or cpu.get("vendor_id_raw"),
        cpu.get("arch"),
        _named("family", cpu.get("family")),
        _named("model", cpu.get("model")),
        _counted(cpu.get("count"), "CPU"),
        _memory(hwinfo.get("memory")),
        (report.get("os_release") or {}).get("pretty_name"),
    ]
    return ", ".join(plain(word) for word in words if word)


def _memory(memory: object) -> str | None:
    total = memory.get("total_bytes") if isinstance(memory, Mapping) else memory
    return bytes_text(total) if isinstance(total, int | float) else None


def _named(name: str, value: object) -> str | None:
    return None if value is None else f"{name} {value}"


def _counted(count: object, noun: str) -> str | None:
    return None if count is None else f"{count} {noun}{'' if count == 1 else 's'}"


def _moment(time: object) -> str | None:
    """A time without the fraction of its second."""
    return None if time is None else re.sub(r"\.\d+", "", str(time))


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f} s"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else plain(value)
