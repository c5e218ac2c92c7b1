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
import ssl
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import certifi
import httpcore
import httpx

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
        asked = httpx.URL(url)
        host = asked.host
        try:
            _addresses(host, asked.port, public_only=not settings.script_private_hosts)
        except (OSError, UnicodeError) as exc:
            raise httpx.ConnectError(str(exc)) from exc


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
    except (httpx.HTTPError, httpx.InvalidURL, _NotPublic, ValueError) as exc:
        raise InvalidSpecification([Problem("script", f"cannot be fetched: {_reason(exc)}")]) from exc


def _fetch(url: str, settings: Settings) -> bytes:
    connections = _Connections(public_only=not settings.script_private_hosts)
    with _client(connections, settings) as client, connections.cut_after(settings.script_timeout):
        try:
            content = _get(client, url, settings)
        except Exception as exc:
            if not connections.cut:
                raise
            raise _too_slow(settings) from exc
        if connections.cut:  # what came may look whole, and not be
            raise _too_slow(settings)
    return content


def _too_slow(settings: Settings) -> ValueError:
    return ValueError(f"it took more than {settings.script_timeout:g} s")


def _client(connections: _Connections, settings: Settings) -> httpx.Client:
    """Without proxies, which would hide where the connection goes, and without .netrc, which is nobody's business."""
    return httpx.Client(
        transport=_Transport(connections),
        trust_env=False,
        timeout=settings.script_timeout,
        follow_redirects=True,
        max_redirects=REDIRECTS,
    )


def _get(client: httpx.Client, url: str, settings: Settings) -> bytes:
    with client.stream("GET", url) as response:
        response.raise_for_status()
        content = bytearray()
        for chunk in response.iter_bytes(CHUNK):
            content += chunk
            if len(content) > settings.script_limit:
                raise ValueError(f"it has more than {settings.script_limit} bytes")
        return bytes(content)


def _reason(exc: BaseException) -> str:
    """Why in a few words, without addresses and names of this network."""
    causes = list(_causes(exc))
    if any(isinstance(cause, _NotPublic) for cause in causes):
        return "its host is not public"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "its certificate is not valid"
    match exc:
        case httpx.HTTPStatusError(response=response):
            return f"the answer was {response.status_code}"
        case httpx.TimeoutException():
            return "it took too long"
        case httpx.TooManyRedirects():
            return f"there were more than {REDIRECTS} redirects"
        case httpx.UnsupportedProtocol() | httpx.InvalidURL() | UnicodeError():
            return "it is not an http or https URL"
        case httpx.ConnectError():
            return "its host does not answer"
        case httpx.HTTPError():
            return "the answer could not be read"
    return str(exc)


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _addresses(host: str, port: int | None, public_only: bool) -> list[Any]:
    """What `socket.getaddrinfo` finds, of which a stranger may have the service ask. Raises `_NotPublic`, `OSError`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [each for each in found if not public_only or is_public(str(each[4][0]))]
    if not allowed:
        raise _NotPublic
    return allowed


class _Connections(httpcore.SyncBackend):
    """The connections of one fetch: made to addresses that may be asked, and cut when its time is over.

    The time-outs of sockets alone would let a server that sends a byte now and then keep us for ever.
    """

    def __init__(self, public_only: bool) -> None:
        self.cut = False
        self._public_only = public_only
        self._handles: list[socket.socket] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers. Raises `_NotPublic`, `httpcore.ConnectError`."""
        try:
            found = _addresses(host, port, self._public_only)
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(str(exc)) from exc
        for left, (_, _, _, _, address) in zip(reversed(range(len(found))), found, strict=True):
            try:
                stream = super().connect_tcp(str(address[0]), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not left:
                    raise
            else:
                self._handles.append(stream.get_extra_info("socket").dup())  # TLS takes the first one over
                return stream
        raise AssertionError("`_addresses` gives one address at least")

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


class _Transport(httpx.BaseTransport):
    """Has `connections` make every connection."""

    def __init__(self, connections: _Connections) -> None:
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
        context = ssl.create_default_context(cafile=bundle or certifi.where())
        self._pool = httpcore.ConnectionPool(ssl_context=context, network_backend=connections)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = self._pool.handle_request(asked)
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """What fails, as httpx's own transport raises it."""
    try:
        yield
    except httpcore.TimeoutException as exc:
        raise httpx.TimeoutException(str(exc)) from exc
    except httpcore.ConnectError as exc:
        raise httpx.ConnectError(str(exc)) from exc
    except httpcore.UnsupportedProtocol as exc:
        raise httpx.UnsupportedProtocol(str(exc)) from exc
    except (httpcore.NetworkError, httpcore.ProtocolError) as exc:
        raise httpx.TransportError(str(exc)) from exc
