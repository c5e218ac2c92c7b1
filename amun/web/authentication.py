"""The door: whoever comes in is known, and has not come too often.

It is the one place that decides this. Connexion's own handling of security is left out (`amun.web.app`); what
openapi.yaml says of it is for people and for the programs that are generated from it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from starlette.types import ASGIApp, Receive, Scope, Send

from amun.auth.callers import ANYBODY, Caller, Reviewer, note
from amun.auth.rate_limits import Limits
from amun.auth.request_credential import credential
from amun.errors import Forbidden, Unauthenticated

from .allowed_hosts import PROBES, SAFE, Names, values

DESCRIPTION = frozenset({"/api/v1", "/api/v1/", "/api/v1/openapi.json", "/api/v1/openapi.yaml", "/api/v1/ui"})
"""What describes the API: the same everywhere, and needed to fill in a token in Swagger UI."""

UI = "/api/v1/ui/"
METRICS = "/metrics"

REVIEWS = 8
"""Reviews at a time: while the cluster is slow, those whose credential is remembered must not wait for the others."""


class Door:
    """ASGI middleware inside `amun.web.edge.Gate`: refuses, or notes the caller in the scope and lets them pass.

    Args:
        reviewer: tells whose a credential is; without one, nobody is asked.
        names: by which the service may be asked, also by its own pages.
        open_paths: what needs no credential; everything else does, whether there is anything or not.
    """

    def __init__(
        self, app: ASGIApp, reviewer: Reviewer | None, limits: Limits, names: Names, open_paths: frozenset[str]
    ) -> None:
        self._app = app
        self._names = names
        self._reviewer = reviewer
        self._limits = limits
        self._open = open_paths
        self._threads = ThreadPoolExecutor(REVIEWS, thread_name_prefix="review")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_open(scope):
            caller = await self._caller(scope)
            self._names.check_origin(scope["method"], values(scope, b"host"), values(scope, b"origin"))
            self._limits.request(caller)
            note(scope, caller)
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        if scope.get("root_path"):  # below a prefix, a path is not what it looks like
            return False
        path = scope["path"]
        return path in self._open or path.startswith(UI)

    async def _caller(self, scope: Scope) -> Caller:
        address = (scope.get("client") or ("",))[0]
        if self._reviewer is None:
            _refuse_foreign_pages(scope)
            return replace(ANYBODY, address=address)
        given = credential(scope["headers"])
        caller = self._reviewer.recall(given)
        if caller is None:
            caller = await self._review(self._reviewer, given, address)
        return replace(caller, address=address)

    async def _review(self, reviewer: Reviewer, given: str, address: str) -> Caller:
        """Ask whoever knows, unless this address has come with too much that was not good."""
        self._limits.may_try(address)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, reviewer.review, given)
        except Unauthenticated:
            self._limits.failure(address)
            raise


def open_paths(metrics: bool) -> frozenset[str]:
    """What needs no credential; `metrics` says whether those are among it."""
    return PROBES | DESCRIPTION | ({METRICS} if metrics else set())


def _refuse_foreign_pages(scope: Scope) -> None:
    """Where nobody is asked, a browser on this machine must not be made to ask by a page from elsewhere."""
    if scope["method"] in SAFE:
        return  # a page from elsewhere cannot read the answer
    if any(name == b"sec-fetch-site" and value in (b"cross-site", b"same-site") for name, value in scope["headers"]):
        raise Forbidden("A page from elsewhere may not use this service by your browser.")
