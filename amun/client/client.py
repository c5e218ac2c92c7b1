"""A client of Amun's HTTP API: one method an operation, JSON documents as dictionaries, logs as iterators of bytes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from amun.model.status import OVER

from .transport import ACCEPTED, BearerToken, cause_of, document_of, failure, pause_of, session_for, was_quiet
from .transport import ClientError as ClientError
from .transport import Document as Document

Stream = Literal["stdout", "stderr"]

DEFAULT_URL = "http://127.0.0.1:8080"
PREFIX = "/api/v1"
CHUNK = 64 * 1024

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""Seconds between two looks at an inspection that is waited for."""


class Client:
    """Talks to the Amun service at `url`, with `token` as bearer token where one is given.

    What may be sent again without harm is sent again when the connection fails: reading, and submitting (which carries
    an Idempotency-Key). Who has asked too much waits for as long as the service says. Every method raises
    `ClientError`.

    Args:
        token_file: where the token is, if none is given; read for each request, since such files are renewed.
        timeout: seconds to wait for a connection, and for the next byte of an answer.
        patience: seconds for which a log that was being read is asked for again after the service went away, and
            longest wait of who has asked too much.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        token_file: Path | None = None,
        timeout: tuple[float, float] = (5.0, 60.0),
        patience: float = 60.0,
    ) -> None:
        self.url = _api_url(url)
        self._timeout = timeout
        self._patience = patience
        self._session = session_for(self.url, BearerToken(token, token_file) if token or token_file else None)

    def submit(self, document: object, dry_run: bool = False, key: str | None = None) -> Document:
        """Post a specification; `key` is the Idempotency-Key, a fresh one where none is given."""
        return self._json(
            "POST",
            "/inspect",
            json=document,
            params={"dry_run": "true"} if dry_run else None,
            headers={"Idempotency-Key": key or uuid.uuid4().hex},
        )

    def status(self, inspection_id: str) -> Document:
        return self._json("GET", _path(inspection_id, "status"))

    def wait(self, inspection_id: str, timeout: float | None = None) -> Document:
        """The status of an inspection once it is over; a service that goes away is asked again, for `patience` seconds.

        Raises `TimeoutError` if it is not over after `timeout` seconds. None waits for as long as it takes.
        """
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        pause, heard = FIRST_PAUSE, time.monotonic()
        while True:
            try:
                status = self.status(inspection_id)
                heard = time.monotonic()
                if status["phase"] in OVER:
                    return status
            except ClientError as error:
                if not error.unavailable or time.monotonic() - heard > self._patience:
                    raise
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{inspection_id} is not over after {timeout:g} s.")
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def detail(self, inspection_id: str) -> Document:
        return self._json("GET", _path(inspection_id))

    def specification(self, inspection_id: str) -> Document:
        return self._json("GET", _path(inspection_id, "specification"))

    def result(self, inspection_id: str, item: int = 0) -> Document:
        """The report of an item, as `{result, parameters}`; while there is none, the error says `not_ready`."""
        return self._json("GET", _path(inspection_id, "job", str(item), "result"))

    def build_log(self, inspection_id: str, follow: bool = False, offset: int = 0) -> Iterator[bytes]:
        """The build's log from byte `offset` on; with `follow` until the build is over, across cut connections."""
        return self._log(_path(inspection_id, "build", "log"), {}, follow, offset)

    def item_log(
        self,
        inspection_id: str,
        item: int = 0,
        follow: bool = False,
        stream: Stream | None = None,
        timestamps: bool = False,
        offset: int = 0,
    ) -> Iterator[bytes]:
        """What an item printed, from byte `offset` on; `stream` picks one, `follow` as in `build_log`."""
        query: dict[str, str] = {"stream": stream} if stream else {}
        if timestamps:
            query["timestamps"] = "true"
        return self._log(_path(inspection_id, "job", str(item), "log"), query, follow, offset)

    @property
    def root(self) -> str:
        """Where the service is: the address of its page, the API's without `/api/v1`."""
        return self.url.removesuffix(PREFIX)

    def page(self, inspection_id: str) -> str:
        """The address of an inspection's page."""
        return f"{self.root}/inspections/{quote(inspection_id, safe='')}"

    def cancel(self, inspection_id: str) -> Document:
        return self._json("POST", _path(inspection_id, "cancel"))

    def delete(self, inspection_id: str) -> Document:
        return self._json("DELETE", _path(inspection_id))

    def summary(self, inspection_id: str, clean: bool = False, confidence: float | None = None) -> Document:
        """What its items measured, metric by metric; `clean` leaves out those that the machine disturbed."""
        query = {"clean": "true" if clean else None, "confidence": confidence}
        return self._json("GET", _path(inspection_id, "summary"), params=query)

    def compare(
        self,
        inspections: Sequence[str],
        metrics: Sequence[str] = (),
        confidence: float | None = None,
        allow_unlike: bool = False,
        clean: bool = False,
    ) -> Document:
        """How 2 to 10 inspections differ, by the paths in `metrics` or all; 422 where their hardware is not alike."""
        asked: Document = {"inspections": list(inspections), "allow_unlike": allow_unlike, "clean": clean}
        if metrics:
            asked["metrics"] = list(metrics)
        if confidence is not None:
            asked["confidence"] = confidence
        return self._json("POST", "/compare", json=asked)

    def hardware(self) -> Document:
        return self._json("GET", "/hardware")

    def version(self) -> Document:
        return self._json("GET", "/version")

    def list(self, page: int = 1, limit: int = 25, phase: str | None = None, identifier: str | None = None) -> Document:
        """One page of inspections, newest first; `page` counts from 1, `limit` is 100 at most."""
        query = {"page": page, "limit": limit, "phase": phase, "identifier": identifier}
        return self._json("GET", "/inspect", params=query)

    def _json(self, method: str, path: str, **options: Any) -> Document:
        response = self._send(method, path, **options)
        document = document_of(response)
        if document is None or (response.status_code == ACCEPTED and "error" in document):
            raise failure(response)
        return document

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Raises `ClientError` for every 4xx and 5xx, and where there is no answer at all."""
        waited = 0.0
        while True:
            try:
                response = self._session.request(method, self.url + path, timeout=self._timeout, **options)
            except requests.RequestException as error:
                raise ClientError(None, f"{self.url} is out of reach: {cause_of(error)}.") from error
            if response.ok:
                return response
            pause = pause_of(response)
            if pause is None or waited + pause > self._patience:
                raise failure(response)
            response.close()
            time.sleep(pause)
            waited += pause

    def _log(self, path: str, query: Mapping[str, str], follow: bool, offset: int) -> Iterator[bytes]:
        """Chunks of a log; a stream that is cut is asked for again from the byte it was cut at."""
        query = {**query, "follow": "true"} if follow else query
        got, outage = offset, _Outage(self._patience)
        while True:
            try:
                for chunk in self._chunks(path, query, got):
                    outage.heard(chunk)
                    got += len(chunk)
                    if chunk:
                        yield chunk
                return
            except ClientError as error:
                if follow and was_quiet(error):
                    continue
                if not error.unavailable or not outage.bearable():
                    raise
                time.sleep(0.5)

    def _chunks(self, path: str, query: Mapping[str, str], offset: int) -> Iterator[bytes]:
        """One connection's worth of a log: an empty chunk once it stands, then bytes as they come."""
        parameters = {**query, **({"offset": str(offset)} if offset else {})}
        # Offsets count the bytes of the log, so that it must not come compressed.
        headers = {"Accept": "text/plain", "Accept-Encoding": "identity"}
        with self._send("GET", path, params=parameters, headers=headers, stream=True) as response:
            if response.status_code == ACCEPTED:
                raise failure(response)
            yield b""
            try:
                yield from response.iter_content(CHUNK)
            except (requests.RequestException, HTTPError) as error:
                raise ClientError(None, f"The log was cut short: {cause_of(error)}.") from error


class _Outage:
    """Tells for how long a stream that stood once may be tried again: `patience` seconds from when it was lost."""

    STEADY = 5.0  # Seconds after which a connection without a byte counts as one that stood.

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._standing: float | None = None
        self._lost: float | None = None

    def heard(self, chunk: bytes) -> None:
        """A connection stands, and has brought `chunk`, empty when it is new."""
        if chunk:
            self._lost = None
        else:
            self._standing = time.monotonic()

    def bearable(self) -> bool:
        """Whether to try again, now that the connection is lost or could not be made."""
        if self._standing is None and self._lost is None:
            return False
        now = time.monotonic()
        if self._standing is not None and now - self._standing > self.STEADY:
            self._lost = None
        self._standing = None
        self._lost = self._lost or now
        return now - self._lost <= self._patience


def _api_url(url: str) -> str:
    """`url` of a service, however a person writes it, as the root of its API."""
    root = (url if "://" in url else f"http://{url}").rstrip("/")
    return root if root.endswith(PREFIX) else root + PREFIX


def _path(inspection_id: str, *parts: str) -> str:
    return "/".join(["/inspect", *(quote(part, safe="") for part in (inspection_id, *parts))])
