"""One character an item: how it stands, and how undisturbed it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

LINES = 4  # Of more items than fill these, only how many there are of each kind is said.


@dataclass(frozen=True)
class Mark:
    """A kind of item, with its character, the one for ASCII, and its colour."""

    words: str
    glyph: str
    ascii: str
    style: str


WAITING = Mark("waiting", "·", ".", "dim")
OPEN = Mark("not over", "·", ".", "dim")
NEVER = Mark("not run", "-", "-", "dim")
RUNNING = Mark("running", "●", "o", "cyan")
WARM = Mark("warm-up", "w", "w", "dim")
GOOD = Mark("succeeded", "✓", "+", "green")
CLEAN = Mark("clean", "✓", "+", "green")
DISTURBED = Mark("disturbed", "~", "~", "yellow")
UNKNOWN = Mark("unknown quality", "?", "?", "blue")
FAILED = Mark("failed", "✗", "x", "bold red")
ERROR = Mark("error of the platform", "!", "!", "bold magenta")
QUALITIES = {"clean": CLEAN, "disturbed": DISTURBED, "unknown": UNKNOWN}


def mark_of_run(run: Mapping[str, Any]) -> Mark:
    """The mark of one of the summary's `runs`."""
    outcome = run.get("outcome")
    if outcome is None:
        return OPEN
    if outcome != "succeeded":
        return FAILED if outcome == "failed" else ERROR
    return WARM if run.get("warmup") else QUALITIES.get(run.get("quality") or "", UNKNOWN)


def mark_of_state(state: Mapping[str, Any]) -> Mark:
    """The mark of an item's state as in the status."""
    if state.get("state") == "running":
        return RUNNING
    if state.get("state") != "terminated":
        return WAITING
    if state.get("reason") in ("NotStarted", "BuildFailed", "Cancelled"):
        return NEVER
    if state.get("exit_code") == 0 and state.get("reason") in (None, "Completed"):
        return WARM if state.get("warmup") else GOOD
    return FAILED


@dataclass(frozen=True)
class MarkRow:
    """The marks of all items in a row, and how many there are of each; of very many only that."""

    marks: Sequence[Mark]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        def glyph(mark: Mark) -> str:
            return mark.ascii if options.ascii_only else mark.glyph

        if len(self.marks) <= LINES * options.max_width:
            # By a line's length, since marks are no words that could be wrapped.
            for start in range(0, len(self.marks), options.max_width):
                line = Text(no_wrap=True)
                for mark in self.marks[start : start + options.max_width]:
                    line.append(glyph(mark), mark.style)
                yield line
        legend = Text()
        for mark, count in Counter(self.marks).items():
            legend.append(", " if legend else "", "dim").append(glyph(mark), mark.style)
            legend.append(f" {count} {mark.words}", "dim")
        yield legend


def marks_of_states(states: Iterable[Mapping[str, Any]]) -> MarkRow:
    return MarkRow([mark_of_state(state) for state in states])
