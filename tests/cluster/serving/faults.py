"""What goes wrong with an API server, when a test says so."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster import errors

from .answers import Answer, Stream, refusal
from .routes import Request

if TYPE_CHECKING:
    from tests.cluster.apiserver import ApiServer

Proceed = Callable[[], Answer | Stream]

SAID = {
    409: ("Conflict", "Operation cannot be fulfilled: the object has been modified; please apply your changes to the"
          " latest version and try again"),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    400: ("BadRequest", "the server rejected our request for an unknown reason"),
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", 'is forbidden: User "system:serviceaccount:amun:amun" cannot do this'),
    422: ("Invalid", "is invalid: spec: Invalid value"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}  # fmt: skip


class Dropped(Exception):
    """The connection is to be closed without an answer."""


@dataclass
class Fault:
    """What is done to requests of a verb and a resource (both regular expressions, ``pods/log``)."""

    verb: str
    resource: str
    times: int | None  # how often yet; None: always
    until: float | None
    act: Callable[[Proceed], Answer | Stream]
    met: int = 0  # how often it was met

    def matches(self, request: Request) -> bool:
        return (
            self.times != 0
            and (self.until is None or time.monotonic() < self.until)
            and re.fullmatch(self.verb, request.verb) is not None
            and re.fullmatch(self.resource, request.resource) is not None
        )


class Faults:
    """The faults of one server; each is met by the next `times` requests that match, or by all for `seconds`."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def refuse(
        self,
        status: int,
        verb: str = ".*",
        resource: str = ".*",
        times: int | None = 1,
        seconds: float | None = None,
        retry_after: int | None = None,
        after: bool = False,
    ) -> Fault:
        """Answer with an error; with `after`, it has its effect all the same."""
        reason, message = SAID[status]
        if retry_after is None and status == 429:
            retry_after = 1
        details = {"retryAfterSeconds": retry_after} if retry_after is not None else None
        headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
        error = errors.ApiError(status, reason, message, details, headers)

        def act(proceed: Proceed) -> Answer | Stream:
            if after:
                proceed()
            return refusal(error)

        return self._add(verb, resource, times, seconds, act)

    def drop(
        self,
        verb: str = ".*",
        resource: str = ".*",
        times: int | None = 1,
        seconds: float | None = None,
        after: bool = False,
    ) -> Fault:
        """Close the connection without an answer, before the request has its effect or `after`."""

        def act(proceed: Proceed) -> Answer | Stream:
            if after:
                proceed()
            raise Dropped

        return self._add(verb, resource, times, seconds, act)

    def delay(
        self,
        by: float,
        verb: str = ".*",
        resource: str = ".*",
        times: int | None = None,
        seconds: float | None = None,
    ) -> Fault:
        """Answer late."""

        def act(proceed: Proceed) -> Answer | Stream:
            time.sleep(by)
            return proceed()

        return self._add(verb, resource, times, seconds, act)

    def run(self, what: Callable[[], object], verb: str, resource: str, times: int | None = 1) -> Fault:
        """Do something of the test's own just before a request is served."""

        def act(proceed: Proceed) -> Answer | Stream:
            what()
            return proceed()

        return self._add(verb, resource, times, None, act)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def cut_watches(self, clean: bool = False) -> int:
        """End all watches and followed logs now: their connections break, or end `clean` as after a timeout."""
        return self._server.cut(clean)

    def expire_watches(self, as_status: bool = False) -> None:
        """Forget what happened: watches that run, or go on from before, are told 410, in the stream or by status."""
        self._server.gone_by_status = as_status
        self._server.store.expire()
        self._server.resources.forget()

    @contextmanager
    def down(self) -> Iterator[None]:
        """No server for a while: nothing listens, all connections break; then the same port, and nothing lost."""
        self._server.stop()
        try:
            yield
        finally:
            self._server.start()

    def restart(self, seconds: float = 0.2) -> None:
        """Down, and up again."""
        with self.down():
            time.sleep(seconds)

    def met(self, request: Request, proceed: Proceed) -> Answer | Stream:
        """Serve a request as the faults have it."""
        with self._lock:
            fault = next((fault for fault in self._faults if fault.matches(request)), None)
            if fault is not None:
                fault.met += 1
                if fault.times is not None:
                    fault.times -= 1
        return proceed() if fault is None else fault.act(proceed)

    def _add(
        self,
        verb: str,
        resource: str,
        times: int | None,
        seconds: float | None,
        act: Callable[[Proceed], Answer | Stream],
    ) -> Fault:
        until = None if seconds is None else time.monotonic() + seconds
        fault = Fault(verb, resource, times if seconds is None else None, until, act)
        with self._lock:
            self._faults.append(fault)
        return fault
