"""Scripts at URLs, submitted to running services: one that may ask its own network for them, and one that may not."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from tests.conftest import Service, specification

from .conftest import Api

pytestmark = [pytest.mark.podman, pytest.mark.slow]

SCRIPT = b"#!/bin/sh\nprintf '%s\\t%s' \"$HOME\" '\\$\t'\n"


class Handler(BaseHTTPRequestHandler):
    """Serves the script, and counts who asked for it."""

    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        self.send_response(200 if self.path == "/script" else 404)
        self.end_headers()
        self.wfile.write(SCRIPT)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.asked = 0  # type: ignore[attr-defined]
    threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True).start()
    yield listening
    listening.shutdown()
    listening.server_close()


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Service]:
    """A service that fetches scripts from this machine."""
    settings = {"script_private_hosts": True, "script_timeout": 4, "workers": 1, "grace": 1}
    running = Service(tmp_path_factory.mktemp("open") / "state", **settings)
    try:
        yield running.start()
    finally:
        running.finish()


def test_a_script_at_a_url_is_fetched_when_it_is_submitted_and_runs_byte_for_byte(
    open_service: Service, server: ThreadingHTTPServer, base: str
) -> None:
    api = Api(open_service.url)
    url = f"http://127.0.0.1:{server.server_port}/script"
    planned = api.post("/inspect?dry_run=true", specification(base, url))
    assert (planned.status_code, server.asked) == (200, 0)  # type: ignore[attr-defined]
    missing = api.post("/inspect", specification(base, url.replace("script", "other")))
    assert missing.status_code == 400
    assert missing.json()["details"] == [{"path": "script", "message": "cannot be fetched: the answer was 404"}]
    assert api.json("/inspect")["total"] == 0

    inspection_id = open_service.submit(specification(base, url, batch_size=2))
    assert server.asked == 2  # type: ignore[attr-defined]
    server.shutdown()  # nobody needs it any more
    assert open_service.wait(inspection_id)["phase"] == "succeeded"
    for item in (0, 1):
        report = api.json(f"/inspect/{inspection_id}/job/{item}/result")["result"]
        assert report["script_sha256"] == hashlib.sha256(SCRIPT).hexdigest()
        assert report["stdout_text"] == "/home/amun\t\\$\t"
    assert api.json(f"/inspect/{inspection_id}/specification")["specification"]["script"] == url


def test_slow_servers_of_scripts_do_not_make_the_service_look_dead(open_service: Service, base: str) -> None:
    """More submissions than there are worker threads, each waiting for a server that never says a word."""
    with socket.socket() as silent, ThreadPoolExecutor(15) as callers:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        document = specification(base, f"http://127.0.0.1:{silent.getsockname()[1]}/")
        post = partial(requests.post, f"{open_service.url}/api/v1/inspect", json=document, timeout=60)
        waiting = [callers.submit(post) for _ in range(15)]
        time.sleep(1)
        started = time.monotonic()
        assert requests.get(f"{open_service.url}/liveness", timeout=30).json() == {"status": "ok"}
        assert time.monotonic() - started < 2
        assert [answer.result().status_code for answer in waiting] == [400] * 15
    assert "took" in waiting[0].result().json()["details"][0]["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_not_asked_for_scripts_by_default(
    api: Api, server: ThreadingHTTPServer, base: str, host: str
) -> None:
    before = api.json("/inspect", limit=1)["total"]
    refused = api.post("/inspect", specification(base, f"http://{host}:{server.server_port}/script"))
    assert refused.status_code == 400
    (problem,) = refused.json()["details"]
    assert problem == {"path": "script", "message": "cannot be fetched: its host is not public"}
    assert server.asked == 0  # type: ignore[attr-defined]
    assert api.json("/inspect", limit=1)["total"] == before


@pytest.mark.parametrize("script", ["file:///etc/passwd", "ftp://example.org/script", "http://registry.invalid/x"])
def test_what_cannot_be_fetched_is_refused_before_anything_is_kept(api: Api, base: str, script: str) -> None:
    refused = api.post("/inspect", specification(base, script))
    assert refused.status_code == 400
    (problem,) = refused.json()["details"]
    assert problem["path"] == "script"
