"""Signing in and out."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from . import session
from .api_client import Api, Refused
from .rendering import page

_PRINTABLE = re.compile("[!-~]+")
_LOCAL = re.compile(r"/(?![/\\])[!-~]*")


def to_sign_in(request: Request) -> Response:
    """Send the visitor to the page where they say who they are, and back here after that."""
    where = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/sign-in?next={quote(where, safe='')}", 303)


async def sign_in(request: Request) -> Response:
    """The form, or what comes of it: a token is good if the API takes it."""
    if request.method == "POST":
        return await _posted(request)
    following = _local(request.query_params.get("next"))
    async with Api(request.app, request) as api:
        try:
            await api.get("/version")
        except Refused as exc:
            problem = None if exc.status == 401 else exc.error
            return page(request, "sign_in.html", following=following, problem=problem)
    return RedirectResponse(following, 303)  # nobody is asked here, or the visitor is known already


async def _posted(request: Request) -> Response:
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    token, following = form.get("token", [""])[0].strip(), _local(form.get("next", [""])[0])
    status, problem = await _problem(request, token)
    if problem is not None:
        return page(request, "sign_in.html", status, following=following, problem=problem)
    response = RedirectResponse(following, 303)
    session.sign_in(request, response, token)
    return response


async def _problem(request: Request, token: str) -> tuple[int, str | None]:
    """What is wrong with a token, and the status to say it with."""
    if not session.same_origin(request.headers):
        return 403, "This form was sent by a page from elsewhere. Sign in here."
    if not _PRINTABLE.fullmatch(token):
        return 400, "Type or paste a token: letters, digits and signs, without spaces."
    if len(token) > session.LONGEST:
        return 400, f"This token has {len(token)} characters; a browser keeps {session.LONGEST} at most."
    async with Api(request.app, request, token) as api:
        try:
            await api.get("/version")
        except Refused as exc:
            return exc.status, "This token is not known here." if exc.status == 401 else exc.error
    return 200, None


async def sign_out(request: Request) -> Response:
    """Forget the visitor's token, if a page of this service asks for that."""
    response = RedirectResponse("/sign-in", 303)
    if session.same_origin(request.headers):
        session.sign_out(response)
    return response


def _local(where: str | None) -> str:
    """A path of this service to go on to, whatever was asked for."""
    return where if where and _LOCAL.fullmatch(where) else "/"
