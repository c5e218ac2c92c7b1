"""The public API as a visitor asks it: the service's own application, called as any client would call it."""

from __future__ import annotations

from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
from starlette.requests import Request
from starlette.types import ASGIApp

ROOT = "/api/v1"

PASSED = ("host", "authorization", "x-api-key")
"""Headers of the visitor's that are those of the call."""

WAIT = 300.0
"""Seconds that the HTTP client would wait; the transport within one process knows no such thing."""


class Refused(Exception):
    """The API answered with an error: its status, its sentence, and what it says of single fields."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        self.status = status
        self.error = str(document.get("error") or "The service did not say why.")
        self.details: list[dict[str, str]] = document.get("details") or []
        super().__init__(self.error)


class Api:
    """Calls `app` for one visitor: with their credential and from their address, through all of its layers.

    Nothing of it goes over a network. Used as an asynchronous context manager.
    """

    def __init__(self, app: ASGIApp, request: Request, token: str | None = None) -> None:
        headers = {name: request.headers[name] for name in PASSED if name in request.headers}
        if token is not None:
            headers = {**headers, "authorization": f"Bearer {token}"}
        client = request.client or ("", 0)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(client[0], client[1]))
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers, trust_env=False, timeout=WAIT
        )

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The document at a path below `/api/v1`. Raises `Refused`."""
        given = {name: value for name, value in query.items() if value is not None}
        return _document(await self._client.get(ROOT + path, params=given))

    async def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """What the API answers to a document. Raises `Refused`."""
        return _document(await self._client.post(ROOT + path, json=document))

    async def find(self, path: str, **query: Any) -> dict[str, Any] | None:
        """As `get`; None where there is nothing, or nothing yet: what a page can do without."""
        try:
            found = await self.get(path, **query)
        except Refused as exc:
            if exc.status == 401:
                raise
            return None
        return None if "error" in found else found


def inspection(inspection_id: str, *more: object) -> str:
    """The path of an inspection, or of a part of it."""
    return "/".join(["/inspect", *(quote(str(part), safe="") for part in (inspection_id, *more))])


def _document(response: httpx.Response) -> dict[str, Any]:
    document: Any
    try:
        document = response.json()
    except ValueError:
        document = {}
    if response.status_code >= 400 or not isinstance(document, dict):
        raise Refused(response.status_code, document if isinstance(document, dict) else {})
    return document
