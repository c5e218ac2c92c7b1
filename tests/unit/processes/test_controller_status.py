"""What a controller says of itself, asked by HTTP: of the pages alone, and of `amun controller` as a process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from amun.application.controller import Controller
from amun.engines.base import Queue
from amun.engines.podman.engine import PodmanEngine
from amun.errors import EngineUnavailable
from amun.processes.controller_status import Served, application
from amun.settings import Settings
from amun.web.allowed_hosts import Names
from tests.cluster.apiserver import ApiServer
from tests.cluster.rules.rights import EVERYTHING
from tests.conftest import ROOT, wait_until


class Reluctant(PodmanEngine):
    """Says what keeps it from working, if anything, and lets nobody through while the gate is shut."""

    obstacle: str | None = None

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.gate = threading.Event()
        self.gate.set()

    def check(self) -> None:
        if self.obstacle is not None:
            raise EngineUnavailable(self.obstacle)

    def queue(self) -> Queue:
        return Queue(builds_waiting=3)

    def unfinished(self, owner: str | None = None) -> list[str]:
        self.gate.wait(30)
        return []

    @contextmanager
    def leadership(self) -> Iterator[bool]:
        yield True

    def tend(self) -> None:
        pass

    def wait(self, timeout: float) -> None:
        time.sleep(0.2)


@pytest.fixture
def engine(tmp_path: Path) -> Reluctant:
    return Reluctant(Settings(state_dir=tmp_path))


class Site:
    """The pages of a controller whose loop has been silent for `silence` seconds."""

    def __init__(self, engine: Reluctant) -> None:
        self.silence = 0.0
        self.server = Served(application(engine, Names(Settings()), lambda: self.silence, stall=60), "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def get(self, path: str, method: str = "GET") -> requests.Response:
        return requests.request(method, self.url + path, timeout=10)


@pytest.fixture
def site(engine: Reluctant) -> Iterator[Site]:
    made = Site(engine)
    yield made
    made.server.stop()


def test_it_lives_while_its_loop_moves(site: Site) -> None:
    site.silence = 59
    assert (site.get("/liveness").status_code, site.get("/liveness").json()) == (200, {"status": "ok"})


def test_it_is_dead_when_its_loop_is_stuck(site: Site) -> None:
    site.silence = 61.4
    answer = site.get("/liveness")
    assert answer.status_code == 503
    assert answer.json() == {"error": "The controller has finished nothing for 61 seconds.", "parameters": {}}


def test_it_is_ready_when_the_engine_can_work(site: Site) -> None:
    assert site.get("/readiness").status_code == 200


def test_it_says_what_keeps_the_engine_from_working(site: Site, engine: Reluctant) -> None:
    engine.obstacle = "The service account may not create jobs.batch in the namespace 'amun'."
    answer = site.get("/readiness")
    assert (answer.status_code, answer.json()["error"]) == (503, engine.obstacle)


def test_metrics_tell_of_the_queue_and_of_the_silence(site: Site) -> None:
    site.silence = 7.5
    answer = site.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 'amun_queue{state="waiting",what="builds"} 3.0' in answer.text
    assert "amun_controller_silent_seconds 7.5" in answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/liveness", 405)])
def test_there_is_nothing_else(site: Site, method: str, path: str, status: int) -> None:
    answer = site.get(path, method)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "parameters"}


def test_head_has_no_body(site: Site) -> None:
    answer = site.get("/readiness", "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


def test_one_who_connects_and_says_nothing_holds_up_nobody(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.server.port)):
        assert site.get("/liveness").status_code == 200


def test_it_can_listen_on_ipv6(engine: Reluctant) -> None:
    try:
        server = Served(application(engine, Names(Settings()), lambda: 0.0, stall=60), "[::1]", 0)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    answer = requests.get(f"http://[::1]:{server.port}/liveness", timeout=10)
    server.stop()
    assert answer.status_code == 200


def test_the_silence_of_a_loop_grows_while_it_is_stuck_and_ends_with_it(engine: Reluctant) -> None:
    controller = Controller(engine)
    loop = threading.Thread(target=controller.run)
    loop.start()
    try:
        wait_until(lambda: controller.silence() > 0.1)
        wait_until(lambda: controller.silence() < 0.1)  # it moves, though there is nothing to do
        engine.gate.clear()
        wait_until(lambda: controller.silence() > 1)
        engine.gate.set()
        wait_until(lambda: controller.silence() < 0.1)
    finally:
        engine.gate.set()
        controller.stop()
        loop.join(10)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


READING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}


def test_the_controller_of_a_cluster_serves_them(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ApiServer() as server:
        user = server.rights.add("controller", [READING])
        settings = {
            "AMUN_ENGINE": "openshift",
            "AMUN_KUBECONFIG": str(server.kubeconfig(tmp_path / "kubeconfig", "controller")),
            "AMUN_CONTROLLER_PORT": str(port),
            "AMUN_STATE_DIR": str(tmp_path / "state"),
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
        }
        with (tmp_path / "log").open("wb") as log:
            command = [sys.executable, "-m", "amun", "controller"]
            process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=ROOT, stdout=log, stderr=log)
        try:
            assert "create configmaps" in wait_until(lambda: _obstacle(url))
            user.rules[""].append(EVERYTHING)
            wait_until(lambda: _obstacle(url) == "")
            assert requests.get(f"{url}/liveness", timeout=10).status_code == 200
            text = requests.get(f"{url}/metrics", timeout=10).text
            assert 'amun_queue{state="running",what="items"} 0.0' in text
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


def _obstacle(url: str) -> str | None:
    """What /readiness says is missing, nothing where it is ready; None while nobody listens."""
    try:
        return str(requests.get(f"{url}/readiness", timeout=10).json().get("error", ""))
    except requests.ConnectionError:
        return None
