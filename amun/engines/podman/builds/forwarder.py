"""The forwarder: answers at the doors of a build, outside of the build's network.

A proxy is a door to everything that this machine reaches, so what is asked of one is looked at: nothing that is this
machine's own, or of the platform under it, may be its target. Names are resolved here and the proxy is told the address
that was looked at, since a name may mean something else a moment later. Names that the settings trust are passed on as
they are: some proxies go by names, some machines cannot resolve any.

An index is read only (GET and HEAD), and told its password where the request stays within the index: below its URL, or
at what one of its pages, or of its redirections, leads to.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import re
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from html import unescape
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

import h11
import httpx

from amun.engines.podman.host import routes

from .doors import PORTS, Door

CHUNK = 1 << 16
PATIENCE = 60.0
"""Seconds that a build has to say what it wants, and an upstream to accept a connection."""

CONNECTIONS = 128
"""Connections of one build that are answered at a time; the forwarder is not under the build's limits."""

PAGE_LIMIT = 64 << 20
"""Bytes of an index page that are read to look for links."""

METADATA = ".metadata"
"""What follows the URL of a file in that of its metadata (PEP 658)."""

PAGES = 4
"""Index pages that are read at a time."""

UNKNOWN = 502
"""Status of the answer where a name cannot be resolved."""

HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
"""Headers of one connection, which are not passed on (RFC 9110, 7.6.1)."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_LINK = re.compile(rb"""(?:href\s*=\s*|"url"\s*:\s*)["']([^"'\s]+)["']""", re.IGNORECASE)


class Refused(Exception):
    """What a build asks for that it does not get; `status` is that of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def forbidden(address: str) -> bool:
    """Whether an address, in digits, is this machine's own, the platform's, or none that one can connect to."""
    asked = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(asked, ipaddress.IPv6Address):
        embedded = asked.ipv4_mapped or asked.sixtofour or (asked.teredo or (None, None))[1] or _translated(asked)
        if embedded is not None and forbidden(str(embedded)):
            return True
    if asked.is_loopback or asked.is_link_local or asked.is_multicast or asked.is_unspecified:
        return True
    if any(asked in network for network in (ipaddress.ip_network("0.0.0.0/8"), ipaddress.ip_network("240.0.0.0/4"))):
        return True
    closed = routes.to_close(routes.own())
    networks = [ipaddress.ip_network((packed, bits), strict=False) for _, packed, bits in closed]
    return any(asked in network for network in networks)


def _translated(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address in the last 32 bits of one of NAT64 (RFC 6052), or of the deprecated compatible ones."""
    prefixes = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
    inside = any(address in prefix for prefix in prefixes)
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if inside else None


async def look_up(host: str, port: int) -> str:
    """The address of a host that a build may ask for. Raises `Refused` if it has none, or one that is forbidden."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise Refused(UNKNOWN, f"{host} cannot be resolved on this machine.") from exc
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or any(forbidden(address) for address in addresses):
        raise Refused(403, f"{host} is this machine or its platform, which builds do not reach.")
    return addresses[0]


class Forwarder:
    """Answers at doors. `names` are the hosts that a proxy is told by name, `bundle` the certificates to trust."""

    def __init__(self, names: Collection[str] = (), bundle: str | None = None) -> None:
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._names = {name.lower() for name in names}
        self._tls = ssl.create_default_context(cafile=bundle)

    async def serve(self, door: Door, listening: Iterable[socket.socket]) -> Sequence[asyncio.Server]:
        """Start to answer at the listening sockets of a door."""
        answerer = self._answer(door)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async with self._places:
                await answerer(reader, writer)

        return [await asyncio.start_server(answer, sock=each, limit=CHUNK) for each in listening]

    def _answer(self, door: Door) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        if door.kind == "relay":
            return Relay(door).answer
        tls = self._tls if door.verified else _unverified()
        if door.kind == "index":
            return Index(door, tls).answer
        return (ProxyBehind(door, self._names, tls) if door.upstream else Proxy()).answer


def _unverified() -> ssl.SSLContext:
    """As pip's option trusted-host has it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Relay:
    """Passes bytes on to the upstream, and nowhere else."""

    def __init__(self, door: Door) -> None:
        self._upstream = urlsplit(door.upstream)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            host, port = self._upstream.hostname or "", self._upstream.port or PORTS[self._upstream.scheme]
            await _join(reader, writer, *await asyncio.open_connection(host, port))
        writer.close()


class _Server:
    """One connection of a build's, spoken HTTP/1.1 with: requests, and how they are answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=CHUNK)

    async def event(self) -> Any:
        return await _event(self.http, self.reader)

    async def send(self, event: h11.Event) -> None:
        self.writer.write(self.http.send(event) or b"")
        await self.writer.drain()

    async def say(self, status: int, message: str) -> None:
        """Answer with a text, and be done with the connection."""
        if self.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = f"Amun: {message}\n".encode()
            headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Connection", "close")]
            await self.send(
                h11.Response(status_code=status, reason=message.encode("ascii", "replace"), headers=headers)
            )
            await self.send(h11.Data(data=body))
            await self.send(h11.EndOfMessage())


class _Answering(ABC):
    """Takes one request after the other from a connection."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = _Server(reader, writer)
        try:
            await self._requests(server)
        except Refused as refused:
            await _quietly(server.say(refused.status, str(refused)))
        except h11.RemoteProtocolError as exc:
            await _quietly(server.say(exc.error_status_hint, "This is no HTTP."))
        except (ValueError, httpx.InvalidURL):
            await _quietly(server.say(400, "The target is no URL."))
        except (OSError, EOFError, httpx.HTTPError, h11.LocalProtocolError):
            await _quietly(server.say(502, "The upstream did not answer."))
        finally:
            writer.close()

    async def _requests(self, server: _Server) -> None:
        while True:
            request = await asyncio.wait_for(server.event(), PATIENCE)
            if not isinstance(request, h11.Request):
                return
            if not await self.respond(server, request):
                return
            if server.http.our_state is not h11.DONE or server.http.their_state is not h11.DONE:
                return
            server.http.start_next_cycle()

    @abstractmethod
    async def respond(self, server: _Server, request: h11.Request) -> bool:
        """Answer one request; returns whether there may be a next."""


class Proxy(_Answering):
    """A proxy to what a build may reach, which goes there itself."""

    async def respond(self, server: _Server, request: h11.Request) -> bool:
        if request.method == b"CONNECT":
            await self._tunnel(server, _authority(request.target.decode("ascii")))
        else:
            await self._pass_on(server, request, _split(request.target.decode("ascii")))
        return False

    async def _tunnel(self, server: _Server, asked: SplitResult) -> None:
        reader, writer, first = await self.tunnel(asked.hostname or "", asked.port or 0)
        try:
            await server.send(h11.Response(status_code=200, reason=b"Connection established", headers=[]))
            server.writer.write(first)
            writer.write(server.http.trailing_data[0])
            await _join(server.reader, server.writer, reader, writer)
        finally:
            writer.close()

    async def _pass_on(self, server: _Server, request: h11.Request, asked: SplitResult) -> None:
        if asked.scheme != "http" or not asked.hostname:
            raise Refused(400, "A proxy is asked by http://HOST/... or CONNECT HOST:PORT.")
        framing = _framing(request.headers)
        (reader, writer), target, more = await self.reach(asked)
        try:
            client = h11.Connection(h11.CLIENT)
            headers = [("Host", asked.netloc.rpartition("@")[2]), *_passed_on(request.headers, without={"host"}), *more]
            headers += [*framing, ("Connection", "close")]
            writer.write(client.send(h11.Request(method=request.method, target=target, headers=headers)) or b"")
            sending = asyncio.create_task(_send_body(server, client, writer))
            try:
                await _relay_response(client, reader, server)
            finally:
                sending.cancel()
        finally:
            writer.close()

    async def tunnel(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """A connection to a port of a host, and what came by it already. Raises `Refused`, OSError."""
        return *await _connection(await look_up(host, port), port), b""

    async def reach(self, asked: SplitResult) -> tuple[Streams, str, list[tuple[str, str]]]:
        """A connection on which a URL is asked for, the target by which it is, and the headers that it takes."""
        port = asked.port or PORTS["http"]
        streams = await _connection(await look_up(asked.hostname or "", port), port)
        return streams, urlunsplit(("", "", asked.path or "/", asked.query, "")), []


class ProxyBehind(Proxy):
    """A proxy of this machine, asked only for what a build may reach; `names` are the hosts that it is told by name."""

    def __init__(self, door: Door, names: Collection[str], tls: ssl.SSLContext) -> None:
        self._upstream = urlsplit(door.upstream)
        self._own = door.own
        self._names = names
        self._tls = tls if self._upstream.scheme == "https" else None
        self._password = (
            [("Proxy-Authorization", _basic(self._upstream))] if self._upstream.username is not None else []
        )

    async def tunnel(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        target = _host_and_port(await self._told(host, port), port)
        reader, writer = await self._connect()
        client = h11.Connection(h11.CLIENT)
        headers = [("Host", target), *self._password]
        writer.write(client.send(h11.Request(method="CONNECT", target=target, headers=headers)) or b"")
        try:
            response = await _response(client, reader)
            if not 200 <= response.status_code < 300:
                raise Refused(502, f"The proxy refused {host}:{port} ({response.status_code}).")
        except BaseException:
            writer.close()
            raise
        return reader, writer, client.trailing_data[0]

    async def reach(self, asked: SplitResult) -> tuple[Streams, str, list[tuple[str, str]]]:
        host = await self._told(asked.hostname or "", asked.port or PORTS["http"])
        netloc = _host_and_port(host, asked.port) if asked.port else _bracketed(host)
        return await self._connect(), urlunsplit(asked._replace(netloc=netloc, fragment="")), self._password

    async def _told(self, host: str, port: int) -> str:
        """What the proxy is told in place of a host: elsewhere, a name does not mean what is here."""
        if host.lower() in self._names:
            return host
        try:
            address = await look_up(host, port)
        except Refused as refused:
            if self._own or refused.status != UNKNOWN:
                raise
            return host
        return address if self._own else host

    async def _connect(self) -> Streams:
        port = self._upstream.port or PORTS[self._upstream.scheme]
        return await _connection(self._upstream.hostname or "", port, self._tls)


class Index(_Answering):
    """A package index, read with its password, if it has one."""

    def __init__(self, door: Door, tls: ssl.SSLContext) -> None:
        parts = urlsplit(door.upstream)
        self._secret = _basic(parts) if parts.username is not None else None
        self._origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        address, port = door.listen[0]
        self._inside = f"http://{_host_and_port(address, port)}" if self._secret else self._origin
        self._root = parts.path.rstrip("/") + "/"
        self._linked: set[str] = set()
        self._pages = asyncio.Semaphore(PAGES)
        # What is on this machine is not asked by way of a proxy; what is elsewhere, as this machine's settings say.
        self._client = httpx.AsyncClient(verify=tls, trust_env=not door.own, timeout=PATIENCE)

    async def respond(self, server: _Server, request: h11.Request) -> bool:
        target = request.target.decode("ascii")
        if request.method not in (b"GET", b"HEAD"):
            raise Refused(405, "An index is only read.")
        if not target.startswith("/") or target.startswith("//"):
            raise Refused(400, "An index is asked for paths of its own.")
        await _discard_body(server)
        headers = dict(_passed_on(request.headers, without={"host", "authorization", "cookie", "accept-encoding"}))
        headers |= {"accept-encoding": "identity"}
        if self._secret and self._within(target):
            headers["authorization"] = self._secret
        asked = self._client.build_request(request.method.decode(), self._origin + target, headers=headers)
        response = await self._client.send(asked, stream=True)
        try:
            await self._send(server, response, bodiless=request.method == b"HEAD")
        finally:
            await response.aclose()
        return True

    def _within(self, target: str) -> bool:
        """Whether a request stays within the index, however its path is written."""
        path = _plain(target.partition("?")[0])
        steps = re.split(r"[/\\]", path)
        known = f"{path}/".startswith(self._root) or path.removesuffix(METADATA) in self._linked
        return known and ".." not in steps and "." not in steps

    async def _send(self, server: _Server, response: httpx.Response, bodiless: bool) -> None:
        self._note(str(response.url), response.headers.get("location", ""))
        without = {"www-authenticate", "set-cookie"}
        page = self._is_page(response) and not bodiless
        if page or bodiless:
            without.add("content-length")
        headers = [(name, self._seen_inside(value)) for name, value in _passed_on(response.headers.raw, without)]
        body: AsyncIterator[bytes] = response.aiter_raw(CHUNK)
        if page:
            async with self._pages:
                content = await self._page(body, str(response.url))
            headers.append(("Content-Length", str(len(content))))
            body = _once(content)
        elif bodiless and "content-length" in response.headers:
            headers.append(("Content-Length", response.headers["content-length"]))
        await server.send(h11.Response(status_code=response.status_code, headers=headers))
        if not bodiless:
            async for chunk in body:
                await server.send(h11.Data(data=chunk))
        await server.send(h11.EndOfMessage())

    def _is_page(self, response: httpx.Response) -> bool:
        """Whether links are looked for in it: where there is a password that they may need, or an address to change."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        return self._secret is not None and ("html" in kind or "json" in kind)

    async def _page(self, body: AsyncIterator[bytes], url: str) -> bytes:
        """A page with its links to the index's own files noted, and leading here."""
        content = bytearray()
        async for chunk in body:
            content += chunk
            if len(content) > PAGE_LIMIT:
                raise Refused(502, "The index page is too large.")
        for link in _LINK.findall(bytes(content)):
            self._note(url, unescape(link.decode(errors="replace")))
        return bytes(content).replace(f"{self._origin}/".encode(), f"{self._inside}/".encode())

    def _note(self, url: str, link: str) -> None:
        """Note what a page, or a redirection, within the index leads to on the same server."""
        with contextlib.suppress(ValueError):
            joined = urljoin(url, link)
            if self._within(urlsplit(url).path) and joined.startswith(f"{self._origin}/"):
                self._linked.add(_plain(urlsplit(joined).path))

    def _seen_inside(self, value: str) -> str:
        return value.replace(f"{self._origin}/", f"{self._inside}/")


def _plain(path: str) -> str:
    """A path without any percent-encoding, however often it was encoded."""
    while path != (path := unquote(path)):
        pass
    return path


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as exc:
        raise Refused(400, "The target is no URL.") from exc
    return parts


def _authority(text: str) -> SplitResult:
    parts = _split(f"//{text}")
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc or not (parts.hostname and parts.port):
        raise Refused(400, "CONNECT names a host and its port.")
    return parts


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _host_and_port(host: str, port: int) -> str:
    return f"{_bracketed(host)}:{port}"


def _basic(parts: SplitResult) -> str:
    """The header's value for the user and password in a URL (RFC 7617)."""
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _passed_on(headers: Iterable[tuple[bytes, bytes]], without: Collection[str]) -> list[tuple[str, str]]:
    """The headers that concern both ends, but for some; those that Connection names are of one connection too."""
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    named = {word.strip().lower() for name, value in pairs if name == "connection" for word in value.split(",")}
    return [(name, value) for name, value in pairs if name not in HOP_BY_HOP | named | set(without)]


def _framing(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """That the body of a request comes in chunks, said again for the next connection. Raises `Refused`."""
    names = {name for name, _ in headers}
    chunked = b"transfer-encoding" in names
    if chunked and b"content-length" in names:  # a server could read either
        raise Refused(400, "The body has two lengths.")
    return [("Transfer-Encoding", "chunked")] if chunked else []


async def _connection(host: str, port: int, tls: ssl.SSLContext | None = None) -> Streams:
    return await asyncio.wait_for(asyncio.open_connection(host, port, ssl=tls), PATIENCE)


async def _event(http: h11.Connection, reader: asyncio.StreamReader) -> Any:
    """The next event of a connection, or `h11.PAUSED`."""
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(CHUNK))
    return event


async def _response(client: h11.Connection, reader: asyncio.StreamReader) -> h11.Response:
    while isinstance(event := await _event(client, reader), h11.InformationalResponse):
        pass
    if not isinstance(event, h11.Response):
        raise EOFError
    return event


async def _send_body(server: _Server, client: h11.Connection, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, h11.ProtocolError):
        while True:
            event = await server.event()
            if not isinstance(event, h11.Data | h11.EndOfMessage):
                return
            writer.write(client.send(event) or b"")
            await writer.drain()
            if isinstance(event, h11.EndOfMessage):
                return


async def _discard_body(server: _Server) -> None:
    while not isinstance(await asyncio.wait_for(server.event(), PATIENCE), h11.EndOfMessage):
        pass


async def _relay_response(client: h11.Connection, reader: asyncio.StreamReader, server: _Server) -> None:
    response = await _response(client, reader)
    headers = [*_passed_on(response.headers, without=()), ("Connection", "close")]
    await server.send(h11.Response(status_code=response.status_code, reason=response.reason, headers=headers))
    while isinstance(event := await _event(client, reader), h11.Data):
        await server.send(event)
    if not isinstance(event, h11.EndOfMessage):
        raise EOFError
    await server.send(h11.EndOfMessage())


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
    other_reader: asyncio.StreamReader, other_writer: asyncio.StreamWriter,
) -> None:  # fmt: skip
    """Pass bytes on both ways until both have ended."""
    try:
        await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))
    finally:
        other_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


async def _quietly(saying: Awaitable[None]) -> None:
    with contextlib.suppress(OSError, h11.ProtocolError):
        await saying
