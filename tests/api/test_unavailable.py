"""What callers are told when the engine is out of reach, and when the service itself is at fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from amun import __version__
from amun.composition import create_app
from amun.engines.base import Engine
from amun.errors import EngineUnavailable
from amun.settings import Settings

from .conftest import UNKNOWN, assert_error

pytestmark = pytest.mark.slow  # a service each

OUT_OF_REACH = EngineUnavailable("The disk is full.")

REQUESTS = [
    ("GET", "/hardware"),
    ("GET", "/inspect"),
    ("POST", "/inspect"),
    ("POST", "/inspect?dry_run=true"),
    ("GET", f"/inspect/{UNKNOWN}"),
    ("DELETE", f"/inspect/{UNKNOWN}"),
    ("POST", f"/inspect/{UNKNOWN}/cancel"),
    ("GET", f"/inspect/{UNKNOWN}/status"),
    ("GET", f"/inspect/{UNKNOWN}/specification"),
    ("GET", f"/inspect/{UNKNOWN}/build/log"),
    ("GET", f"/inspect/{UNKNOWN}/build/log?follow=true"),
    ("GET", f"/inspect/{UNKNOWN}/job/log"),
    ("GET", f"/inspect/{UNKNOWN}/job/0/log?follow=true"),
    ("GET", f"/inspect/{UNKNOWN}/job/0/result"),
    ("GET", f"/inspect/{UNKNOWN}/job/batch-size"),
]
"""All that needs the engine."""


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[Exception], Callable[..., Any]]:
    """Makes callers of a service whose engine raises the given exception whatever is asked."""

    def make(exception: Exception) -> Callable[..., Any]:
        engine = mock.create_autospec(Engine, instance=True)
        for method in (*Engine.__abstractmethods__, "phases"):
            getattr(engine, method).side_effect = exception
        client = create_app(Settings(state_dir=tmp_path, log_level="CRITICAL"), engine).test_client(
            base_url="http://localhost"
        )

        def request(method: str, path: str) -> Any:
            submits = method == "POST" and not path.endswith("/cancel")
            response = client.request(method, path, **({"json": {"base": "debian:12"}} if submits else {}))
            assert response.headers["X-Amun-Version"] == __version__
            return response

        return request

    return make


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_an_engine_out_of_reach_is_503_with_the_reason(
    ask: Callable[[Exception], Callable[..., Any]], method: str, path: str
) -> None:
    response = ask(OUT_OF_REACH)(method, f"/api/v1{path}")
    assert response.status_code == 503
    assert assert_error(response)["error"] == "The disk is full."


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_a_defect_is_500_and_shows_nothing_of_the_inside(
    ask: Callable[[Exception], Callable[..., Any]], method: str, path: str
) -> None:
    response = ask(RuntimeError("secret in /var/lib/amun"))(method, f"/api/v1{path}")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "logged" in assert_error(response)["error"]


def test_probes_tell_a_service_that_cannot_work_from_one_that_is_dead(
    ask: Callable[[Exception], Callable[..., Any]],
) -> None:
    request = ask(OUT_OF_REACH)
    ready = request("GET", "/readiness")
    assert (ready.status_code, assert_error(ready)["error"]) == (503, "The disk is full.")
    assert request("GET", "/liveness").json() == {"status": "ok"}
    assert request("GET", "/api/v1/version").status_code == 200
    assert request("GET", "/metrics").status_code == 200
