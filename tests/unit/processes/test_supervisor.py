"""One state directory has one service."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from amun.processes import supervisor
from amun.settings import Settings


def test_a_second_service_on_a_state_directory_is_refused_and_leaves_the_first_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor.logs, "configure", lambda *_: None)  # of this process, for all tests after this one
    logged = structlog.testing.CapturingLogger()
    monkeypatch.setattr(supervisor, "logger", logged)
    settings = Settings(state_dir=tmp_path)
    metrics = supervisor.metrics_directory(settings)
    metrics.mkdir(exist_ok=True)
    (metrics / "counter.db").write_bytes(b"the first's")
    with (tmp_path / supervisor.SERVING).open("w") as first:
        print(4711, file=first, flush=True)
        fcntl.flock(first, fcntl.LOCK_EX)
        assert supervisor.serve(settings) == 1
    (said,) = logged.calls
    assert (said.args, said.kwargs["process"]) == (("another service uses this state directory",), "4711")
    assert (metrics / "counter.db").read_bytes() == b"the first's"
    assert (tmp_path / supervisor.SERVING).read_text() == "4711\n"
    (metrics / "counter.db").unlink()
    metrics.rmdir()


def test_the_command_of_a_second_service_fails(tmp_path: Path) -> None:
    environment = {**os.environ, "AMUN_STATE_DIR": str(tmp_path)}
    with (tmp_path / supervisor.SERVING).open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "amun", "serve"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "another service uses this state directory" in done.stdout + done.stderr
