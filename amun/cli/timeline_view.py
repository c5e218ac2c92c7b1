"""Where the time of an inspection went, as bars: the build, then every item; waiting apart from work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from amun.client import Document
from amun.model import timestamps

from .exit_codes import OVER
from .plots import Line, Lines, Stretch, glyphs_of, look, stretches
from .quantities import duration
from .sanitize import plain

ROWS = 24  # Of more items than this only the first ones are drawn.
REASONS = 8
LEGEND = (("waiting", "waiting"), ("begun", "pulled, started"), ("work", "built, ran"))


@dataclass(frozen=True)
class Row:
    """What is drawn in one line: the steps of the build, or of one item."""

    label: str
    stretches: tuple[Stretch, ...]

    def seconds(self, waiting: bool) -> float:
        return sum(s.end - s.begin for s in self.stretches if (s.kind == "waiting") == waiting)


@dataclass(frozen=True)
class _Legend:
    seconds: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text(f"{duration(self.seconds)} in all: ", "dim")
        for kind, words in LEGEND:
            glyph, style = look(kind, glyphs_of(options))
            line.append(glyph, style).append(f" {words}  ", "dim")
        line.rstrip()
        yield line


def timeline_view(detail: Document) -> RenderableType:
    """The `timeline` of an inspection's detail; what goes on yet is drawn up to now."""
    steps = [step for step in detail.get("timeline") or [] if _moment(step.get("started_at")) is not None]
    if not steps:
        over = (detail.get("status") or {}).get("phase") in OVER
        return Text("There was nothing to do: its environment is there." if over else "Nothing has happened yet.")
    now = _end(steps)
    rows = list(_rows(steps, now, _warmups(detail)))
    begin = min(stretch.begin for row in rows for stretch in row.stretches)
    lines = [Line("", None, ("waiting", "working"), "dim")]
    for row in rows[:ROWS]:
        times = tuple(_seconds(row.seconds(waiting)) for waiting in (True, False))
        lines.append(Line(row.label, stretches(row.stretches, begin, now), times))
    parts: list[RenderableType] = [Lines(lines), _Legend(now - begin)]
    if len(rows) > ROWS:
        parts.insert(1, Text(f"… and {len(rows) - ROWS} items more: --json shows all."))
    return Group(*parts, *_reasons(steps, detail.get("status") or {}))


def _rows(steps: Sequence[Mapping[str, Any]], now: float, warmups: frozenset[int]) -> Iterator[Row]:
    grouped: dict[int | None, list[Stretch]] = {}
    for step in steps:
        begin = _moment(step["started_at"])
        end = _moment(step.get("finished_at"))
        if begin is not None:
            kind = "waiting" if step.get("waiting") else "begun" if step.get("step") in ("pull", "start") else "work"
            grouped.setdefault(step.get("item"), []).append(Stretch(begin, max(begin, end or now), kind))
    for item, drawn in grouped.items():
        yield Row("build" if item is None else f"{'warm-up' if item in warmups else 'item'} {item}", tuple(drawn))


def _warmups(detail: Document) -> frozenset[int]:
    return frozenset(item["item"] for item in detail.get("items") or [] if item.get("warmup") and "item" in item)


def _end(steps: Sequence[Mapping[str, Any]]) -> float:
    """The last moment that is known; while something goes on, this moment, if the clocks agree on what is later."""
    known = [moment for step in steps for name in ("started_at", "finished_at") if (moment := _moment(step.get(name)))]
    if any(step.get("finished_at") is None for step in steps):
        known.append(timestamps.seconds(timestamps.now()))
    return max(known)


def _reasons(steps: Sequence[Mapping[str, Any]], status: Mapping[str, Any]) -> Iterator[Text]:
    """Why it waited, and what did not end well, each once; what the status says of the whole is said already."""
    said = {
        f"{plain(step.get('step'))}: {plain(step['reason'])}"
        + (f": {plain(step['message'])}" if step.get("message") else ""): step.get("waiting")
        for step in steps
        if step.get("reason") and (step["reason"], step.get("message")) != (status.get("reason"), status.get("message"))
    }
    for line, waiting in list(said.items())[:REASONS]:
        yield Text(line, "yellow" if waiting else "red")


def _moment(text: object) -> float | None:
    try:
        return timestamps.seconds(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _seconds(seconds: float) -> str:
    return duration(seconds) if seconds > 0 else "-"
