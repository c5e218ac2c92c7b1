"""The bell: heard across processes, whatever the state directory is called, and nobody else's to take."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

import pytest

from amun.engines.podman.engine import PodmanEngine
from amun.engines.podman.wakeup import Bell
from amun.settings import Settings

LONG = 60.0
"""Seconds that nobody waits who hears the bell."""


def heard(bell: Bell) -> bool:
    start = time.monotonic()
    bell.wait(LONG)
    return time.monotonic() - start < LONG / 2


@pytest.mark.parametrize("name", ["state", "d" * 200, "é/ü x"])
def test_whoever_rings_is_heard_however_long_the_name_of_the_directory_is(tmp_path: Path, name: str) -> None:
    state = tmp_path / name
    state.mkdir(parents=True)
    listening = Bell(state)
    Bell(state).ring()  # nobody listens yet, and nobody minds
    listening.listen()
    Bell(state).ring()
    assert heard(listening)
    listening.close()
    Bell(state).ring()


def test_a_bell_is_taken_over_from_a_controller_that_was_killed(tmp_path: Path) -> None:
    left_behind, listening = Bell(tmp_path), Bell(tmp_path)
    left_behind.listen()
    listening.listen()
    Bell(tmp_path).ring()
    assert heard(listening)
    assert (tmp_path / "bell").stat().st_mode & 0o777 == 0o700


def test_nobody_keeps_a_controller_from_its_work_by_the_bell(tmp_path: Path) -> None:
    """Any user of the machine may bind names of the abstract namespace, and a file may be in the way."""
    state = tmp_path / "state"
    settings = Settings(state_dir=state, engine="podman")
    engine = PodmanEngine(settings)
    (state / "bell").write_text("in the way")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as squatter:
        squatter.bind(f"\0amun-{hashlib.sha256(bytes(state.resolve())).hexdigest()[:32]}")
        bell = engine._bell
        bell.listen()
        bell.wait(0.01)
        bell.ring()
        bell.close()
