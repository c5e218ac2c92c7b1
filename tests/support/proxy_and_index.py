"""What a host may have around it: a proxy and an index with passwords, and a package that spies on its builder."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import select
import socket
import tarfile
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

USER, PASSWORD = "ada", "open:sesame"
QUOTED = "open%3Asesame"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

SPY = '''
import json, os, socket, sys
from urllib.parse import urlsplit

def connects(host, port):
    places = [name for _, name in socket.if_nameindex()] if host.startswith("fe80:") else []
    for each in [host, *(f"{host}%{place}" for place in places)]:
        try:
            socket.create_connection((each, int(port)), 2).close()
        except (OSError, UnicodeError):
            continue
        return True
    return False

def bound(name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        try:
            asked.connect("\\0" + name)
        except OSError:
            return False
    return True

def said(address, request):
    """The first line of what a server answers, and whether the secret is in the rest."""
    try:
        with socket.create_connection(address, 5) as connection:
            connection.sendall(request.encode() + b"\\r\\n\\r\\n")
            answer = b""
            while data := connection.recv(65536):
                answer += data
                if request.startswith("CONNECT") and b"\\r\\n\\r\\n" in answer:
                    break
    except OSError as exc:
        return str(exc)
    return answer.decode(errors="replace")

def look(asked):
    found = {"reached": [f"{host}:{port}" for host, port in asked["targets"] if connects(host, port)]}
    found["abstract"] = bound(asked["abstract"])
    found["environment"] = dict(os.environ)
    found["files"] = {}
    for place, _, names in os.walk("/run/amun"):
        for name in names:
            with open(os.path.join(place, name), errors="replace") as file:
                found["files"][name] = file.read(1 << 16)
    proxy, index = os.environ.get("http_proxy"), os.environ.get("PIP_INDEX_URL")
    found["proxied"], found["indexed"] = {}, {}
    if proxy:
        address = (urlsplit(proxy).hostname, urlsplit(proxy).port)
        for request in asked["proxied"]:
            found["proxied"][request] = said(address, request)
    if index:
        address = (urlsplit(index).hostname, urlsplit(index).port)
        for request in asked["indexed"]:
            found["indexed"][request] = said(address, request)
    return found
'''

BACKEND = (
    SPY
    + """
import base64, hashlib, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    with open("asked.json") as file:
        asked = json.load(file)
    name = asked["name"]
    wheel = f"{name}-1-py3-none-any.whl"
    info = f"{name}-1.dist-info"
    with zipfile.ZipFile(os.path.join(directory, wheel), "w") as archive:
        archive.writestr(f"{name}.json", json.dumps(look(asked)))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1\\n")
        tags = "Wheel-Version: 1.0\\nGenerator: spy\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        archive.writestr(f"{info}/WHEEL", tags)
        archive.writestr(f"{info}/RECORD", "")
    return wheel
"""
)

PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def sdist(asked: dict[str, Any]) -> bytes:
    """A source distribution named ``asked["name"]`` whose build backend looks around, and installs what it found."""
    metadata = f"Metadata-Version: 2.1\nName: {asked['name']}\nVersion: 1\n"
    contents = {
        "PKG-INFO": metadata,
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND,
        "asked.json": json.dumps(asked),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in contents.items():
            entry = tarfile.TarInfo(f"{asked['name']}-1/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def respond(self, status: int, body: bytes = b"", kind: str = "text/html") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _IndexHandler(_Handler):
    """An index of files below /team/simple/, with the files elsewhere on the server, all for who knows the password."""

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path))
        if self.headers.get("Authorization") != BASIC:
            return self.respond(401)
        origin, files = self.server.origin, self.server.files
        page = unquote(urlsplit(self.path).path).strip("/").split("/")
        if page == ["team", "simple", "moved"]:
            self.send_response(302)
            self.send_header("Location", f"{origin}{self.server.moved}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if (page[:2] == ["team", "simple"] and len(page) == 3) or page[0] == "elsewhere":
            links = "".join(
                f'<a href="{origin}/files/{name}#sha256={hashlib.sha256(content).hexdigest()}">{name}</a>'
                for name, content in files.items()
                if name.startswith(f"{page[-1].replace('-', '_')}-")
            )
            return self.respond(200 if links else 404, links.encode())
        if page[0] == "files" and page[-1] in files:
            return self.respond(200, files[page[-1]], "application/octet-stream")
        return self.respond(200, b"what only ada may read")

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET


class _ProxyHandler(_Handler):
    """A proxy that asks for a password and then goes everywhere."""

    def do_CONNECT(self) -> None:
        if not self._allowed():
            return
        host, _, port = self.path.rpartition(":")
        try:
            upstream = socket.create_connection((host.strip("[]"), int(port)), 10)
        except OSError:
            return self.respond(502)
        with upstream:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            _splice(self.connection, upstream)

    def do_GET(self) -> None:
        if not self._allowed():
            return
        parts = urlsplit(self.path)
        with contextlib.suppress(OSError), socket.create_connection((parts.hostname, parts.port or 80), 10) as upstream:
            host = self.headers["Host"]
            upstream.sendall(f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            self.close_connection = True
            while data := upstream.recv(65536):
                self.wfile.write(data)
            return
        self.respond(502)

    def _allowed(self) -> bool:
        self.server.asked.append((self.command, self.path))
        allowed = self.headers.get("Proxy-Authorization") == BASIC
        if not allowed or self.server.alone:
            self.respond(502 if allowed else 407)
        return allowed and not self.server.alone


def _splice(one: socket.socket, other: socket.socket) -> None:
    peers = {one: other, other: one}
    while True:
        for ready in select.select(list(peers), [], [], 60)[0]:
            data = ready.recv(65536)
            if not data:
                return
            peers[ready].sendall(data)


class Server(ThreadingHTTPServer):
    """A server of this host; `asked` are the methods and paths that it heard. One that is `alone` goes nowhere."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.alone = False
        self.moved = "/"
        self.asked: list[tuple[str, str]] = []
        self.files: dict[str, bytes] = {}
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"
        self.with_password = self.origin.replace("//", f"//{USER}:{QUOTED}@")


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[Server]:
    with Server(handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


def index() -> contextlib.AbstractContextManager[Server]:
    return serving(_IndexHandler)


def proxy() -> contextlib.AbstractContextManager[Server]:
    return serving(_ProxyHandler)


@contextlib.contextmanager
def everywhere() -> Iterator[int]:
    """A port at which this host answers, at all its addresses."""
    six = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if six else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=six) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def abstract(name: str) -> Iterator[str]:
    """An abstract socket of this host."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(f"\0{name}")
        server.listen()
        yield name


def spellings(addresses: Sequence[str]) -> list[str]:
    """Addresses, and other ways to write them."""
    found = []
    for address in addresses:
        found.append(address)
        if ":" not in address:
            number = int.from_bytes(socket.inet_aton(address))
            found += [str(number), hex(number), f"::ffff:{address}"]
    return found
