"""How gunicorn serves the API; see https://docs.gunicorn.org/en/stable/settings.html."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from prometheus_client import multiprocess

from amun import parent_death
from amun.auth import configuration as choice
from amun.settings import Settings
from amun.telemetry import logs

_settings = Settings()
logs.configure(_settings.log_level, _settings.log_format)

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.workers
worker_class = "amun.web.http_protocol.Worker"
graceful_timeout = _settings.grace
timeout = 120
preload_app = False
control_socket_disable = True
logconfig_dict = logs.configuration(_settings.log_level, _settings.log_format)
proc_name = "amun"


def on_starting(_server: Any) -> None:
    """Refuse to start where nobody has said who may come in; make the place where the metrics of all workers are."""
    _or_leave(choice.check, _settings)
    metrics = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if metrics:
        os.makedirs(metrics, mode=0o700, exist_ok=True)


def when_ready(server: Any) -> None:
    """Refuse to serve where the sockets are not where the settings say: gunicorn can be given others (``--bind``)."""
    sockets = [listener.sock for listener in server.LISTENERS]
    reachable = [each.getsockname()[0] for each in sockets if each.family in (socket.AF_INET, socket.AF_INET6)]
    _or_leave(choice.check_listening, _settings, reachable)


def _or_leave(check: Callable[..., None], *arguments: Any) -> None:
    try:
        check(*arguments)
    except choice.Undecided as exc:
        raise SystemExit(str(exc)) from None


def post_fork(server: Any, _worker: Any) -> None:
    """A worker without its master would keep the port, and nobody would ever end it; what it keeps is its owner's."""
    os.umask(0o077)
    parent_death.end_with_parent(signal.SIGKILL, server.pid)


def child_exit(_server: Any, worker: Any) -> None:
    """The metrics of a worker that is gone are merged into those that stay."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
