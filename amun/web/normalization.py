"""Requests in one form: what callers may write in several ways, the layers below know in one only."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROOT = "/api/v1"

LONGEST = 1024
"""Characters of one part of a path."""


class UniformRequests:
    """ASGI middleware. Sits inside `amun.web.edge.Gate`, which limits what there is to keep.

    * A body that comes in chunks gets a length: neither Connexion nor WSGI knows of the other kind.
    * A media type is written in lower case, and is JSON where none is named: nothing else is taken anyhow.
    * HEAD is GET whose body nobody waits for.
    * The root of the API is there without the last slash, too.
    * No path has a line feed or an empty part in it: Starlette's routes would not know it, and Flask's would. Nor
      has it a part that is longer than any name: Starlette makes a number of digits, however many there are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if "\n" in scope["path"] or "//" in scope["path"] or max(map(len, scope["path"].split("/"))) > LONGEST:
                raise HTTPException(404)
            scope = {**scope, "headers": list(scope["headers"])}
            if "transfer-encoding" in Headers(scope=scope):
                receive = await _whole(scope, receive)
            _name_type(MutableHeaders(scope=scope))
            if scope["path"] == ROOT:
                scope.update(path=f"{ROOT}/", raw_path=f"{ROOT}/".encode())
            if scope["method"] == "HEAD":
                scope["method"] = "GET"
                send = _headers_only(send)
        await self._app(scope, receive, send)


async def _whole(scope: Scope, receive: Receive) -> Receive:
    """Read the body, note its length, and return what gives it at once."""
    body = await Request(scope, receive).body()
    headers = MutableHeaders(scope=scope)
    del headers["transfer-encoding"]
    headers["content-length"] = str(len(body))
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        return next(messages, None) or await receive()

    return replayed


def _name_type(headers: MutableHeaders) -> None:
    media_type, semicolon, parameters = headers.get("content-type", "application/json").partition(";")
    if headers.get("content-length", "0") != "0":
        headers["content-type"] = media_type.strip().lower() + semicolon + parameters


def _headers_only(send: Send) -> Send:
    """End the answer after its headers, so that a stream ends as well."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return sent
