"""The ASGI layers stand in the order that their reasons need."""

from __future__ import annotations

from pathlib import Path

from amun.composition import create_app
from amun.settings import Settings


def test_layers_stand_in_this_order(tmp_path: Path) -> None:
    app = create_app(Settings(state_dir=tmp_path, engine="podman"))
    names = [getattr(layer, "func", layer).__name__ for layer in app.middleware.middlewares]
    assert names == [
        *("ServerErrorMiddleware", "Gate", "ExceptionMiddleware", "Hosts", "Session", "Pages", "Door"),
        *("UniformRequests", "SwaggerUIMiddleware", "Liveness", "RoutingMiddleware", "RequestValidationMiddleware"),
        *("ResponseValidationMiddleware", "LifespanMiddleware", "Scripts", "PlainTextLogs", "ContextMiddleware"),
    ]
