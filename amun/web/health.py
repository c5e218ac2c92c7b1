"""Whether the service lives, and whether it can work: probes that answer quickly however slow the engine is."""

from __future__ import annotations

import threading
import time

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from amun.auth.callers import Reviewer
from amun.engines.base import Engine
from amun.errors import AmunError

REMEMBERED = 2.0
"""Seconds for which one look at the engine answers for all who ask."""


class Liveness:
    """ASGI middleware: answers ``/liveness`` by itself, without a worker thread, since these may all be busy."""

    path = "/liveness"

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self.path:
            return await self._app(scope, receive, send)
        if scope["method"] != "GET":
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        await JSONResponse({"status": "ok"})(scope, receive, send)


class Readiness:
    """Asks the engine whether it can work, and who knows the callers whether they can tell, once in a while."""

    def __init__(self, engine: Engine, reviewer: Reviewer | None = None) -> None:
        self._engine = engine
        self._reviewer = reviewer
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._obstacle: str | None = None

    def obstacle(self) -> str | None:
        """What keeps the service from working, None if nothing does."""
        with self._lock:
            if time.monotonic() - self._looked_at > REMEMBERED:
                self._obstacle = self._look()
                self._looked_at = time.monotonic()
            return self._obstacle

    def _look(self) -> str | None:
        try:
            self._engine.check()
            if self._reviewer is not None:
                self._reviewer.check()
        except AmunError as exc:
            return str(exc)
        return None
