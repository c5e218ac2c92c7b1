"""HTTP/1.1 over sockets, in threads; and all the connections there are, so that they can be broken."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ApiError

from . import routes
from .answers import Answer, Stream, refusal
from .faults import Dropped

if TYPE_CHECKING:
    from tests.cluster.apiserver import ApiServer

GONE = (OSError, ssl.SSLError)  # what one gets when the other side is not there any more


class Connections:
    """The sockets that are open, and which of them carry a stream."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._streams: dict[socket.socket, threading.Event] = {}
        self._lock = threading.Lock()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def begin(self, connection: socket.socket) -> threading.Event:
        """A stream begins; what is answered is set when it is to end."""
        with self._lock:
            return self._streams.setdefault(connection, threading.Event())

    def end(self, connection: socket.socket) -> None:
        with self._lock:
            self._streams.pop(connection, None)

    @property
    def streams(self) -> int:
        """How many there are now."""
        return len(self._streams)

    def cut(self, clean: bool) -> int:
        with self._lock:
            streams = dict(self._streams)
        for connection, ended in streams.items():
            ended.set()
            if not clean:
                _break(connection)
        return len(streams)

    def break_all(self) -> None:
        with self._lock:
            connections = list(self._open)
        self.cut(clean=False)
        for connection in connections:
            _break(connection)


def _break(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Listener(ThreadingHTTPServer):
    """Accepts connections for a server."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 512

    def __init__(self, api: ApiServer, port: int, context: ssl.SSLContext | None) -> None:
        self.api, self._context = api, context
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks what the host is called, which takes its time
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        if self._context is not None:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients come and go."""


class Handler(BaseHTTPRequestHandler):
    """One connection, and the requests on it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Listener

    def setup(self) -> None:
        self.server.api.connections.opened(self.request)
        super().setup()

    def finish(self) -> None:
        self.server.api.connections.closed(self.request)
        with contextlib.suppress(*GONE):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is logged."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except GONE:
            self.close_connection = True

    def _serve(self) -> None:
        api = self.server.api
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length") or 0))
        try:
            request = routes.parse(self.command, self.path, headers, body)
        except ApiError as exc:
            self._send(refusal(exc))
            return
        try:
            answer = api.answer(request)
        except Dropped:
            api.requests.add(request, 0)
            self.close_connection = True
            _break(self.request)
            return
        if isinstance(answer, Stream):
            api.requests.add(request, answer.status)
            self._stream(answer)
        else:
            api.requests.add(request, answer.status, len(answer.body))
            self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _head(self, answer: Answer | Stream, more: dict[str, str]) -> None:
        self.send_response_only(answer.status)
        for name, value in {"Content-Type": answer.content_type, **answer.headers, **more}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def _send(self, answer: Answer) -> None:
        empty = answer.status == HTTPStatus.NO_CONTENT
        self._head(answer, {} if empty else {"Content-Length": str(len(answer.body))})
        if not empty:
            self.wfile.write(answer.body)
        self.wfile.flush()

    def _stream(self, answer: Stream) -> None:
        connections = self.server.api.connections
        ended = connections.begin(self.request)
        try:
            self._head(answer, {"Transfer-Encoding": "chunked"})
            self.wfile.flush()
            self._chunks(answer, ended)
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        except GONE:
            self.close_connection = True
        except Exception:
            self.server.api.crashed()
            self.close_connection = True
        finally:
            connections.end(self.request)

    def _chunks(self, answer: Stream, ended: threading.Event) -> None:
        for chunk in answer.chunks:
            if chunk:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
            if ended.is_set() or (not chunk and self._left()):
                return

    def _left(self) -> bool:
        """Whether the reader went away; one who only reads sends nothing, so what can be read is the end."""
        return bool(select.select([self.request], [], [], 0)[0])
