"""What passes is 503 and tried again; what somebody has to mend is 500, and tried for a bounded time."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from amun import doctor, status
from amun.controller import Controller
from amun.engines.podman import facts, files
from amun.engines.podman.command import Podman
from amun.engines.podman.engine import PodmanEngine
from amun.errors import AmunError, EngineUnavailable, Rejected
from amun.inspection import Inspection
from amun.settings import Settings
from tests.archives import MemoryEngine

Stub = Callable[[str, int], str]

SAID = [
    (
        'time="2026-11-28T09:54:08Z" level=error msg="decode configuration /c: toml: line 2 (last key \\"engine\\")"\n',
        500,
        'decode configuration /c: toml: line 2 (last key "engine")',
    ),
    (
        'time="2026-11-28T09:54:13Z" level=error msg="mkdir /x/libpod: permission denied"\n',
        500,
        "mkdir /x/libpod: perm",
    ),
    ('Error: database graph driver "vfs" does not match our graph driver "overlay"\n', 500, "database graph driver"),
    ("Error: open /run/libpod/alive.lck: no space left on device\n", 503, "open /run/libpod/alive.lck: no space"),
    ("Error: beginning transaction: database is locked\n", 503, "beginning transaction"),
    ("Error: something that nobody has seen yet\n", 503, "something that nobody has seen yet"),
]
"""The first two as Podman 4.3.1 said them, the next three by the words in its source."""


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    """A program in place of podman that says something and fails."""

    def make(said: str, code: int) -> str:
        directory = tmp_path / "programs"
        directory.mkdir(exist_ok=True)
        (directory / "said").write_text(said)
        program = directory / "podman"
        program.write_text(f'#!/bin/sh\n/bin/cat "{directory}/said" >&2\nexit {code}\n')
        program.chmod(0o755)
        return str(program)

    return make


@pytest.mark.parametrize(("said", "code", "sentence"), SAID)
def test_what_podman_says_tells_whether_it_passes(stub: Stub, said: str, code: int, sentence: str) -> None:
    with pytest.raises(EngineUnavailable) as refused:
        Podman(stub(said, 125), {}).call("info")
    assert refused.value.status == code
    assert isinstance(refused.value, Rejected) == (code == 500)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("program", ["/nowhere/podman", "podman-that-is-not-there"])
def test_a_podman_that_is_away_may_come_back(program: str) -> None:
    with pytest.raises(EngineUnavailable, match="there is no such program") as refused:
        Podman(program, {}).call("info")
    assert refused.value.status == 503


def test_a_podman_that_may_not_be_run_will_not_be(tmp_path: Path) -> None:
    (tmp_path / "podman").write_text("#!/bin/sh\n")
    with pytest.raises(Rejected, match="podman cannot be run: Permission denied"):
        Podman(str(tmp_path / "podman"), {}).call("info")


def test_a_podman_that_prints_nonsense_is_no_defect_of_ours(tmp_path: Path) -> None:
    (tmp_path / "podman").write_text("#!/bin/sh\necho nonsense\n")
    (tmp_path / "podman").chmod(0o755)
    with pytest.raises(EngineUnavailable, match="podman info printed no JSON"):
        Podman(str(tmp_path / "podman"), {}).json("info")


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EACCES, 500), (errno.EROFS, 500), (errno.ENOTDIR, 500), (errno.ENOSPC, 503), (errno.EIO, 503)],
)
def test_what_the_disk_says_tells_whether_it_passes(number: int, code: int) -> None:
    with pytest.raises(EngineUnavailable, match="The state directory cannot be used") as refused, files.disk_errors():
        raise OSError(number, os.strerror(number))
    assert refused.value.status == code


@pytest.mark.parametrize(("said", "code", "sentence"), SAID)
def test_doctor_and_engine_agree_on_a_podman_that_does_not_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stub: Stub,
    said: str,
    code: int,
    sentence: str,
) -> None:
    program = stub(said, 125)
    monkeypatch.setenv("PATH", str(Path(program).parent))
    monkeypatch.setenv("AMUN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("AMUN_ENGINE", "podman")
    with pytest.raises(EngineUnavailable) as refused:
        PodmanEngine(Settings()).check()
    assert refused.value.status == code
    assert f"{program} does not work: {sentence}" in str(refused.value)
    assert doctor.main(as_json=True) == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["podman"]["why"] in str(refused.value)
    assert "disk" not in checks  # nothing is known of it


def test_a_user_who_may_not_look_at_the_storage_has_a_machine_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    monkeypatch.setattr(Path, "exists", refuse)
    assert facts._free(tmp_path / "storage") == 0


def test_the_doctor_knows_the_engines_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMUN_ENGINE", "docker")
    assert doctor.main() == 1
    assert "There are: auto, podman, openshift." in capsys.readouterr().out


class Refuses(MemoryEngine):
    """An engine that refuses to build."""

    refusal: AmunError

    def build(self, inspection: Inspection) -> None:
        raise self.refusal


def test_what_is_refused_for_good_ends_and_says_why() -> None:
    engine = Refuses()
    engine.refusal, refused = Rejected("The storage is another driver's."), engine.add()
    Controller(engine, patience=3600).sweep()
    assert not status.verdict(engine.observe(refused)).over
    Controller(engine, patience=0).sweep()
    verdict = status.verdict(engine.observe(refused))
    assert (verdict.phase, verdict.reason) == ("error", "EngineRefused")
    assert verdict.message == "The storage is another driver's."


def test_what_may_pass_is_waited_for_however_long_it_takes() -> None:
    engine = Refuses()
    engine.refusal, waiting = EngineUnavailable("The disk is full."), engine.add()
    controller = Controller(engine, patience=0)
    for _ in range(10):
        controller.sweep()
    assert not status.verdict(engine.observe(waiting)).over
