"""What tests share: a machine's Podman, a base image on it, and a real service with a state directory of its own."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from amun.client import Client
from amun.engines.podman import cleanup
from amun.engines.podman.host import machine
from amun.engines.podman.podman_cli import Podman
from amun.model.specification import Specification
from amun.settings import Settings
from amun.validation.problems import validated
from tests.support.remove_leftovers import NOTED, note, remove

from .support import shared_probe

BASE = "localhost/amun/base:bookworm"
# What a shell runs in the background ignores it, and so would the programs under test.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.pop("KUBECONFIG", None)  # Whoever runs the tests did not mean their own cluster.
# No deadlines: the machine may be busy. In CI the same examples each time: a run says something of the change.
hypothesis.settings.register_profile("amun", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=50)
hypothesis.settings.register_profile("quick", parent=hypothesis.settings.get_profile("amun"), max_examples=20)
hypothesis.settings.load_profile("amun")

SELDOM = 0.4
"""Seconds between two looks at what takes long."""

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Debian image with Python, made by `make test` before the tests start; all built on it goes after the tests."""
    if shutil.which("podman") is None:
        pytest.skip("there is no Podman on this machine")
    found = machine.for_settings(Settings())
    present = subprocess.run([found.podman, "image", "exists", BASE], env=found.environment, check=False)
    if present.returncode != 0:
        pytest.skip(f"there is no image {BASE}: `make test` makes it")
    directory = tmp_path_factory.getbasetemp()
    among_others = (directory.parent / NOTED).exists()  # whoever started all of them removes what they leave
    if not among_others:
        note(directory)
    yield BASE
    if not among_others:
        remove(directory)


def wait_until(condition: Callable[[], Any], timeout: float = 60, pause: float = 0.05) -> Any:
    """Wait until `condition` gives something true, and return that; fails after `timeout` seconds.

    It is looked at after `pause` seconds, and less often the longer it takes: looking has its price too.
    """
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(pause)
        pause = max(pause, min(1.2 * pause, SELDOM))
    raise AssertionError(f"{condition} did not come true within {timeout} s")


def specification(base: str, script: str | None = "true", **more: Any) -> dict[str, Any]:
    """A posted document: a small script on `base`."""
    document = {"base": base, "script": script, **more}
    return {name: value for name, value in document.items() if value is not None}


def environment_of(base: str, text: str) -> dict[str, Any]:
    """Fields that make the environment differ from all others, by a variable: a build of its own, and a quick one."""
    return {"base": base, "environment": [{"name": "TEST_ENVIRONMENT", "value": text}]}


def free_port() -> int:
    """A port that is still free when a service that was killed starts again.

    It is none that the system gives to outgoing connections: another test's could have it by then, and one to the
    port itself would be connected to itself, as if somebody listened.
    """
    while True:
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
            port: int = tried.getsockname()[1]
            return port


class Service:
    """`amun serve` as a user starts it: its own processes, port and state directory.

    `token` is what its client sends, where the service asks for one.
    """

    def __init__(self, state_dir: Path, **settings: Any) -> None:
        self.token: str | None = None
        self.state_dir = state_dir
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        given = {"state_dir": state_dir, "port": self.port, "log_format": "json", **settings}
        self.environment = {**os.environ, **{f"AMUN_{name.upper()}": str(value) for name, value in given.items()}}
        self.log = state_dir.parent / f"{state_dir.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Client:
        return Client(self.url, self.token)

    @property
    def settings(self) -> Settings:
        names = ("state_dir", "port", "max_runs", "max_builds", "attempts", "output_limit")
        given: dict[str, Any] = {name: self.environment.get(f"AMUN_{name.upper()}") for name in names}
        return Settings(**{name: value for name, value in given.items() if value is not None})

    def start(self) -> Service:
        if shutil.which("podman"):
            shared_probe.share(self.state_dir)
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "amun", "serve"]
            self.process = subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._ready, timeout=60)
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        return self._listens()

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def parts(self, name: str) -> list[int]:
        """Process ids of the service's processes whose command line has `name` in it (gunicorn, controller)."""
        assert self.process is not None
        listed = subprocess.run(["ps", "-e", "-o", "pid=,sid=,args="], capture_output=True, text=True, check=True)
        rows = (row.split(None, 2) for row in listed.stdout.splitlines())
        return [int(pid) for pid, session, command in rows if int(session) == self.process.pid and name in command]

    def kill(self, *names: str) -> None:
        """kill -9 the named parts; without a name, all of the service at once."""
        for name in names or ("amun", "gunicorn"):
            for pid in self.parts(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if not names and self.process is not None:
            self.process.wait(10)
            wait_until(lambda: not self.parts("gunicorn"))
            # Until the last thread of a killed process is gone, its socket takes connections.
            wait_until(lambda: not self._listens())

    def stop(self) -> None:
        """SIGTERM, as a person or an init system would."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)

    def finish(self) -> None:
        """Stop, and leave nothing behind on the machine."""
        self.stop()
        found = machine.for_settings(Settings())
        cleanup.stop(Podman(found.podman, found.environment), self.state_dir)

    def submit(self, document: dict[str, Any], **options: Any) -> str:
        accepted: str = self.client.submit(document, **options)["inspection_id"]
        return accepted

    def wait(self, inspection_id: str, *phases: str, timeout: float = 90) -> dict[str, Any]:
        """Wait until the inspection is in one of `phases` (without any: is over); returns its status."""
        over = phases or ("succeeded", "failed", "build_failed", "cancelled", "error")

        def reached() -> dict[str, Any] | None:
            status: dict[str, Any] = self.client.status(inspection_id)
            return status if status["phase"] in over else None

        found: dict[str, Any] = wait_until(reached, timeout)
        return found


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Service]:
    """One service for all tests that do it no harm."""
    running = Service(tmp_path_factory.mktemp("service") / "state", workers=2, max_runs=2, max_builds=2, grace=1)
    try:
        yield running.start()
    finally:
        running.finish()


@pytest.fixture
def own_service(tmp_path: Path, base: str) -> Iterator[Callable[..., Service]]:
    """Makes services that a test may kill; called with settings. All are stopped in the end."""
    made: list[Service] = []

    def make(**settings: Any) -> Service:
        made.append(Service(tmp_path / f"state{len(made)}", **{"workers": 1, "grace": 1, **settings}))
        return made[-1]

    yield make
    for running in made:
        running.finish()


@pytest.fixture
def minimal() -> Specification:
    return validated({"base": "debian:12", "script": "true"})
