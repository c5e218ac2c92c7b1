"""What passes is 503 and tried again; what somebody has to mend is 500, and tried for a bounded time."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from amun.application.controller import Controller
from amun.engines.podman.engine import PodmanEngine
from amun.engines.podman.host import facts
from amun.engines.podman.podman_cli import Podman
from amun.engines.podman.state import files
from amun.engines.podman.state.store import Declared, Store
from amun.errors import AmunError, EngineUnavailable, Rejected
from amun.model import status, timestamps
from amun.model.inspection import BuildState, Inspection
from amun.model.specification import Specification
from amun.processes import doctor
from amun.settings import Settings
from tests.support.archive_doubles import MemoryEngine

Stub = Callable[[str, int], str]

SAID = [
    (
        r'time="2026-11-28T10:47:22Z" level=error msg="reading system config \"/c\": decode configuration /c: toml: '
        r"line 2 (last key \"engine.runtime\"): incompatible types: TOML value has type int64; destination has type "
        'string"\n',
        500,
        'reading system config "/c": decode configuration /c: toml: line 2 (last key "engine.runtime"): incompatible',
    ),
    (
        "time=\"2026-11-28T10:47:22Z\" level=error msg=\"toml: line 2: expected '.' or ']' to end table name, but got "
        r"'\\n' instead" + '"\n',
        500,
        "toml: line 2: expected '.' or ']' to end table name",
    ),
    (
        'time="2026-11-28T09:54:13Z" level=error msg="mkdir /x/libpod: permission denied"\n',
        500,
        "mkdir /x/libpod: perm",
    ),
    ("Error: opening database /x/bolt_state.db: open /x/bolt_state.db: read-only file system\n", 500, "opening data"),
    (
        'Error: database storage graph driver "overlay" does not match our storage graph driver "vfs": database '
        "configuration mismatch\n",
        500,
        "database storage graph driver",
    ),
    ("Error: failed to GetDriver graph nonsense /x: driver not supported\n", 500, "failed to GetDriver graph"),
    (
        "Error: the 'zfs' command is not available: prerequisites for driver not satisfied (wrong filesystem?)\n",
        500,
        "the 'zfs' command is not available: prerequisites",
    ),
    (
        r'time="2026-11-28T10:47:21Z" level=error msg="invalid internal status, try resetting the pause process with '
        r'\"podman system migrate\": cannot set up namespace using \"/usr/bin/newuidmap\": exit status 1"' + "\n",
        500,
        'invalid internal status, try resetting the pause process with "podman system migrate": cannot set up namesp',
    ),
    (
        'Error: command required for rootless mode with multiple IDs: exec: "newuidmap": executable file not found in '
        "$PATH\n",
        500,
        "command required for rootless mode with multiple IDs",
    ),
    (
        "Error: chown /x/overlay/l: potentially insufficient UIDs or GIDs available in user namespace (requested "
        "100000:100000 for /x/overlay/l): Check /etc/subuid and /etc/subgid: invalid argument\n",
        500,
        "chown /x/overlay/l: potentially insufficient UIDs",
    ),
    (
        "Error: error creating libpod runtime: there might not be enough IDs available in the namespace (requested "
        "100000:100000 for /x/overlay/l): chown /x/overlay/l: invalid argument\n",
        500,
        "error creating libpod runtime: there might not be enough IDs",
    ),
    ("Error: creating events dirs: mkdir /x/events: no space left on device\n", 503, "creating events dirs: mkdir"),
    ("Error: beginning refresh transaction: database is locked\n", 503, "beginning refresh transaction"),
    ("Error: something that nobody has seen yet\n", 503, "something that nobody has seen yet"),
]
"""What Podman 4.3.1 said of configurations that it could not read (of its own and of its storage), of a directory of
somebody else, of a file system mounted for reading, of a storage of another driver, of a driver that it does not know,
of one that the machine cannot have, of subordinate ids written down twice, of a full disk. The sentence after those is
in its source since 4.5 (libpod/sqlite_state.go), with SQLite's words for SQLITE_BUSY. Of subordinate ids: no newuidmap
(https://github.com/NixOS/nixpkgs/issues/215332), too few of them, in the words of today (containers/storage,
https://github.com/containers/storage/pull/747) and those before (https://github.com/containers/podman/issues/3421)."""


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


@pytest.mark.parametrize("built", [False, True], ids=["to be built", "to be run"])
def test_what_waits_for_a_podman_that_was_broken_before_the_controller_came_ends_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stub: Stub, built: bool
) -> None:
    monkeypatch.setenv("PATH", str(Path(stub("Error: driver not supported\n", 125)).parent))
    settings = Settings(state_dir=tmp_path / "state", engine="podman")
    store, specification = Store(settings.state_dir), Specification.from_document({"base": "debian:12", "script": "a"})
    waiting = Inspection("inspection-" + "a" * 16, specification, "0" * 64, "sha256:" + "a" * 64, timestamps.now())
    build = store.new_build(waiting, {"Dockerfile": b"FROM x\n"})
    store.declare(Declared(waiting, build, cached=False), b"a")
    if built:
        store.keep_build(
            build, BuildState("terminated", "succeeded", image="localhost/a", finished_at=timestamps.now())
        )
    engine = PodmanEngine(settings)
    for patience, over in ((3600, False), (0, True)):
        controller = Controller(engine, patience)
        for _ in range(2):
            with engine.leadership() as leading, pytest.raises(Rejected):
                controller.sweep()
            assert leading
        assert status.verdict(engine.observe(waiting.id)).over == over
    verdict = status.verdict(engine.observe(waiting.id))
    assert (verdict.phase, verdict.reason) == ("error", "EngineRefused")
    assert "does not work: driver not supported" in str(verdict.message)
