"""The outermost layer of every request: its size, the headers every answer has, the count of every answer."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import __version__, answers, metrics

OTHER = "(other)"
"""Route of all paths that lead nowhere: a metric must not have a label for each."""


class _TooLarge(Exception):
    pass


class Gate:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, request_limit: int) -> None:
        self._app = app
        self._limit = request_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def counted(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Amun-Version"] = __version__
                metrics.RESPONSES.labels(scope["method"], _route(scope), message["status"]).inc()
            await send(message)

        try:
            if int(Headers(scope=scope).get("content-length") or 0) > self._limit:
                raise _TooLarge
            await self._app(scope, self._limited(receive), counted)
        except (_TooLarge, ValueError):
            if started:
                raise
            await self._refuse(counted)

    def _limited(self, receive: Receive) -> Receive:
        """Receive no more than the limit, whatever Content-Length said."""
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise _TooLarge
            return message

        return limited

    async def _refuse(self, send: Send) -> None:
        error = f"The request is too large: a specification may have {self._limit} bytes."
        content = json.dumps(answers.body(error)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def _route(scope: MutableMapping[str, Any]) -> str:
    """The path as the API's description writes it, with its parameters' names in place of values."""
    parameters = scope.get("path_params") or {}
    operation = scope.get("extensions", {}).get("connexion_routing", {}).get("operation_id")
    if operation is None:
        return scope["path"] if scope["path"] in FIXED else OTHER
    names = {str(value): f"{{{name}}}" for name, value in parameters.items()}
    return "/".join(names.get(part, part) for part in scope["path"].split("/"))


FIXED = frozenset({"/", "/api/v1", "/readiness", "/liveness", "/metrics", "/api/v1/openapi.json", "/api/v1/ui/"})
