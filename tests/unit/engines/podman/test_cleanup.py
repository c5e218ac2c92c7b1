"""What is left of a service is stopped as far as it can be, and what could not be is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from amun.engines.podman import cleanup
from amun.engines.podman.builds import processes
from amun.engines.podman.host.machine import Machine
from amun.engines.podman.podman_cli import Podman
from amun.errors import EngineUnavailable

STRANGE = {"State": None}
"""A container of which nobody knows what it is."""

PODMAN = """#!/bin/sh
printf '%s\\n' "$*" >>"$0.asked"
case $1-$2 in
    pod-ps) echo one; echo two ;;
    container-inspect) echo '[{strange}]' ;;
    pod-rm) case $* in *{stays}*) echo 'Error: it stays' >&2; exit 125 ;; esac ;;
esac
"""


def podman(place: Path, stays: str = "none") -> Podman:
    program = place / "podman"
    program.write_text(PODMAN.format(strange=json.dumps(STRANGE), stays=stays))
    program.chmod(0o755)
    return Podman(str(program), {})


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The builds that were killed; the first one cannot be."""
    found: list[str] = []

    def kill(build: Path) -> None:
        found.append(build.name)
        if len(found) == 1:
            raise TypeError("'NoneType' object has no attribute 'get'")

    monkeypatch.setattr(processes, "kill", kill)
    for name in ("a", "b", "ended"):
        (tmp_path / "builds" / name).mkdir(parents=True)
    (tmp_path / "builds" / "ended" / "exit").write_text("0")
    return found


def test_a_part_at_which_it_fails_keeps_it_from_no_other(tmp_path: Path, killed: list[str]) -> None:
    with pytest.raises(EngineUnavailable) as raised:
        cleanup.stop(podman(tmp_path), tmp_path)
    assert sorted(killed) == ["a", "b"]
    assert str(raised.value).count("\n") == 0  # both pods are gone, strange as they were
    assert f"build {killed[0]}: TypeError" in str(raised.value)
    removed = [line.split()[-1] for line in (tmp_path / "podman.asked").read_text().splitlines() if "pod rm" in line]
    assert removed == ["one", "two"]


def test_a_pod_that_stays_is_named_and_ends_the_program_in_failure(
    tmp_path: Path, killed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = podman(tmp_path, stays="one")
    machine = Machine(found.program, "", {}, "", "", "", "", (), None, None, (), (), False, False, ())
    monkeypatch.setattr(cleanup, "for_settings", lambda settings: machine)
    monkeypatch.setenv("AMUN_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["leftovers"])
    assert cleanup.main() == 1
    said = capsys.readouterr().err.splitlines()
    assert said[1:] == ["pod one: it stays"]


def test_builds_are_ended_though_nobody_knows_how_podman_works(
    tmp_path: Path, killed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(settings: object) -> Machine:
        raise KeyError("store")

    monkeypatch.setattr(cleanup, "for_settings", broken)
    monkeypatch.setenv("AMUN_STATE_DIR", str(tmp_path))
    assert cleanup.main() == 1
    assert sorted(killed) == ["a", "b"]
    assert "store" in capsys.readouterr().err
