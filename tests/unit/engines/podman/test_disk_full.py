"""A full disk is told from one that fails, tried again within bounds, and made room on by what has filled it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from amun.engines.podman import podman_cli
from amun.engines.podman.state import disk_full, files
from amun.errors import EngineUnavailable


@pytest.mark.parametrize("number", files.FULL)
def test_what_is_full_is_told_from_what_fails(number: int) -> None:
    with pytest.raises(files.DiskFull, match=os.strerror(number)), files.disk_errors():
        raise OSError(number, os.strerror(number))


def test_a_disk_that_cannot_be_written_is_not_full() -> None:
    with pytest.raises(EngineUnavailable) as raised, files.disk_errors():
        raise OSError(errno.EROFS, "Read-only file system")
    assert not isinstance(raised.value, files.DiskFull)


@pytest.mark.parametrize(
    ("said", "full"),
    [
        ('writing blob: storing blob to file "/s/1": write /s/1: no space left on device', True),
        ("mkdir /s/overlay: disk quota exceeded", True),
        ("[Errno 28] No space left on device", True),
        ("open /s/no space left: no such file or directory", False),
    ],
)
def test_podman_says_in_its_way_that_there_is_no_room(tmp_path: Path, said: str, full: bool) -> None:
    program = tmp_path / "podman"
    program.write_text(f"#!/bin/sh\necho 'Error: {said}' >&2\nexit 125\n")
    program.chmod(0o755)
    with pytest.raises(podman_cli.PodmanError) as raised:
        podman_cli.Podman(str(program), {}).call("pull")
    assert isinstance(raised.value, files.DiskFull) == full


def test_a_log_that_did_not_fill_the_disk_is_left_alone_and_given_up_in_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"a line\n")
    found = disk_full.Room(tmp_path)
    assert [found.too_often("pod", log) for _ in range(disk_full.TRIES + 1)] == [False] * disk_full.TRIES + [True]
    assert log.read_bytes() == b"a line\n"
    assert not found.by_itself("pod")
    found.over("pod")
    assert not found.wanting("pod")
    assert not found.too_often("pod", log)


def test_a_log_that_fills_the_disk_is_known_by_its_size_and_gives_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, log = disk_full.Room(tmp_path), tmp_path / "log"
    log.write_bytes(bytes(disk_full.LARGE))
    assert not found.filled_by("pod", log)  # for all its size, there is room
    monkeypatch.setattr(disk_full, "_left", lambda place: disk_full.LEAST - 1)
    assert found.filled_by("pod", log)
    assert found.by_itself("pod")
    assert not found.too_often("pod", log)  # its ending is tried once more
    assert log.stat().st_size == disk_full.LARGE // disk_full.KEPT
    assert found.too_often("pod", log)


def test_a_log_that_is_not_there_fills_nothing(tmp_path: Path) -> None:
    assert not disk_full.Room(tmp_path).filled_by("pod", tmp_path / "log")
