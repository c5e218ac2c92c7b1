"""Plain-text logs, followed live: served by ASGI, so that an open stream holds no worker thread.

Connexion hands requests to Flask by a bridge with ten threads a process, one for each open answer, and does not tell
it that a client has left. So requests for text are answered here, after Connexion has validated them and before
Flask: a thread is borrowed only to read the next chunk, and a client that leaves ends its stream.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from amun.application.inspections import Inspections
from amun.auth.callers import Caller, caller_of
from amun.errors import AmunError
from amun.telemetry.logs import logger

PAUSES = (0.02, 0.05, 0.1, 0.25)
"""Seconds between looks for something new, the last one for as long as there is nothing."""

TYPE = "text/plain; charset=utf-8"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class PlainTextLogs:
    """ASGI middleware between validation and Flask: streams logs to whoever wants text, passes all else on."""

    def __init__(self, app: ASGIApp, seen_by: Callable[[Caller], Inspections]) -> None:
        self._app = app
        self._seen_by = seen_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        routing = scope.get("extensions", {}).get("connexion_routing", {})
        operation = str(routing.get("operation_id") or "")
        request = Request(scope) if operation.endswith("_log") else None
        if request is None or not _wants_text(request):
            return await self._app(scope, receive, send)
        try:
            chunks = await anyio.to_thread.run_sync(self._chunks, operation, request)
        except AmunError as exc:
            exc.parameters = {**request.path_params, **request.query_params}
            raise
        try:
            await StreamingResponse(_iterate(chunks), headers=HEADERS, media_type=TYPE)(scope, receive, send)
        finally:  # whoever leaves must not leave an open file behind
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(chunks.close)

    def _chunks(self, operation: str, request: Request) -> Generator[bytes]:
        """The log that is asked for; raises what the answer then is, before anything is sent."""
        return _closable(self._log(operation, request))

    def _log(self, operation: str, request: Request) -> Iterator[bytes]:
        inspections = self._seen_by(caller_of(request.scope))
        path, query = request.path_params, request.query_params
        options: dict[str, Any] = {"follow": _true(query.get("follow")), "offset": int(query.get("offset", 0))}
        if operation == "get_inspection_build_log":
            return inspections.build_log(path["inspection_id"], **options)
        options.update(stream=query.get("stream"), timestamps=_true(query.get("timestamps")))
        return inspections.item_output(path["inspection_id"], int(path.get("item", 0)), **options)


def _closable(chunks: Iterator[bytes]) -> Generator[bytes]:
    yield from chunks


def _wants_text(request: Request) -> bool:
    """Whether the client follows, or likes text better than JSON."""
    if _true(request.query_params.get("follow")):
        return True
    accepted = [part.strip().partition(";")[0] for part in request.headers.get("accept", "").lower().split(",")]
    return "text/plain" in accepted and "application/json" not in accepted


def _true(value: str | None) -> bool:
    return (value or "").lower() == "true"


async def _iterate(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Read `chunks` in threads, one chunk at a time; ``b""`` is a reason to pause."""
    idle = 0
    try:
        while (chunk := await anyio.to_thread.run_sync(next, chunks, None)) is not None:
            if chunk:
                idle = 0
                yield chunk
            else:
                await anyio.sleep(PAUSES[min(idle, len(PAUSES) - 1)])
                idle += 1
    except Exception:  # the status is sent already: all that can be done is to end without the end mark
        logger.exception("log stream broken")
        raise
