"""A client of Amun's HTTP API: one method an operation, JSON documents as dictionaries, logs as iterators of bytes."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import HTTPError, ReadTimeoutError

from . import __version__
from .errors import Problem

Document = dict[str, Any]
Stream = Literal["stdout", "stderr"]

DEFAULT_URL = "http://127.0.0.1:8080"
PREFIX = "/api/v1"
CHUNK = 64 * 1024
ACCEPTED = 202  # The answer to a submission, and to who asks for what is not there yet.
TOO_MANY = 429  # The answer to who asks more than one caller may.
PAUSE = 5.0  # Seconds to wait after that, unless the answer says how many.


class ClientError(Exception):
    """The service refused, has no answer yet, failed, or is out of reach.

    Attributes:
        status: of the HTTP response, None where there was none.
        error: one sentence for a person.
        details: the offending fields of a refused specification.
    """

    def __init__(self, status: int | None, error: str, details: tuple[Problem, ...] = ()) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.details = details

    @property
    def unavailable(self) -> bool:
        """Whether the service is out of reach, failing or asked too much: trying again later may help."""
        return self.status is None or self.status >= 500 or self.status == TOO_MANY

    @property
    def not_ready(self) -> bool:
        """Whether what was asked for is not there yet, but will be."""
        return self.status == ACCEPTED

    def to_document(self) -> Document:
        return {
            "error": self.error,
            "status": self.status,
            "details": [problem.to_document() for problem in self.details],
        }


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
        self._session = _session(self.url, _BearerToken(token, token_file) if token or token_file else None)

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

    def cancel(self, inspection_id: str) -> Document:
        return self._json("POST", _path(inspection_id, "cancel"))

    def delete(self, inspection_id: str) -> Document:
        return self._json("DELETE", _path(inspection_id))

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
        document = _document(response)
        if document is None or (response.status_code == ACCEPTED and "error" in document):
            raise _failure(response)
        return document

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Raises `ClientError` for every 4xx and 5xx, and where there is no answer at all."""
        waited = 0.0
        while True:
            try:
                response = self._session.request(method, self.url + path, timeout=self._timeout, **options)
            except requests.RequestException as error:
                raise ClientError(None, f"{self.url} is out of reach: {_cause(error)}.") from error
            if response.ok:
                return response
            pause = _pause(response)
            if pause is None or waited + pause > self._patience:
                raise _failure(response)
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
                if follow and _was_quiet(error):
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
                raise _failure(response)
            yield b""
            try:
                yield from response.iter_content(CHUNK)
            except (requests.RequestException, HTTPError) as error:
                raise ClientError(None, f"The log was cut short: {_cause(error)}.") from error


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


class _BearerToken(requests.auth.AuthBase):
    """An authentication of our own, since requests prefers ~/.netrc to an Authorization header."""

    def __init__(self, token: str | None, file: Path | None) -> None:
        self._token = token
        self._file = file

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = read_token(self._token, self._file)
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        return request


def read_token(token: str | None, file: Path | None) -> str | None:
    """The token as given, else that in the file; None without either. Raises `ClientError` for what can be none."""
    if token:
        return _one_token(token, "What was given as token")
    if file is None:
        return None
    try:
        return _one_token(file.read_text(encoding="ascii"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise ClientError(None, f"The token cannot be read from {file}: {reason}.") from error


def _one_token(text: str, where: str) -> str:
    """Without what surrounds it. It is not shown: it may be one that was merely copied badly."""
    token = text.strip()
    if not re.fullmatch("[!-~]+", token):
        raise ClientError(None, f"{where} is empty, or is not one token.")
    return token


def _session(url: str, credential: _BearerToken | None) -> requests.Session:
    session = requests.Session()
    session.headers["User-Agent"] = f"amun/{__version__}"
    session.auth = credential
    # The longest prefix counts: POST is repeated for submissions, and not for what lies below them (cancel).
    session.mount(url, HTTPAdapter(max_retries=_retry("GET")))
    session.mount(f"{url}/inspect", HTTPAdapter(max_retries=_retry("GET", "POST")))
    session.mount(f"{url}/inspect/", HTTPAdapter(max_retries=_retry("GET")))
    return session


def _retry(*methods: str) -> Retry:
    return Retry(
        total=3,
        backoff_factor=0.2,
        status_forcelist=(502, 503, 504),
        allowed_methods=methods,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may say hours
    )


def _pause(response: requests.Response) -> float | None:
    """Seconds after which the same may be asked again, by whoever has asked too much; None for all other answers."""
    if response.status_code != TOO_MANY:
        return None
    after = response.headers.get("Retry-After", "")
    return max(1.0, float(after)) if after.isdecimal() else PAUSE


def _api_url(url: str) -> str:
    """`url` of a service, however a person writes it, as the root of its API."""
    root = (url if "://" in url else f"http://{url}").rstrip("/")
    return root if root.endswith(PREFIX) else root + PREFIX


def _path(inspection_id: str, *parts: str) -> str:
    return "/".join(["/inspect", *(quote(part, safe="") for part in (inspection_id, *parts))])


def _document(response: requests.Response) -> Document | None:
    """The JSON object of a response, None where it is none."""
    try:
        document = response.json()
    except requests.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _failure(response: requests.Response) -> ClientError:
    """What a response says is wrong; one that is not in Amun's shape comes from something else on the way."""
    document = _document(response) or {}
    error = document.get("error")
    if not isinstance(error, str):
        error = f"{response.url} answered {response.status_code} {response.reason or ''}".rstrip()
        error += " and no JSON object: is an Amun service there?" if response.ok else "."
    details = document.get("details")
    return ClientError(response.status_code, error, tuple(map(_problem, details if isinstance(details, list) else [])))


def _problem(document: object) -> Problem:
    if not isinstance(document, dict):
        return Problem("", str(document))
    return Problem(str(document.get("path", "")), str(document.get("message", "")))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that led to it, the cause last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _was_quiet(error: ClientError) -> bool:
    """Whether the connection stood and merely nothing came: a script may be silent for hours."""
    return any(isinstance(cause, ReadTimeoutError) for cause in _chain(error))


def _cause(error: BaseException) -> str:
    """The innermost reason in the system's words, or failing that in the library's."""
    causes = list(_chain(error))
    words = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if words:
        return words[-1]
    return str(causes[-1]) or type(causes[-1]).__name__
