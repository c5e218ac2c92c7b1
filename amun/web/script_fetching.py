"""Scripts at URLs, fetched before Flask sees the submission: whoever serves one slowly holds none of Flask's threads.

There is a pool of threads for it, and a limit of how many of them one caller may have; the rest of what a caller
submits waits for that caller's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from amun.application import script_source
from amun.auth.callers import caller_of
from amun.auth.rate_limits import account
from amun.errors import TooManyRequests
from amun.settings import Settings

from .connexion_validation import POSTED

THREADS = 16
"""Scripts that are fetched at a time."""

EACH = 4
"""Of one caller."""

WAITING = 60.0
"""Seconds that a submission waits for its turn."""

FETCHED = "amun.fetched"


class Scripts:
    """ASGI middleware between validation and Flask: notes in the scope the bytes of a script that is at a URL.

    Of a dry run only as much is looked at as can be without asking whoever serves the script.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.get("extensions", {})
        if extensions.get("connexion_routing", {}).get("operation_id") == "post_inspection":
            posted = extensions[POSTED].get("script") or ""
            if script_source.location(posted) is not None:
                dry_run = Request(scope).query_params.get("dry_run", "false").lower() == "true"
                extensions[FETCHED] = await self._fetch(account(caller_of(scope)), posted, dry_run)
        await self._app(scope, receive, send)

    async def _fetch(self, account: str, posted: str, dry_run: bool) -> bytes:
        turns = self._turns.setdefault(account, asyncio.Semaphore(EACH))
        try:
            await asyncio.wait_for(turns.acquire(), WAITING)
        except TimeoutError as exc:
            raise TooManyRequests("Too many of your scripts are still being fetched.", int(WAITING)) from exc
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, posted, dry_run)
        finally:
            turns.release()

    def _read(self, posted: str, dry_run: bool) -> bytes:
        if dry_run:
            script_source.check(posted, self._settings)
            return b""
        return script_source.read(posted, self._settings)


def fetched(scope: MutableMapping[str, Any]) -> bytes | None:
    """The bytes of the script of this submission, if it is at a URL; None where nothing was to be fetched."""
    content: bytes | None = scope["extensions"].get(FETCHED)
    return content
