"""The script of a specification: given inline, or at a URL that is fetched when the specification is submitted.

The URL is a stranger's: only http and https, a few redirects, a limit of size and of time, and no address that is
not public. The address is looked at once the connection stands and before anything is sent, so what a name resolves
to when it is checked and when it is used cannot differ.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import time
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from .errors import InvalidSpecification, Problem
from .settings import Settings

REDIRECTS = 5
CHUNK = 64 * 1024

_URL = re.compile(r"https?://\S+", re.IGNORECASE)


class _NotPublic(Exception):
    pass


def read(script: str, settings: Settings) -> bytes:
    """The bytes that will run. Raises `InvalidSpecification` if they cannot be fetched, saying why."""
    if not _URL.fullmatch(script.strip()):
        return script.encode()
    try:
        return _fetch(script.strip(), settings)
    except (requests.RequestException, urllib3.exceptions.HTTPError, _NotPublic, ValueError) as exc:
        raise InvalidSpecification([Problem("script", f"cannot be fetched: {_reason(exc)}")]) from exc


def _fetch(url: str, settings: Settings) -> bytes:
    deadline = time.monotonic() + settings.script_timeout
    with requests.Session() as session:
        session.trust_env = False  # a proxy would hide where the connection goes; .netrc is nobody's business
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
        session.max_redirects = REDIRECTS
        if not settings.script_private_hosts:
            for scheme in ("http://", "https://"):
                session.mount(scheme, _PublicOnly())
        with session.get(url, stream=True, timeout=settings.script_timeout) as response:
            response.raise_for_status()
            content = bytearray()
            for chunk in response.iter_content(CHUNK):
                content += chunk
                if len(content) > settings.script_limit:
                    raise ValueError(f"it has more than {settings.script_limit} bytes")
                if time.monotonic() > deadline:
                    raise ValueError(f"it took more than {settings.script_timeout:g} s")
            return bytes(content)


def _reason(exc: BaseException) -> str:
    """The innermost cause in a few words, without addresses and names of this network."""
    seen: list[BaseException] = []
    cause: BaseException | None = exc
    while cause is not None and cause not in seen:
        seen.append(cause)
        if isinstance(cause, _NotPublic):
            return "its host is not public"
        reason = getattr(cause, "reason", None)
        wrapped = next((argument for argument in cause.args if isinstance(argument, BaseException)), None)
        cause = reason if isinstance(reason, BaseException) else wrapped or cause.__cause__
    match exc:
        case requests.HTTPError(response=response) if response is not None:
            return f"the answer was {response.status_code}"
        case requests.Timeout():
            return "it took too long"
        case requests.TooManyRedirects():
            return f"there were more than {REDIRECTS} redirects"
        case requests.exceptions.InvalidSchema() | requests.exceptions.InvalidURL():
            return "it is not an http or https URL"
        case requests.exceptions.SSLError():
            return "its certificate is not valid"
        case requests.ConnectionError():
            return "its host does not answer"
        case ValueError():
            return str(exc)
    return "the answer could not be read"


def _check_peer(connected: socket.socket) -> socket.socket:
    address = ipaddress.ip_address(connected.getpeername()[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_global or address.is_multicast:
        connected.close()
        raise _NotPublic
    return connected


class _HTTPConnection(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _check_peer(super()._new_conn())


class _HTTPSConnection(urllib3.connection.HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _check_peer(super()._new_conn())


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _PublicOnly(HTTPAdapter):
    """Connects to public addresses only."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
