"""A live view of an inspection on a terminal: phases with their times, a mark an item, the end of what it prints."""

from __future__ import annotations

import codecs
import time
from collections import deque
from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from amun.client import Client, ClientError, Document

from . import exit_codes, follow
from .console import phase_text
from .item_marks import MarkRow, mark_of_state
from .quantities import duration
from .results import item_states, started
from .sanitize import Sanitizer, plain
from .views import because

PAUSE = 0.5
TAIL = 12  # Lines of logs, if the terminal is high enough.
AT_ONCE = 4  # Logs that are read in one turn: of quicker items some lines are left out.
LONGEST = 2000  # Characters of a line that are kept.


class Tail:
    """The last lines of a log that grows, read from the byte after the last one."""

    def __init__(self, prefix: str, read: Callable[[int], Iterator[bytes]], lines: deque[str]) -> None:
        self.over = False
        self._prefix = prefix
        self._read = read
        self._lines = lines
        self._got = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._sanitizer = Sanitizer(colour=False)

    def update(self, last: bool) -> None:
        """Take what is there by now; it is the `last` if nothing more can come after it."""
        try:
            for chunk in self._read(self._got):
                self._got += len(chunk)
                self._take(self._sanitizer.feed(self._decoder.decode(chunk)))
        except ClientError as error:
            if error.unavailable:
                raise
            last = last or not error.not_ready
        if last:
            self.over = True
            rest = self._sanitizer.feed(self._decoder.decode(b"", True)) + self._sanitizer.end()
            self._take(rest + ("\n" if self._rest or rest else ""))

    def _take(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        self._rest = self._rest[-LONGEST:]
        # Of a great many lines only those that can be seen are made.
        for line in lines[-(self._lines.maxlen or TAIL) :]:
            self._lines.append(self._prefix + line[:LONGEST].expandtabs())


class View:
    """The picture: drawn anew several times a second, while `update` takes in what is new."""

    def __init__(self, inspection_id: str) -> None:
        self.lines: deque[str] = deque(maxlen=TAIL)
        self.trouble = ""
        self._id = inspection_id
        self._status: Document = {}
        self._phases: list[tuple[str, float]] = []
        self._spinners = {ascii_only: Spinner("line" if ascii_only else "dots") for ascii_only in (False, True)}
        self._end: float | None = None

    def update(self, status: Document) -> None:
        self._status = status
        phase = str(status["phase"])
        if not self._phases or self._phases[-1][0] != phase:
            self._phases.append((phase, time.monotonic()))
        if phase in exit_codes.OVER:
            self._end = self._end or time.monotonic()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        upper = Group(Text(plain(self._id), "bold", overflow="fold"), self._steps(options), *self._extras())
        height = len(console.render_lines(upper, options, pad=False))
        yield upper
        room = min(TAIL, console.height - height - 2)
        shown = list(self.lines)[-room:] if room > 0 else []
        if shown:
            yield Text("─" * options.max_width if not options.ascii_only else "-" * options.max_width, "dim")
        for line in shown:
            yield Text(line, no_wrap=True, overflow="ellipsis")

    def _steps(self, options: ConsoleOptions) -> RenderableType:
        """A line a phase, with the time that it took; the one that goes on has a spinner."""
        grid = Table.grid(padding=(0, 1))
        for index, (phase, begun) in enumerate(self._phases):
            last = index == len(self._phases) - 1
            until = time.monotonic() if last else self._phases[index + 1][1]
            if last and self._end is not None:
                grid.add_row(" ", phase_text(phase), Text(f"after {duration(self._end - self._phases[0][1])}", "dim"))
                continue
            moving: RenderableType = self._spinners[options.ascii_only] if last else Text(" ")
            grid.add_row(moving, phase_text(phase), Text(duration(until - begun), "" if last else "dim"))
        return grid

    def _extras(self) -> Iterator[RenderableType]:
        """Why it stands as it does, and the items."""
        why = because(self._status).removeprefix(":").strip()
        if why:
            yield Text(why, "red" if self._status["phase"] in exit_codes.OVER else "yellow")
        if self.trouble:
            yield Text(self.trouble, "red")
        states = item_states(self._status)
        if states:
            yield MarkRow([mark_of_state(state) for state in states.values()])


class Watcher:
    """Asks the service how an inspection stands, turn by turn, and reads the logs of what runs."""

    def __init__(self, client: Client, inspection_id: str) -> None:
        self.view = View(inspection_id)
        self._client = client
        self._id = inspection_id
        self._tails: dict[int | None, Tail] = {}
        self._built_before: bool | None = None
        self._lost: float | None = None

    def turn(self) -> bool:
        """Take in what is new; whether it is over. Raises `ClientError` if the service is gone for too long."""
        try:
            status = self._client.status(self._id)
            self._read_logs(status)
        except ClientError as error:
            self._bear(error)
            return False
        self._lost, self.view.trouble = None, ""
        self.view.update(status)
        return status["phase"] in exit_codes.OVER

    def _bear(self, error: ClientError) -> None:
        self._lost = self._lost or time.monotonic()
        if not error.unavailable or time.monotonic() - self._lost > follow.PATIENCE:
            raise error
        self.view.trouble = plain(error.error)

    def _read_logs(self, status: Document) -> None:
        """The build's log, then those of the items that began last."""
        build = status.get("build") or {}
        over = status["phase"] in exit_codes.OVER
        if self._built_before is None:
            self._built_before = bool(build.get("cached")) and build.get("state") == "terminated"
        if started(build) and not self._built_before:
            self._update(None, "", over or build.get("state") == "terminated")
        states = item_states(status)
        begun = [item for item, state in states.items() if started(state) and self._is_news(item)]
        for item in begun[-AT_ONCE:]:
            prefix = f"[{item}] " if len(states) > 1 else ""
            self._update(item, prefix, over or states[item].get("state") == "terminated")

    def _is_news(self, item: int) -> bool:
        """Whether its log may have more to read; of those that were left out nothing is read later."""
        if item in self._tails:
            return not self._tails[item].over
        return all(other is None or other < item for other in self._tails)

    def _update(self, item: int | None, prefix: str, last: bool) -> None:
        def read(offset: int) -> Iterator[bytes]:
            if item is None:
                return self._client.build_log(self._id, offset=offset)
            return self._client.item_log(self._id, item, offset=offset)

        tail = self._tails.setdefault(item, Tail(prefix, read, self.view.lines))
        if not tail.over:
            tail.update(last)


def watch(client: Client, inspection_id: str) -> None:
    """Show an inspection live to its end."""
    watcher = Watcher(client, inspection_id)
    console = Console(stderr=True, highlight=False)
    with Live(watcher.view, console=console, refresh_per_second=8):
        while not watcher.turn():
            time.sleep(PAUSE)
