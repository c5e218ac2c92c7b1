"""What nobody expected: it is logged, tried again a few times, and then is an error of the service's own."""

from __future__ import annotations

import time
from collections import Counter

from amun.errors import AmunError, Rejected, Unreadable
from amun.telemetry.logs import logger

TRIES = 5
"""How often something may fail, one time after the other, before it is given up."""

REASON = "InternalError"
MESSAGE = "The service itself failed at this, several times; its log says why."

REFUSED = "EngineRefused"
"""Why something ended that the engine refused for good (`Rejected`, `Unreadable`), for as long as may be waited."""


class Unexpected:
    """Counts exceptions by what they befell. Used within `except` blocks."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def too_often(self, what: str, event: str) -> bool:
        """Log the exception that is being handled, with its traceback the first time; True once that was enough."""
        self._times[what] += 1
        log = logger.exception if self._times[what] == 1 else logger.warning
        log(event, what=what, time=self._times[what])
        return self._times[what] >= TRIES

    def over(self, what: str) -> None:
        """It went well after all."""
        del self._times[what]


class Refusals:
    """Knows since when something is refused for good. Nothing of that is tried for ever."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: dict[str, float] = {}

    def too_long(self, what: str, exc: AmunError) -> bool:
        """Whether this is a refusal that does not pass, and has been there for longer than `patience` seconds."""
        if not isinstance(exc, Rejected | Unreadable):
            self.over(what)
            return False
        now = time.monotonic()
        return now - self._since.setdefault(what, now) >= self._patience

    def over(self, what: str) -> None:
        """It went well after all."""
        self._since.pop(what, None)
