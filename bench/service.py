"""Services that a measurement starts for itself: the real one, its API alone, and whatever else gunicorn serves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amun.client import Client, ClientError, Document
from amun.engines.podman import cleanup
from amun.engines.podman.builds.builds import IMAGE
from amun.engines.podman.host.machine import Machine, for_settings
from amun.engines.podman.podman_cli import Podman
from amun.model import status
from amun.processes import supervisor
from amun.settings import Settings
from amun.web import gunicorn_conf

from . import processes

PATIENCE = 300.0
"""Seconds that anything measured may take."""

POLL = 0.02
"""Seconds between a poller's questions."""


@dataclass(frozen=True)
class Service:
    """A running service with a state directory of its own."""

    settings: Settings
    process: subprocess.Popen[bytes]
    url: str

    @property
    def client(self) -> Client:
        return Client(self.url)

    @property
    def machine(self) -> Machine:
        return for_settings(self.settings)

    @property
    def podman(self) -> Podman:
        return Podman(self.machine.podman, self.machine.environment)

    def part(self, name: str) -> int:
        """Process id of the part of `amun serve` whose command line has `name` in it."""
        return next(pid for pid in processes.children(self.process.pid) if name in processes.command(pid))

    def workers(self) -> list[int]:
        """Process ids of gunicorn's workers."""
        serving = "gunicorn" in processes.command(self.process.pid)
        return processes.children(self.process.pid if serving else self.part("gunicorn"))

    def submit(self, document: Document) -> str:
        """Post a specification; returns the inspection's id."""
        inspection_id: str = self.client.submit(document)["inspection_id"]
        return inspection_id

    def over(self, inspection_id: str) -> Document:
        """Wait until an inspection is over; returns its status. Raises RuntimeError if it did not succeed."""
        client, end = self.client, time.monotonic() + PATIENCE
        while (found := client.status(inspection_id))["phase"] not in status.OVER:
            if time.monotonic() > end:
                raise RuntimeError(f"not over after {PATIENCE:.0f} s")
            time.sleep(POLL)
        if found["phase"] != "succeeded":
            raise RuntimeError(found["message"] or found["phase"])
        return found

    def report(self, inspection_id: str) -> Document:
        """Poll the report of the first item until it is there."""
        client, end = self.client, time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                found: Document = client.result(inspection_id)["result"]
            except ClientError as error:
                if not error.not_ready:
                    raise
                time.sleep(POLL)
            else:
                return found
        raise RuntimeError(f"no report after {PATIENCE:.0f} s")


@contextlib.contextmanager
def serve(state_dir: Path, **settings: Any) -> Iterator[Service]:
    """API and controller, as `amun serve` starts them. In the end nothing is left of what they ran and built."""
    chosen = on_free_port(state_dir, **settings)
    command = [sys.executable, "-m", "amun", "serve"]
    with started(command, supervisor.environment(chosen), chosen) as service:
        try:
            yield service
        finally:
            _end(service.process)
            _clean(service)


@contextlib.contextmanager
def serve_api(state_dir: Path, **settings: Any) -> Iterator[Service]:
    """The API without a controller: what is submitted stays queued."""
    chosen = on_free_port(state_dir, **settings)
    (state_dir / "metrics").mkdir(parents=True)
    with started(supervisor.commands()["api"], supervisor.environment(chosen), chosen) as service:
        yield service


@contextlib.contextmanager
def serve_plain(directory: Path) -> Iterator[Service]:
    """The application of `bench.plain`, by one worker as the API has them."""
    chosen = on_free_port(directory)
    command = [sys.executable, "-m", "gunicorn", "--worker-class", gunicorn_conf.worker_class, "--workers", "1"]
    command += ["--bind", f"{chosen.host}:{chosen.port}", "--no-control-socket", "bench.plain:create_app()"]
    with started(command, {**os.environ, "PYTHONPATH": str(supervisor.ROOT)}, chosen) as service:
        yield service


@contextlib.contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], settings: Settings) -> Iterator[Service]:
    """Start a program that listens where the settings say, wait until it does; stop it in the end."""
    log = settings.state_dir.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=supervisor.ROOT, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _await_port(process, settings.port, log)
        yield Service(settings, process, f"http://127.0.0.1:{settings.port}")
    finally:
        _end(process)


def on_free_port(state_dir: Path, **settings: Any) -> Settings:
    """Settings of a service on a free port; those of the environment hold where none are given."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Settings(state_dir=state_dir, host="127.0.0.1", port=port, log_format="json", **settings)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"did not start: {log.read_text()[-1000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _clean(service: Service) -> None:
    cleanup.stop(service.podman, service.settings.state_dir)
    for build in (service.settings.state_dir / "builds").iterdir():
        service.podman.call("image", "rm", "--force", "--ignore", f"{IMAGE}:{build.name}")
