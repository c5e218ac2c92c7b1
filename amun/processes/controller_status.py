"""What a controller says of itself: ``/liveness``, ``/readiness`` and ``/metrics``, from a thread beside its loop.

The API has pages of its own. On a cluster the controller is another process in another pod, which has to be looked
after and measured as well. Nobody is asked who they are here, and nothing but the state of the service is to be seen.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from amun.engines.base import Engine
from amun.errors import AmunError
from amun.telemetry import metrics
from amun.telemetry.logs import logger
from amun.web.allowed_hosts import Names
from amun.web.health import Readiness

JSON = "application/json"


class Page(NamedTuple):
    """An answer."""

    status: str
    content: bytes
    content_type: str = JSON


class Vitals:
    """WSGI application.

    Args:
        names: by which the controller may be asked.
        silence: for how many seconds the loop has finished nothing.
        stall: from how many on it is taken to be stuck.
    """

    def __init__(self, engine: Engine, names: Names, silence: Callable[[], float], stall: float) -> None:
        self._engine = engine
        self._names = names
        self._silence = silence
        self._stall = stall
        self._readiness = Readiness(engine)
        self._own = CollectorRegistry()
        self._own.register(_Silence(silence))
        self._pages = {"/liveness": self._liveness, "/readiness": self._ready, "/metrics": self._metrics}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        page = self._answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_HOST"))
        headers = [("Content-Type", page.content_type), ("Content-Length", str(len(page.content)))]
        start_response(page.status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [page.content]

    def _answer(self, method: str, path: str, host: str | None) -> Page:
        try:
            self._names.check(path, [] if host is None else [host])
        except AmunError as exc:
            return _refusal(f"{exc.status} {HTTPStatus(exc.status).phrase}", str(exc))
        if path not in self._pages:
            return _refusal("404 Not Found", f"There is no {path} here.")
        if method not in ("GET", "HEAD"):
            return _refusal("405 Method Not Allowed", f"{path} can only be read.")
        return self._pages[path]()

    def _liveness(self) -> Page:
        silent = self._silence()
        if silent > self._stall:
            return _refusal("503 Service Unavailable", f"The controller has finished nothing for {silent:.0f} seconds.")
        return _ok()

    def _ready(self) -> Page:
        obstacle = self._readiness.obstacle()
        return _ok() if obstacle is None else _refusal("503 Service Unavailable", obstacle)

    def _metrics(self) -> Page:
        content = metrics.expose(lambda: vars(self._engine.queue()), CollectorRegistry()) + generate_latest(self._own)
        return Page("200 OK", content, CONTENT_TYPE_LATEST)


class _Silence(Collector):
    def __init__(self, silence: Callable[[], float]) -> None:
        self._silence = silence

    def collect(self) -> Iterator[GaugeMetricFamily]:
        meaning = "Seconds since the controller's loop last finished something."
        yield GaugeMetricFamily("amun_controller_silent_seconds", meaning, self._silence())


def _ok() -> Page:
    return Page("200 OK", json.dumps({"status": "ok"}).encode())


def _refusal(status: str, error: str) -> Page:
    """In the shape that the API's errors have."""
    return Page(status, json.dumps({"error": error, "parameters": {}}).encode())


def serve(vitals: Vitals, host: str, port: int) -> WSGIServer:
    """Serve in threads that end with the process. Raises OSError where the port is not to be had."""
    server = _Server((host.strip("[]"), port), _Handler)
    server.set_app(vitals)
    threading.Thread(target=server.serve_forever, name="vitals", daemon=True).start()
    logger.info("controller can be looked at", host=host, port=server.server_port)
    return server


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """As HTTPServer does, but without asking the DNS for a name that nobody needs."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = 10
    """Seconds that one who connected may be silent."""

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds: nobody needs to read of them."""
