"""Small plots made of characters, as wide as their place; without colours they say the same, and ASCII will do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.text import Text

WIDEST, NARROWEST = 60, 8


@dataclass(frozen=True)
class Glyphs:
    """What plots are drawn with.

    Attributes:
        parts: ends of a bar, from the shortest to the longest, that are no whole character.
        heights: of a column, from the least to the most.
        begin, line, end, dot: an interval and its middle.
        against, across: what it is seen against, outside of it and within.
    """

    full: str
    half: str
    light: str
    parts: str
    heights: str
    begin: str
    line: str
    end: str
    dot: str
    against: str
    across: str


UNICODE = Glyphs("█", "▒", "░", "▏▎▍▌▋▊▉", "▁▂▃▄▅▆▇█", "├", "─", "┤", "●", "│", "┼")
ASCII = Glyphs("#", "=", ".", "", ".:-=+*%#", "[", "-", "]", "o", "|", "+")


@dataclass(frozen=True)
class Plot:
    """Something that is drawn into the columns there are, by `draw(width, glyphs)`."""

    draw: Callable[[int, Glyphs], Text]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.draw(max(1, min(options.max_width, WIDEST)), glyphs_of(options))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(NARROWEST, options.max_width), min(WIDEST, options.max_width))


@dataclass(frozen=True)
class Line:
    """A plot with what stands before and behind it."""

    label: str
    plot: Plot | None
    cells: tuple[str, ...] = ()
    style: str = ""


@dataclass(frozen=True)
class Lines:
    """Plots below each other, as wide as labels and cells leave room for; cells stand below where there is none."""

    lines: Sequence[Line]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        left = max((cell_len(line.label) for line in self.lines), default=0) + 1
        columns = list(zip_longest(*(line.cells for line in self.lines), fillvalue=""))
        widths = [max(map(cell_len, column)) for column in columns]
        room = options.max_width - left - sum(widths) - len(widths)
        beside = room >= min(NARROWEST + 4, WIDEST)
        width = max(1, min(WIDEST, room if beside else options.max_width - left))
        for line in self.lines:
            text = Text(line.label + " " * (left - cell_len(line.label)), no_wrap=True, overflow="ellipsis")
            plot = line.plot.draw(width, glyphs_of(options)) if line.plot else Text()
            text.append_text(plot)
            if not beside:
                yield text
                if any(line.cells):
                    yield Indented(Text("  ".join(filter(None, line.cells)), line.style), left)
                continue
            text.append(" " * (width - plot.cell_len))
            for cell, wide in zip(line.cells, widths, strict=False):
                text.append(" " + " " * (wide - cell_len(cell)) + cell, line.style)
            text.rstrip()
            yield text


@dataclass(frozen=True)
class Indented:
    """Something, a little to the right."""

    inside: RenderableType
    by: int = 2

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrower = options.update_width(max(1, options.max_width - self.by))
        for line in console.render_lines(self.inside, narrower, pad=False):
            yield Segment(" " * self.by)
            yield from line
            yield Segment.line()


def _share(value: float, low: float, high: float) -> float:
    """Where `value` lies from `low` (0) to `high` (1); by halves, since a difference may be too large for a number."""
    span = high / 2 - low / 2
    return min(1.0, max(0.0, (value / 2 - low / 2) / span)) if span > 0 else 0.5


def glyphs_of(options: ConsoleOptions) -> Glyphs:
    return ASCII if options.ascii_only else UNICODE


def bar(value: float, largest: float, style: str = "cyan") -> Plot:
    """A bar from zero, of which `largest` would fill the place."""

    def draw(width: int, glyphs: Glyphs) -> Text:
        steps = len(glyphs.parts) + 1
        units = round(width * steps * _share(value, 0.0, largest)) if largest > 0 else 0
        whole, part = divmod(units, steps)
        drawn = glyphs.full * whole + (glyphs.parts[part - 1] if part else "")
        return Text(drawn or (glyphs.heights[0] if value > 0 else ""), style, no_wrap=True)

    return Plot(draw)


def strip(values: Sequence[float], marked: Sequence[bool]) -> Plot:
    """Where the values lie between the least and the most: the higher a column, the more. `marked` ones stand out."""

    def draw(width: int, glyphs: Glyphs) -> Text:
        low, high = min(values), max(values)
        counts, plain = [0] * width, [0] * width
        for value, is_marked in zip(values, marked, strict=True):
            column = round(_share(value, low, high) * (width - 1))
            counts[column] += 1
            plain[column] += not is_marked
        drawn = Text(no_wrap=True)
        for count, of_plain in zip(counts, plain, strict=True):
            height = math.ceil(count / max(counts) * len(glyphs.heights))
            drawn.append(glyphs.heights[height - 1] if count else " ", "cyan" if of_plain else "yellow")
        return drawn

    return Plot(draw)


def interval(middle: float, low: float, high: float, seen_against: float, axis: tuple[float, float]) -> Plot:
    """An interval with its middle, on an axis that others may share, and the value that it is seen against."""

    def draw(width: int, glyphs: Glyphs) -> Text:
        def column(value: float) -> int:
            return round(_share(value, *axis) * (width - 1))

        cells = [" "] * width
        cells[column(low) : column(high) + 1] = glyphs.line * (column(high) - column(low) + 1)
        at = column(seen_against)
        cells[at] = glyphs.against if cells[at] == " " else glyphs.across
        cells[column(low)], cells[column(high)] = glyphs.begin, glyphs.end
        cells[column(middle)] = glyphs.dot
        style = "dim" if low <= seen_against <= high else "bold green"
        return Text("".join(cells), style, no_wrap=True)

    return Plot(draw)


@dataclass(frozen=True)
class Stretch:
    """A stretch of time, in seconds on the axis of its plot."""

    begin: float
    end: float
    kind: str


def stretches(drawn: Iterable[Stretch], begin: float, end: float) -> Plot:
    """Stretches of time on an axis from `begin` to `end`; each has a column at least, the later ones first."""
    ordered = list(drawn)

    def draw(width: int, glyphs: Glyphs) -> Text:
        cells: list[tuple[str, str]] = [(" ", "")] * width
        for stretch in ordered:
            first = min(width - 1, math.floor(_share(stretch.begin, begin, end) * width))
            last = max(first + 1, round(_share(stretch.end, begin, end) * width))
            cells[first:last] = [look(stretch.kind, glyphs)] * (last - first)
        text = Text(no_wrap=True)
        for glyph, style in cells:
            text.append(glyph, style)
        return text

    return Plot(draw)


def look(kind: str, glyphs: Glyphs) -> tuple[str, str]:
    """Character and colour of a kind of stretch: `waiting`, `begun` (on its way), else work."""
    if kind == "waiting":
        return glyphs.light, "yellow"
    return (glyphs.half, "blue") if kind == "begun" else (glyphs.full, "green")
