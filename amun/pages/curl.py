"""The same by curl: one line for everything that a page shows or does. Pure."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from . import session
from .api_client import ROOT, inspection


@dataclass(frozen=True)
class Line:
    """What it does, in words, and the command."""

    about: str
    command: str


class Curl:
    """Commands for the service that a request came to; where the visitor has a token, they name a variable for it."""

    def __init__(self, request: Request) -> None:
        scheme = "https" if session.is_secure(request) else request.url.scheme
        self._root = f"{scheme}://{request.url.netloc}{ROOT}"
        self._known = "authorization" in request.headers or "x-api-key" in request.headers

    def line(self, about: str, path: str, *options: str, document: Any = None) -> Line:
        """One command. `options` are curl's own; a `document` is posted."""
        words = ["curl", "-s", *options]
        if document is not None:
            words += ["-H", "Content-Type: application/json", "-d", json.dumps(document)]
        command = shlex.join([*words, self._root + path])
        if self._known:
            command += ' -H "Authorization: Bearer $AMUN_TOKEN"'
        return Line(about, command)

    def of_inspection(self, inspection_id: str, items: int) -> list[Line]:
        """Whatever the page of an inspection shows or does."""

        def path(*more: object) -> str:
            return inspection(inspection_id, *more)

        lines = [
            self.line("Everything at once", path()),
            self.line("Phase, reason, build and job", path("status")),
            self.line("The specification", path("specification")),
            self.line("Build log, live", path("build", "log") + "?follow=true", "-N"),
        ]
        if items:
            lines += [
                self.line("What item 0 prints, live", path("job", 0, "log") + "?follow=true", "-N"),
                self.line("Report of item 0", path("job", 0, "result")),
                self.line("Metrics", path("summary")),
            ]
        return [
            *lines,
            self.line("Cancel", path("cancel"), "-X", "POST"),
            self.line("Delete", path(), "-X", "DELETE"),
        ]
