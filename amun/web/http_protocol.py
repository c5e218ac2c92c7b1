"""HTTP as this service takes it: what uvicorn leaves open of RFC 9112, and how long a stranger may take to ask."""

from __future__ import annotations

import asyncio
import http
import json
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

from amun import __version__

PATIENCE = 15.0
"""Seconds within which the headers of a request must have come."""

HEAD_MAX = 64 * 1024
"""Bytes of request line and headers."""

TARGET_MAX = 16 * 1024
"""Bytes of the path and query of a request."""


class Protocol(HttpToolsProtocol):
    """One connection. Requests whose headers are slow or large are refused, in the shape of all refusals."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._refusal = (400, "This is no request of HTTP.")
        self._head = 0
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._idle and self._timer is None:  # even if what comes is no request yet
            self._await_headers()
        super().data_received(data)
        if self._timer is not None and not self.transport.is_closing():
            self._head += len(data)
            if self._head > HEAD_MAX:
                self._too_large()
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_came()
        if len(self.url) > TARGET_MAX:
            self._refusal = (414, f"The path and query of a request may have {TARGET_MAX} bytes.")
            raise ValueError
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_MAX:
            raise self._too_large()
        target = httptools.parse_url(self.url)
        if target.host:  # of a request in absolute form the Host is what its target says (RFC 9112, 3.2.2)
            port = b"" if target.port is None else b":%d" % target.port
            self.headers[:] = [header for header in self.headers if header[0] != b"host"]
            host = b"[%b]" % target.host if b":" in target.host else target.host
            self.headers.append((b"host", host + port))
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._idle = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or one that is too much; the connection ends."""
        status, sentence = self._refusal
        self._headers_came()
        content = json.dumps({"error": sentence, "parameters": {}}).encode()
        head = (
            f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"X-Amun-Version: {__version__}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()

    def _await_headers(self) -> None:
        self._idle = False
        self._head = 0
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(PATIENCE, self._too_slow)

    def _headers_came(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        answering = self.cycle is not None and not self.cycle.response_complete
        if not answering and not self.transport.is_closing():
            self._refusal = (408, f"The headers of a request must come within {PATIENCE:g} s.")
            self.send_400_response("")

    def _too_large(self) -> ValueError:
        self._refusal = (431, f"The headers of a request may have {HEAD_MAX} bytes.")
        return ValueError(self._refusal[1])


class Worker(UvicornWorker):  # type: ignore[misc]
    """The worker of gunicorn that speaks it."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {"loop": "auto", "http": Protocol}
