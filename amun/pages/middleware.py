"""The layer of the service that answers for the page, and passes on everything else."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from amun.errors import INTERNAL
from amun.telemetry.logs import logger

from . import sign_in as visits
from . import static_files, views
from .api_client import Refused
from .rendering import HEADERS, page
from .sign_in import to_sign_in

ROUTES: tuple[tuple[str, Callable[[Request], Awaitable[Response]], tuple[str, ...]], ...] = (
    ("/", views.inspections, ("GET",)),
    ("/inspections/{inspection_id}", views.inspection, ("GET",)),
    ("/inspections/{inspection_id}/items/{item:int}", views.item, ("GET",)),
    ("/compare", views.compare, ("GET",)),
    ("/new", views.new, ("GET",)),
    ("/sign-in", visits.sign_in, ("GET", "POST")),
    ("/sign-out", visits.sign_out, ("POST",)),
    ("/static/{version}/{path:path}", static_files.serve, ("GET",)),
)
"""Every page: its path, what answers, by which methods."""

_PATTERNS = {
    path: re.compile(re.sub(r"\{\w+(:\w+)?\}", lambda found: ".+" if found[1] == ":path" else "[^/\n]+", path))
    for path, *_ in ROUTES
}


def template(path: str) -> str | None:
    """The path of a page as it is written in `ROUTES`; None for any other."""
    return next((written for written, pattern in _PATTERNS.items() if pattern.fullmatch(path)), None)


class Pages:
    """ASGI middleware outside of the door: it needs no credential, since its pages ask the API with the visitor's.

    Args:
        app: the next layer.
        service: the whole service, which the pages are clients of.
    """

    def __init__(self, app: ASGIApp, service: ASGIApp) -> None:
        self._app = app
        self._service = service
        self._pages = _pages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope.get("root_path") or template(scope["path"]) is None:
            return await self._app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._pages({**scope, "app": self._service}, receive, with_headers)


def _pages() -> ASGIApp:
    routes = [Route(path, answer, methods=list(methods)) for path, answer, methods in ROUTES]
    handlers: dict[Any, Any] = {Refused: _refused, HTTPException: _no_page, Exception: _defect}
    answering = ExceptionMiddleware(Router(routes, redirect_slashes=False), handlers)
    return GZipMiddleware(answering, minimum_size=500, compresslevel=6)


async def _refused(request: Request, exc: Refused) -> Response:
    """The API would not answer: say what it said, or let the visitor say who they are."""
    if exc.status == 401:
        return to_sign_in(request)
    return page(request, "refused.html", exc.status, title="Not to be had", error=exc.error, details=exc.details)


async def _defect(request: Request, exc: Exception) -> Response:
    logger.error("page failed", exc_info=exc)
    return page(request, "refused.html", 500, title="Not to be had", error=INTERNAL, details=[])


async def _no_page(request: Request, exc: HTTPException) -> Response:
    error = "This path does not take that method." if exc.status_code == 405 else "There is nothing at this path."
    answer = page(request, "refused.html", exc.status_code, title="Not found", error=error, details=[])
    answer.headers.update(exc.headers or {})
    return answer
