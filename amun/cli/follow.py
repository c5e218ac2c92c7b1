"""Following an inspection to its end: phases as they come, the build's log, then each item's."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from amun.client import Client, ClientError, Document

from . import exit_codes
from .console import PHASE_STYLE, say
from .results import item_states, started
from .sanitize import LogWriter
from .views import because

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
PATIENCE = 60.0  # Seconds for which a service that was there is waited for: it may be starting anew.

OpenLog = Callable[[int], Iterator[bytes]]


class _Log:
    """One log on its way to the screen, across as many streams as it takes: an item's, or (None) the build's."""

    def __init__(self, item: int | None, writer: LogWriter, open_log: OpenLog) -> None:
        self.item = item
        self.over = False
        self.writer = writer
        self._open = open_log
        self._got = 0

    def drain(self, last: bool) -> None:
        """Write what comes until the stream ends; it is the `last` if nothing more can come after it."""
        try:
            for chunk in self._open(self._got):
                self._got += len(chunk)
                self.writer.write(chunk)
        except ClientError as error:
            if error.unavailable:
                raise
            last = last or not error.not_ready
        if last:
            self.over = True
            self.writer.end()
            self.writer.end_line()

    def is_complete(self, status: Document) -> bool:
        """Whether nothing was going to be added to the log any more when `status` was read."""
        state = status["build"] if self.item is None else item_states(status)[self.item]
        return status["phase"] in exit_codes.OVER or state.get("state") == "terminated"


class Follower:
    """Shows one inspection from wherever it stands to its end.

    Phases and progress go to stderr, logs to `logs`. One thread: while a log streams, its end is the news.
    """

    def __init__(self, client: Client, inspection_id: str, logs: TextIO) -> None:
        self._client = client
        self._id = inspection_id
        self._sink = logs
        self._logs: dict[int | None, _Log] = {}
        self._said: object = None
        self._built_before: bool | None = None
        self._done = 0

    def follow(self) -> Document:
        """Follow to the end; returns the last status. Raises `ClientError` if the service is gone for too long."""
        pause = FIRST_PAUSE
        while True:
            status = self._status()
            over = status["phase"] in exit_codes.OVER
            if self._built_before is None:
                self._say_origin(status)
            news = not over and self._say_phase(status)
            log = next((log for log in self._begun(status) if not log.over), None)
            if log is not None:
                log.drain(last=log.is_complete(status))
            elif over:
                self._say_phase(status)
                return status
            news = (not over and self._say_progress(status)) or news
            if log is None or not log.over:
                pause = FIRST_PAUSE if news else min(pause * 1.5, LONGEST_PAUSE)
                time.sleep(pause)

    def _status(self) -> Document:
        """The status; a service that went away is waited for."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._client.status(self._id)
            except ClientError as error:
                if not error.unavailable or time.monotonic() > deadline:
                    raise
                time.sleep(LONGEST_PAUSE)

    def _begun(self, status: Document) -> Iterator[_Log]:
        """The logs there are to show by now, the build's first unless that is an old one."""
        if started(status.get("build") or {}) and not self._built_before:
            yield self._log(None, "")
        states = item_states(status)
        for item, state in states.items():
            if started(state):
                yield self._log(item, f"[{item}] " if len(states) > 1 else "")

    def _log(self, item: int | None, prefix: str) -> _Log:
        def open_log(got: int) -> Iterator[bytes]:
            if item is None:
                return self._client.build_log(self._id, follow=True, offset=got)
            return self._client.item_log(self._id, item, follow=True, offset=got)

        if item not in self._logs:
            self._logs[item] = _Log(item, LogWriter(self._sink, prefix), open_log)
        return self._logs[item]

    def _say_phase(self, status: Document) -> bool:
        """Say how it stands if that is new; whether it was."""
        said = status["phase"], status.get("reason"), status.get("message")
        if said == self._said:
            return False
        self._said = said
        self._end_lines()
        say(f"{self._id}: {status['phase']}{because(status)}", PHASE_STYLE.get(status["phase"], ""))
        return True

    def _say_origin(self, status: Document) -> None:
        """Find out, and say, whether the environment was there before, or is on its way for another inspection."""
        build = status.get("build") or {}
        cached = bool(build.get("cached"))
        self._built_before = cached and build.get("state") == "terminated" and status["phase"] != "build_failed"
        if self._built_before:
            say("The environment was already built.")
        elif cached:
            say("The environment is already being built for another inspection: its build is joined.")

    def _say_progress(self, status: Document) -> bool:
        """Say to a person how many items are done if that is new; whether it was."""
        job = status.get("job") or {}
        total, failed = job.get("completions") or 0, job.get("failed") or 0
        done = (job.get("succeeded") or 0) + failed
        if total < 2 or done <= self._done:
            return False
        self._done = done
        if sys.stderr.isatty():
            self._end_lines()
            say(f"{done} of {total} items done" + (f", {failed} failed" if failed else ""), "dim")
        return True

    def _end_lines(self) -> None:
        for log in self._logs.values():
            if not log.over:
                log.writer.end_line()
