"""The script of a specification: given inline, or at a URL that is fetched when the specification is submitted.

The URL is a stranger's: only http and https, a few redirects, a limit of size and one of time, and no address that is
not public. A name is looked up once, and the very address that was looked at is connected to, so that it cannot be
another then; to one that is not public no connection is made, lest anybody learn what listens there.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

from amun.errors import InvalidSpecification, Problem
from amun.settings import Settings

from .public_addresses import is_public

REDIRECTS = 5
CHUNK = 64 * 1024

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://\S+", re.IGNORECASE)


class _NotPublic(Exception):
    pass


def read(script: str, settings: Settings) -> bytes:
    """The bytes that will run. Raises `InvalidSpecification` if they cannot be fetched, saying why."""
    url = location(script)
    if url is None:
        return script.encode()
    with _refusing():
        return _fetch(url, settings)


def check(script: str, settings: Settings) -> None:
    """Raise what `read` would, as far as that is known without asking whoever serves the script."""
    url = location(script)
    if url is None:
        return
    with _refusing():
        asked = urllib3.util.parse_url(requests.Request("GET", url).prepare().url or "")
        try:
            _addresses((asked.host or "").strip("[]"), asked.port, public_only=not settings.script_private_hosts)
        except (OSError, UnicodeError) as exc:
            raise requests.ConnectionError from exc


def location(script: str) -> str | None:
    """The URL that a script is at, None where it is the script itself. Raises `InvalidSpecification`."""
    url = _URL.fullmatch(script.strip())
    if url is None:
        return None
    if url["scheme"].lower() not in ("http", "https"):
        raise InvalidSpecification([Problem("script", "must be at an http or https URL if it is at a URL")])
    return url[0]


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Say of what goes wrong that the script cannot be fetched, and why."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, _NotPublic, ValueError) as exc:
        raise InvalidSpecification([Problem("script", f"cannot be fetched: {_reason(exc)}")]) from exc


def _fetch(url: str, settings: Settings) -> bytes:
    connections = _Connections(public_only=not settings.script_private_hosts)
    with _session(connections) as session, connections.cut_after(settings.script_timeout):
        try:
            content = _get(session, url, settings)
        except Exception as exc:
            if not connections.cut:
                raise
            raise _too_slow(settings) from exc
        if connections.cut:  # what came may look whole, and not be
            raise _too_slow(settings)
    return content


def _too_slow(settings: Settings) -> ValueError:
    return ValueError(f"it took more than {settings.script_timeout:g} s")


def _session(connections: _Connections) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # a proxy would hide where the connection goes; .netrc is nobody's business
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
    session.max_redirects = REDIRECTS
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(connections))
    return session


def _get(session: requests.Session, url: str, settings: Settings) -> bytes:
    with session.get(url, stream=True, timeout=settings.script_timeout) as response:
        response.raise_for_status()
        content = bytearray()
        for chunk in response.iter_content(CHUNK):
            content += chunk
            if len(content) > settings.script_limit:
                raise ValueError(f"it has more than {settings.script_limit} bytes")
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
        case requests.RequestException() | urllib3.exceptions.HTTPError():
            return "the answer could not be read"
    return str(exc)


def _addresses(host: str, port: int | None, public_only: bool) -> list[Any]:
    """What `socket.getaddrinfo` finds, of which a stranger may have the service ask. Raises `_NotPublic`, `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [each for each in found if not public_only or is_public(str(each[4][0]))]
    if not allowed:
        raise _NotPublic
    return allowed


class _Connections:
    """The connections of one fetch: made to addresses that may be asked, and cut when its time is over.

    The time-outs of sockets alone would let a server that sends a byte now and then keep us for ever.
    """

    def __init__(self, public_only: bool) -> None:
        self.cut = False
        self._public_only = public_only
        self._handles: list[socket.socket] = []

    def open(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """Connect to a host, at the first of its addresses that answers. Raises `_NotPublic`, `OSError`."""
        refused = OSError("no address")
        for family, kind, protocol, _, address in _addresses(host, port, self._public_only):
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(timeout)
            try:
                connection.connect(address)
            except OSError as exc:
                connection.close()
                refused = exc
            else:
                self._handles.append(connection.dup())  # TLS takes the first one over
                return connection
        raise refused

    @contextlib.contextmanager
    def cut_after(self, seconds: float) -> Iterator[None]:
        timer = threading.Timer(seconds, self._cut)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            for handle in self._handles:
                handle.close()

    def _cut(self) -> None:
        self.cut = True
        for handle in list(self._handles):
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)


class _Adapter(HTTPAdapter):
    """Has `connections` make every connection."""

    def __init__(self, connections: _Connections) -> None:
        self._connections = connections
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._connections)


def _pools(connections: _Connections) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    class HTTPConnection(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(connections, self)

    class HTTPSConnection(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(connections, self)

    class HTTPPool(urllib3.HTTPConnectionPool):
        ConnectionCls = HTTPConnection

    class HTTPSPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = HTTPSConnection

    return {"http": HTTPPool, "https": HTTPSPool}


def _connect(connections: _Connections, connection: urllib3.connection.HTTPConnection) -> socket.socket:
    """What fails, in the words of urllib3."""
    try:
        return connections.open(connection.host, connection.port, connection.timeout)
    except (socket.gaierror, UnicodeError) as exc:
        raise urllib3.exceptions.NameResolutionError(connection.host, connection, socket.gaierror(str(exc))) from exc
    except TimeoutError as exc:
        raise urllib3.exceptions.ConnectTimeoutError(connection, "The host does not answer.") from exc
    except OSError as exc:
        raise urllib3.exceptions.NewConnectionError(connection, str(exc)) from exc
