"""Who visits: a cookie that holds the visitor's token, and is worth a credential to pages of this service alone.

The cookie is HttpOnly (no script reads it), SameSite=Strict (no other site's page has it sent) and Secure wherever the
visitor came by https. Whatever changes something is taken from it only if the request says that a page of this very
origin made it: other services on the same host share its cookies, whatever their port.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "amun-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST = 3800
"""Bytes of a token that a browser still keeps in a cookie: name, value and attributes may be 4096 together."""


class Session:
    """ASGI middleware around the door: where a request has no credential, the cookie is one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = _with_credential(scope)
        await self._app(scope, receive, send)


def _with_credential(scope: Scope) -> Scope:
    headers = Headers(scope=scope)
    if "authorization" in headers or "x-api-key" in headers or "cookie" not in headers:
        return scope
    given = token(headers)
    if given is None or not (scope["method"] in SAFE or same_origin(headers)):
        return scope
    return {**scope, "headers": [*scope["headers"], (b"authorization", b"Bearer " + given.encode("latin-1"))]}


def token(headers: Headers) -> str | None:
    """What the visitor signed in with."""
    cookies = cookie_parser(headers.get("cookie", ""))
    return cookies.get(_secured(COOKIE)) or cookies.get(COOKIE)


def same_origin(headers: Headers) -> bool:
    """Whether a page of this origin made the request. Browsers say so by one of two headers, which no page can set."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def is_secure(request: Request) -> bool:
    """Whether the visitor came by https, be it to a proxy in front of this service."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", "").lower())


def sign_in(request: Request, response: Response, given: str) -> None:
    """Have the visitor's browser keep the token until it is closed."""
    secure = is_secure(request)
    name = _secured(COOKIE) if secure else COOKIE
    response.set_cookie(name, given, httponly=True, samesite="strict", secure=secure, path="/")


def sign_out(response: Response) -> None:
    """Have the visitor's browser forget the token."""
    for name, secure in ((_secured(COOKIE), True), (COOKIE, False)):
        response.delete_cookie(name, httponly=True, samesite="strict", secure=secure, path="/")


def _secured(name: str) -> str:
    """A name by which browsers take the cookie from this host by https only, and for no other."""
    return f"__Host-{name}"
