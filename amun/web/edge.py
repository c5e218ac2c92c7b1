"""The outermost layer of every request: its size, the headers every answer has, the count of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amun import __version__
from amun.errors import Busy, RequestTimeout, RequestTooLarge
from amun.pages.middleware import template
from amun.telemetry import metrics
from amun.validation import schema

OTHER = "(other)"
"""Route of all paths that lead nowhere: a metric must not have a label for each."""

FIXED = frozenset({"/api/v1", "/readiness", "/liveness", "/metrics", "/api/v1/openapi.json", "/api/v1/ui/"})
"""Paths beside the API's own that are counted by name."""


PATIENCE = 30.0
"""Seconds within which the next part of a body must have come."""

SMALL = 64 * 1024
"""Bytes of a body for which there always is room."""

TOGETHER = 8
"""How many of the largest bodies a process holds at a time: what is made of one takes many times its size."""

RETRY_AFTER = 5
"""Seconds after which one that there was no room for may be sent again."""


class Gate:
    """ASGI middleware around everything that answers, errors included."""

    def __init__(self, app: ASGIApp, request_limit: int) -> None:
        self._app = app
        self._limit = request_limit
        self._room = TOGETHER * request_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope.setdefault("extensions", {})  # Connexion routes on a copy of the scope, which shares this

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Amun-Version"] = __version__
                metrics.RESPONSES.labels(scope["method"], _route(scope), message["status"]).inc()
            await send(message)

        held = 0

        def hold(size: int) -> None:
            """Keep room for a body of which so much has come, until the request is answered."""
            nonlocal held
            more = size - held if size > SMALL else 0
            if more > self._room:
                raise Busy("There are too many large requests at once.", RETRY_AFTER)
            held += more
            self._room -= more

        try:
            await self._app(scope, self._limited(scope, receive, hold), counted)
        finally:
            self._room += held

    def _limited(self, scope: Scope, receive: Receive, hold: Callable[[int], None]) -> Receive:
        """Receive no more than the limit; a body that admits to be larger is not read at all."""
        declared = Headers(scope=scope).get("content-length", "")
        admitted = int(declared[:20]) if declared.isdecimal() else 0
        received = 0
        whole = False

        async def limited() -> Message:
            nonlocal received, whole
            if admitted <= self._limit:
                try:
                    async with asyncio.timeout(None if whole else PATIENCE):
                        message = await receive()
                except TimeoutError as exc:
                    raise RequestTimeout(f"Nothing more of the body came within {PATIENCE:g} s.") from exc
                whole = not message.get("more_body", False)
                received += len(message.get("body", b""))
                if received <= self._limit:
                    hold(received)
                    return message
            raise RequestTooLarge(f"The request is too large: a specification may have {self._limit} bytes.")

        return limited


def _route(scope: MutableMapping[str, Any]) -> str:
    """The path as the API's description writes it, with its parameters' names in place of their values."""
    operation = scope["extensions"].get("connexion_routing", {}).get("operation_id")
    if operation is None:  # also where it was refused before anybody looked where it leads
        path = scope["path"]
        return path if path in FIXED else schema.template(path) or template(path) or OTHER
    return schema.paths()[operation]
