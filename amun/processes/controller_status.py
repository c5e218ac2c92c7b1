"""What a controller says of itself: ``/liveness``, ``/readiness`` and ``/metrics``, from a thread beside its loop.

The API has pages of its own. On a cluster the controller is another process in another pod, which has to be looked
after and measured as well. Nobody is asked who they are here, and nothing but the state of the service is to be seen.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, Router

from amun.engines.base import Engine
from amun.errors import AmunError
from amun.telemetry import metrics
from amun.telemetry.logs import logger
from amun.web.allowed_hosts import Hosts, Names
from amun.web.health import Readiness
from amun.web.http_protocol import Protocol


def application(engine: Engine, names: Names, silence: Callable[[], float], stall: float) -> Starlette:
    """The ASGI application.

    Args:
        engine: asked whether it can work, and what waits.
        names: by which the controller may be asked.
        silence: for how many seconds the loop has finished nothing.
        stall: from how many on it is taken to be stuck.
    """
    readiness = Readiness(engine)
    own = CollectorRegistry()
    own.register(_Silence(silence))

    async def liveness(request: Request) -> Response:
        silent = silence()
        if silent > stall:
            return _refusal(503, f"The controller has finished nothing for {silent:.0f} seconds.")
        return _ok()

    def ready(request: Request) -> Response:
        obstacle = readiness.obstacle()
        return _ok() if obstacle is None else _refusal(503, obstacle)

    def exposed(request: Request) -> Response:
        content = metrics.expose(lambda: vars(engine.queue()), CollectorRegistry()) + generate_latest(own)
        return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})

    pages = Router([Route("/liveness", liveness), Route("/readiness", ready), Route("/metrics", exposed)])
    return Starlette(
        # Below the handlers, which answer what it raises.
        routes=[Mount("/", Hosts(pages, names))],
        exception_handlers={AmunError: _of_error, HTTPException: _of_http},
    )


class _Silence(Collector):
    def __init__(self, silence: Callable[[], float]) -> None:
        self._silence = silence

    def collect(self) -> Iterator[GaugeMetricFamily]:
        meaning = "Seconds since the controller's loop last finished something."
        yield GaugeMetricFamily("amun_controller_silent_seconds", meaning, self._silence())


def _ok() -> Response:
    return JSONResponse({"status": "ok"})


def _refusal(status: int, error: str) -> Response:
    """In the shape that the API's errors have."""
    return JSONResponse({"error": error, "parameters": {}}, status)


def _of_error(request: Request, exc: Exception) -> Response:
    return _refusal(exc.status if isinstance(exc, AmunError) else 500, str(exc))


def _of_http(request: Request, exc: Exception) -> Response:
    path, status = request.url.path, exc.status_code if isinstance(exc, HTTPException) else 500
    return _refusal(status, f"{path} can only be read." if status == 405 else f"There is no {path} here.")


class Served:
    """An application that is served by a thread, which ends with the process. `port` is where.

    Raises OSError where the port is not to be had.
    """

    def __init__(self, served: Starlette, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host.strip("[]"), port), family=family)
        self.port: int = listening.getsockname()[1]
        config = uvicorn.Config(served, http=Protocol, lifespan="off", log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="status", daemon=True)
        self._thread.start()
        logger.info("controller can be looked at", host=host, port=self.port)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
