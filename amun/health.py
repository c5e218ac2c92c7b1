"""Whether the service lives, and whether it can work: probes that answer quickly however slow the engine is."""

from __future__ import annotations

import threading
import time

from .engines.base import Engine
from .errors import AmunError

REMEMBERED = 2.0
"""Seconds for which one look at the engine answers for all who ask."""


class Readiness:
    """Asks the engine whether it can work, at most once in a while."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._obstacle: str | None = None

    def obstacle(self) -> str | None:
        """What keeps the engine from working, None if nothing does."""
        with self._lock:
            if time.monotonic() - self._looked_at > REMEMBERED:
                self._obstacle = self._look()
                self._looked_at = time.monotonic()
            return self._obstacle

    def _look(self) -> str | None:
        try:
            self._engine.check()
        except AmunError as exc:
            return str(exc)
        return None
