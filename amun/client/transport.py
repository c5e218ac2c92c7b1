"""What the client stands on: sessions that send again what may be sent again, tokens, errors with their cause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import ReadTimeoutError

from amun import __version__
from amun.errors import Problem

Document = dict[str, Any]

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


class BearerToken(requests.auth.AuthBase):
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


def session_for(url: str, credential: BearerToken | None) -> requests.Session:
    """Connections to the API at `url`, which are tried again where that does no harm."""
    session = requests.Session()
    session.headers["User-Agent"] = f"amun/{__version__}"
    session.auth = credential
    # The longest prefix counts: POST is repeated for submissions, and not for what lies below them (cancel).
    session.mount(url, HTTPAdapter(max_retries=_retry("GET")))
    session.mount(f"{url}/inspect", HTTPAdapter(max_retries=_retry("GET", "POST")))
    session.mount(f"{url}/compare", HTTPAdapter(max_retries=_retry("GET", "POST")))
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


def pause_of(response: requests.Response) -> float | None:
    """Seconds after which the same may be asked again, by whoever has asked too much; None for all other answers."""
    if response.status_code != TOO_MANY:
        return None
    after = response.headers.get("Retry-After", "")
    return max(1.0, float(after)) if after.isdecimal() else PAUSE


def document_of(response: requests.Response) -> Document | None:
    """The JSON object of a response, None where it is none."""
    try:
        document = response.json()
    except requests.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def failure(response: requests.Response) -> ClientError:
    """What a response says is wrong; one that is not in Amun's shape comes from something else on the way."""
    document = document_of(response) or {}
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


def was_quiet(error: ClientError) -> bool:
    """Whether the connection stood and merely nothing came: a script may be silent for hours."""
    return any(isinstance(cause, ReadTimeoutError) for cause in _chain(error))


def cause_of(error: BaseException) -> str:
    """The innermost reason in the system's words, or failing that in the library's."""
    causes = list(_chain(error))
    words = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if words:
        return words[-1]
    return str(causes[-1]) or type(causes[-1]).__name__
