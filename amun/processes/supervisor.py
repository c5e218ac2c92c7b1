"""``amun serve``: API and controller, each a process of its own, watched by this one.

A part that dies is started again; SIGTERM or SIGINT ends both. Should this process itself be killed, the kernel ends
them (PR_SET_PDEATHSIG), so that they can be started again at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import amun
from amun import composition, parent_death
from amun.application.controller import Controller
from amun.settings import Settings
from amun.telemetry import logs
from amun.telemetry.logs import logger
from amun.web.allowed_hosts import Names

ROOT = Path(amun.__file__).resolve().parent.parent
MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it is ours alone, or not used
SERVING = "serving"
"""File in the state directory that a service locks; it holds the service's process id."""

RESTART_PAUSE = 1.0
"""Seconds before a part that died is started again."""


def commands() -> dict[str, list[str]]:
    """The parts of the service and how they are started."""
    gunicorn = ["gunicorn", "--config", "python:amun.web.gunicorn_conf", "amun.processes.application:application"]
    return {"api": [sys.executable, "-m", *gunicorn], "controller": [sys.executable, "-m", "amun", "controller"]}


def environment(settings: Settings) -> dict[str, str]:
    """What both parts run with: these settings, and one directory for the metrics of all processes."""
    document = settings.model_dump(mode="json", exclude_none=True)
    given = {f"AMUN_{name.upper()}": str(value) for name, value in document.items()}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **given, "PYTHONPATH": path, "PROMETHEUS_MULTIPROC_DIR": str(metrics_directory(settings))}


def metrics_directory(settings: Settings) -> Path:
    """Where all processes of one service keep their metrics, in memory: mapping files of a full disk is fatal."""
    name = hashlib.sha256(bytes(settings.state_dir)).hexdigest()[:16]
    place = MEMORY / f"amun-metrics-{os.geteuid()}-{name}"
    with contextlib.suppress(OSError):
        place.mkdir(mode=0o700, exist_ok=True)
        if place.lstat().st_uid == os.geteuid():  # anybody may have made something there
            return place
    return settings.state_dir / "metrics"


def serve(settings: Settings) -> int:
    """Run both parts until a signal; returns the exit code: 1 where another service uses the state directory."""
    logs.configure(settings.log_level, settings.log_format)
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (settings.state_dir / SERVING).open("a+") as serving:
        try:
            fcntl.flock(serving, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            serving.seek(0)
            first = serving.read().strip() or "unknown"
            logger.error("another service uses this state directory", process=first, state_dir=str(settings.state_dir))
            return 1
        serving.truncate(0)
        print(os.getpid(), file=serving, flush=True)
        return _serve(settings)


def _serve(settings: Settings) -> int:
    metrics = metrics_directory(settings)
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(mode=0o700, parents=True)
    try:
        return _Parts(environment(settings)).run()
    finally:
        shutil.rmtree(metrics, ignore_errors=True)


class _Parts:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ending = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        while not self._ending:
            for name, command in commands().items():
                process = self._processes.get(name)
                if process is None or process.poll() is not None:
                    if process is not None:
                        logger.error("part died, starting it again", part=name, code=process.returncode)
                        time.sleep(RESTART_PAUSE)
                    if not self._ending:
                        self._processes[name] = self._start(command)
            time.sleep(0.2)
        return self._stop()

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=self._environment, preexec_fn=_end_with_parent)

    def _stop(self) -> int:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        return 0


def _end_with_parent() -> None:
    parent_death.end_with_parent(signal.SIGTERM)


def control(settings: Settings) -> int:
    """``amun controller``: run the controller until a signal."""
    logs.configure(settings.log_level, settings.log_format)
    os.umask(0o077)
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics_directory(settings))
    Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = composition.load_engine(settings)
    controller = Controller(engine, settings.start_deadline)
    if settings.controller_port:
        from . import controller_status  # with prometheus_client, which wants to know the directory first

        pages = controller_status.application(engine, Names(settings), controller.silence, settings.controller_stall)
        controller_status.Served(pages, settings.host, settings.controller_port)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: controller.stop())
    controller.run()
    return 0
