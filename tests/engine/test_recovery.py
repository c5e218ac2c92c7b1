"""Whatever is killed, full, missing or corrupt: every accepted inspection ends, each item once, with its logs.

All of this is done to real services, in processes of their own. Scripts and builds print tokens that no other run of
them prints, so what was done twice shows.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from amun.client import ClientError
from amun.engines.podman.builds.namespace import WAYS
from amun.engines.podman.engine import INSTANCE_LABEL, PodmanEngine, instance
from amun.engines.podman.host import machine
from amun.engines.podman.podman_cli import Podman
from amun.settings import Settings
from tests.conftest import Service, wait_until
from tests.support.standin_base import chatty, make, quick, slow, tokens

pytestmark = [pytest.mark.podman, pytest.mark.slow]

OVER = ("succeeded", "failed", "build_failed", "cancelled", "error")


def script(seconds: float) -> str:
    """Prints its token, waits, and prints that it has come to its end."""
    return f"echo token $(cat /proc/sys/kernel/random/uuid); sleep {seconds}; echo end"


class Patient:
    """A service to which things are done, and what can be seen of it from outside."""

    def __init__(self, service: Service, base: str) -> None:
        self.service = service
        self.machine = machine.for_settings(service.settings)
        self.base = make(self.machine, base)
        self.podman = Podman(self.machine.podman, self.machine.environment)
        self.stack = quick()

    # -- ask and see ----------------------------------------------------------------------------------------------

    def submit(self, *packages: str, **fields: Any) -> str:
        """Submit; without packages, with the stack that is built but once."""
        return self.service.submit({"base": self.base, "packages": list(packages or [self.stack]), **fields})

    def status(self, inspection_id: str) -> dict[str, Any]:
        return self.service.client.status(inspection_id)

    def item(self, inspection_id: str, item: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.status(inspection_id)["job"]["pods"][item]
        return found

    def build_log(self, inspection_id: str) -> str:
        return b"".join(self.service.client.build_log(inspection_id)).decode()

    def output(self, inspection_id: str, item: int = 0) -> str:
        return b"".join(self.service.client.item_log(inspection_id, item)).decode()

    def building(self, inspection_id: str) -> Path:
        """Wait until the slow package of a build is being installed; returns the directory of the build."""
        wait_until(lambda: "to go" in self.build_log(inspection_id))
        return self.build_path(inspection_id)

    def build_path(self, inspection_id: str) -> Path:
        container: str = self.status(inspection_id)["build"]["container"]
        return self.service.state_dir / "builds" / container.removeprefix("build-")

    def running(self, inspection_id: str, item: int = 0) -> dict[str, Any]:
        """Wait until a script has printed its token; returns what podman says of its container."""
        container, log = f"{inspection_id}-{item}-run", self.item_path(inspection_id, item, "log")
        wait_until(lambda: self.podman.inspect_container(container))  # until then, the log may be the attempt's before
        wait_until(lambda: log.exists() and "token" in log.read_text())
        found = self.podman.inspect_container(container)
        assert found is not None
        return found

    def item_path(self, inspection_id: str, item: int, *names: str) -> Path:
        return self.service.state_dir.joinpath("inspections", inspection_id, "items", str(item), *names)

    # -- what must be ---------------------------------------------------------------------------------------------

    def once(self, inspection_id: str, attempts: int = 1, phase: str = "succeeded") -> None:
        """The inspection ends, and each of its items has run once (in that many attempts) and left one report."""
        status = self.service.wait(inspection_id, *OVER)
        assert status["phase"] == phase, (status, self.service.log.read_text()[-3000:])
        for item in status["job"]["pods"]:
            assert item["attempt"] == attempts, self.service.log.read_text()[-3000:]
            printed = self.output(inspection_id, item["item"])
            assert re.fullmatch(r"token \S+\nend\n", printed), printed
            report = self.service.client.result(inspection_id, item["item"])["result"]
            assert (report["stdout_text"], report["exit_code"]) == (printed, 0)

    def leaves_nothing(self) -> None:
        """Nothing of what the service started is left."""
        end = time.monotonic() + 30
        while left := [*self.pods(), *self.strays()]:
            assert time.monotonic() < end, left
            time.sleep(0.2)

    def pods(self) -> list[str]:
        label = f"label={INSTANCE_LABEL}={instance(self.service.state_dir)}"
        return self.podman.call("pod", "ps", "--filter", label, "--format", "{{.Name}}").split()

    def strays(self) -> list[str]:
        """Command lines of processes that have to do with this service and are no part of it."""
        assert self.service.process is not None
        parts = {self.service.process.pid, *self.service.parts("")}
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdecimal() and int(process.name) not in {os.getpid(), *parts}:
                with contextlib.suppress(OSError):
                    command, mounts = (process / "cmdline").read_text(), (process / "mountinfo").read_text()
                    if f"{self.service.state_dir}/" in command or f"{self.service.state_dir}/" in mounts:
                        found.append(command)
        return found

    # -- what is done to it ---------------------------------------------------------------------------------------

    def kill(self, what: str) -> None:
        """kill -9 the controller (which is started again by itself), or all at once, which is started here."""
        if what == "controller":
            self.service.kill("amun controller")
        else:
            self.service.kill()

    def leader(self) -> int:
        """Process id of the controller that acts (proc_locks(5)), 0 if there is none."""
        inode = (self.service.state_dir / "controller.lock").stat().st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return next((int(lock[4]) for lock in locks if lock[1] == "FLOCK" and lock[5].endswith(f":{inode}")), 0)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Patient]:
    """One service for all that it recovers from without being configured anew."""
    settings = {"workers": 1, "grace": 1, "max_runs": 2, "max_builds": 2}
    service = Service(tmp_path_factory.mktemp("recovery") / "state", **settings)
    try:
        service.start()
        yield Patient(service, base)
    finally:
        service.finish()


# -- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["controller", "everything"])
def test_a_build_goes_on_without_those_who_began_it(patient: Patient, what: str) -> None:
    made = patient.submit(slow(3), script=script(0))
    patient.building(made)
    patient.kill(what)
    if what == "everything":
        patient.service.start()
    patient.once(made)
    log = patient.build_log(made)
    assert len(tokens(log)) == 1
    assert log.count("3 to go") == 1
    assert "killed" not in log
    patient.leaves_nothing()


@pytest.mark.parametrize("what", ["controller", "everything"])
def test_an_item_goes_on_without_those_who_began_it(patient: Patient, what: str) -> None:
    made = patient.submit(script=script(3), batch_size=2, parallelism=2)
    patient.running(made, 0)
    patient.running(made, 1)
    patient.kill(what)
    if what == "everything":  # and is started only once the items have ended, unseen
        wait_until(lambda: all("end" in patient.item_path(made, item, "log").read_text() for item in (0, 1)))
        patient.service.start()
    patient.once(made)
    patient.leaves_nothing()


def test_a_controller_may_be_killed_at_any_moment_of_starting_an_item(patient: Patient) -> None:
    moments = (0.0, 0.1, 0.25, 0.45, 0.7, 1.0)
    made = patient.submit(script=script(0.2), batch_size=len(moments))
    for item, moment in enumerate(moments):
        wait_until(patient.item_path(made, item, "started.json").exists, 60, pause=0.005)
        time.sleep(moment)
        patient.kill("controller")
    patient.once(made)
    patient.leaves_nothing()


@pytest.mark.parametrize("victim", ["podman", "shell", "runtime", "namespace", "network"])
def test_a_build_that_was_killed_begins_again_and_its_log_says_so(patient: Patient, victim: str) -> None:
    made = patient.submit(slow(2), script=script(0))
    build = patient.building(made)
    first = int((build / "pid").read_text())
    own = patient.machine.build_network in WAYS
    # Without root, `podman unshare` comes first, twice, and waits for the program of the namespace.
    processes = (first, *_descendants(first))
    programs = {_proc(pid, "comm").strip(): pid for pid in processes}
    podman = next(pid for pid in processes if _is_podman_build(pid))
    victims = {
        "podman": podman,
        "shell": _parent(first),
        "runtime": _parent(_step(build)),
        "namespace": _parent(podman) if own else 0,
        "network": programs.get(patient.machine.build_network, 0),
    }
    if not victims[victim]:
        pytest.skip(f"there is no such process in builds on the network {patient.machine.build_network}")
    os.kill(victims[victim], signal.SIGKILL)
    patient.once(made)
    log = patient.build_log(made)
    assert "The build was killed; it begins again." in log
    assert len(tokens(log)) == 2
    assert len(tokens(log.partition("The build was killed")[0])) == 1
    patient.leaves_nothing()


def test_a_build_that_is_killed_each_time_is_the_platforms_fault(patient: Patient) -> None:
    made = patient.submit(slow(30), script=script(0))
    build = patient.building(made)
    first = int((build / "pid").read_text())
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(tokens(patient.build_log(made))) == 2)
    os.kill(int((build / "pid").read_text()), signal.SIGKILL)
    status = patient.service.wait(made)
    assert (status["phase"], status["reason"]) == ("error", "BuildKilled")
    assert "killed 2 times" in status["message"]
    assert status["job"]["state"] == "terminated"
    patient.leaves_nothing()


def test_a_build_whose_step_is_killed_ends_with_its_log(patient: Patient) -> None:
    """A step that is killed looks like one that had too little memory."""
    made = patient.submit(slow(30), script=script(0))
    os.kill(_step(patient.building(made)), signal.SIGKILL)
    status = patient.service.wait(made)
    assert (status["phase"], status["reason"]) == ("build_failed", "OutOfMemoryKilled")
    assert "Installing native packages failed" in status["message"]
    assert "30 to go" in patient.build_log(made)
    patient.leaves_nothing()


@pytest.mark.parametrize("victim", ["runner", "monitor"])
def test_an_item_whose_container_is_killed_runs_again_and_its_attempt_says_so(patient: Patient, victim: str) -> None:
    made = patient.submit(script=script(2.5))
    state = patient.running(made)["State"]
    token = patient.output(made)
    os.kill(state["Pid"] if victim == "runner" else state["ConmonPid"], signal.SIGKILL)
    patient.once(made, attempts=2)
    assert token not in patient.output(made)
    assert token.split()[1] in patient.item_path(made, 0, "log.1").read_text()
    patient.leaves_nothing()


@pytest.mark.parametrize("what", [("rm", "--force", "-0-run"), ("pod", "rm", "--force", "-0")], ids=["rm", "pod-rm"])
def test_an_item_whose_container_somebody_removes_runs_again(patient: Patient, what: tuple[str, ...]) -> None:
    made = patient.submit(script=script(2.5))
    patient.running(made)
    patient.podman.call(*what[:-1], made + what[-1])
    patient.once(made, attempts=2)
    patient.leaves_nothing()


def test_an_item_whose_container_somebody_removes_each_time_is_the_platforms_error(patient: Patient) -> None:
    made = patient.submit(script=script(60))
    for attempt in (1, 2):
        wait_until(lambda: patient.item(made)["attempt"] == attempt)  # noqa: B023 - called at once
        patient.running(made)
        patient.podman.call("rm", "--force", f"{made}-0-run")
    status = patient.service.wait(made)
    assert (status["phase"], status["reason"]) == ("error", "PodDeleted")
    item = status["job"]["pods"][0]
    assert (item["attempt"], item["reason"]) == (2, "PodDeleted")
    assert patient.output(made).startswith("token ")
    report = patient.service.client.result(made, 0)["result"]
    assert report["stdout_text"].startswith("token ")
    patient.leaves_nothing()


def test_a_follower_hears_all_of_a_script_though_the_api_is_killed(patient: Patient) -> None:
    made = patient.submit(script="for n in 1 2 3 4 5 6; do echo line $n; sleep 1; done")
    heard: list[bytes] = []
    client = patient.service.client
    follower = threading.Thread(target=lambda: heard.extend(client.item_log(made, 0, follow=True)))
    follower.start()
    wait_until(lambda: b"line 1" in b"".join(heard))
    master, *workers = patient.service.parts("gunicorn")
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: _answers(patient.service), 20)
    orphans = set(patient.service.parts("gunicorn"))
    os.kill(master, signal.SIGKILL)
    wait_until(lambda: not orphans & set(patient.service.parts("gunicorn")), 10)
    wait_until(lambda: _answers(patient.service), 20)
    follower.join(30)
    assert b"".join(heard) == b"".join(b"line %d\n" % n for n in range(1, 7))
    assert patient.service.wait(made)["phase"] == "succeeded"


def test_controllers_that_stand_by_take_over(patient: Patient) -> None:
    command = [sys.executable, "-m", "amun", "controller"]
    moments = (0.1, 0.4)
    with patient.service.log.open("ab") as log:
        others = [subprocess.Popen(command, env=patient.service.environment, stdout=log, stderr=log) for _ in moments]
    try:
        made = patient.submit(quick(), script=script(0.2), batch_size=len(moments))
        for item, moment in enumerate(moments):
            wait_until(patient.item_path(made, item, "started.json").exists, 60, pause=0.005)
            time.sleep(moment)
            os.kill(wait_until(patient.leader), signal.SIGKILL)
        patient.once(made)
        assert len(tokens(patient.build_log(made))) == 1
    finally:
        for process in others:
            process.terminate()
            process.wait(20)
    patient.once(patient.submit(script=script(0)))
    patient.leaves_nothing()


def test_an_image_that_somebody_removed_is_built_again(patient: Patient) -> None:
    made = patient.submit(quick(), script=script(0))
    image = patient.service.wait(made)["build"]["image"]
    wait_until(lambda: not patient.pods())
    patient.podman.call("rmi", "--force", image)
    environment = patient.status(made)["build"]["environment"]
    assert not PodmanEngine(Settings(state_dir=patient.service.state_dir)).has_environment(environment)
    again = patient.submit(*patient.service.client.specification(made)["specification"]["packages"], script=script(0))
    patient.once(again)
    patient.leaves_nothing()


def test_an_image_that_is_removed_again_is_built_again_once_and_then_given_up(
    own_service: Callable[..., Service], base: str
) -> None:
    patient = Patient(own_service(max_runs=1, max_builds=2).start(), base)

    def takes_the_place() -> str:
        return patient.submit(script="echo started; sleep 300")

    def goes_on(blocker: str, *, only: bool) -> None:
        """Remove the image, and let `blocker` make place."""
        wait_until(lambda: "started" in patient.output(blocker))
        wait_until(lambda: patient.status(made)["build"]["state"] == "terminated")
        assert patient.status(made)["job"]["active"] == 0  # there is one place, and the blocker has it
        patient.podman.call("rmi", "--force", patient.status(made)["build"]["image"])
        if not only:
            blockers.append(takes_the_place())
        patient.service.client.cancel(blocker)

    blockers = [takes_the_place()]
    wait_until(lambda: "started" in patient.output(blockers[0]))
    made = patient.submit(slow(2), script=script(0))
    goes_on(blockers[0], only=False)
    wait_until(lambda: patient.status(made)["phase"] == "building")
    assert len(tokens(patient.build_log(made))) >= 1
    goes_on(blockers[1], only=True)
    status = patient.service.wait(made)
    assert (status["phase"], status["reason"]) == ("error", "ImageGone")
    assert "removed again" in status["message"]
    assert patient.output(made) == ""
    assert len(tokens(patient.build_log(made))) == 2
    patient.once(
        patient.submit(*patient.service.client.specification(made)["specification"]["packages"], script=script(0))
    )


# -- corrupt ----------------------------------------------------------------------------------------------------------

RUBBISH = [b"", b"{", b"null", b"[]", b'{"some": "thing"}', b"\xff\xfe\x00"]


@pytest.fixture(scope="module")
def finished(patient: Patient) -> Iterator[Callable[[], str]]:
    """Copies of a finished inspection under ids of their own, to be corrupted; deleted in the end."""
    state = patient.service.state_dir
    original = patient.submit(script=script(0))
    patient.once(original)
    order = next(name for name in os.listdir(state / "index") if name.endswith(original)).partition("-")[0]
    copies: list[str] = []

    def copy() -> str:
        name = f"inspection-{os.urandom(8).hex()}"
        shutil.copytree(state / "inspections" / original, state / "inspections" / name)
        (state / "index" / f"{order}-{name}").touch()
        copies.append(name)
        return name

    yield copy
    for name in copies:
        patient.service.client.delete(name)


@pytest.mark.parametrize("name", ["record.json", "items/0/state.json"])
def test_what_cannot_be_read_any_more_is_said_and_harms_no_other(
    patient: Patient, finished: Callable[[], str], name: str
) -> None:
    corrupt = [finished() for _ in RUBBISH]
    for inspection_id, rubbish in zip(corrupt, RUBBISH, strict=True):
        (patient.service.state_dir / "inspections" / inspection_id / name).write_bytes(rubbish)
    whole = finished()
    for inspection_id in corrupt:
        status = patient.status(inspection_id)
        assert (status["phase"], status["reason"]) == ("error", "StateCorrupt"), (inspection_id, status)
        assert "corrupt" in status["message"]
        assert patient.service.client.detail(inspection_id)["status"]["phase"] == "error"
    listed = {one["inspection_id"]: one["phase"] for one in patient.service.client.list(limit=100)["items"]}
    assert {listed[inspection_id] for inspection_id in corrupt} == {"error"}
    assert listed[whole] == "succeeded"
    patient.once(whole)
    patient.once(patient.submit(script=script(0)))


def test_marks_keys_and_environments_that_cannot_be_read_stop_nothing(
    patient: Patient, finished: Callable[[], str]
) -> None:
    state = patient.service.state_dir
    for rubbish in (b"", b'{"some": "thing"}', b"\xff\xfe\x00"):
        (state / "inspections" / finished() / "finished").write_bytes(rubbish)
        for directory in ("environments", "idempotency"):
            for path in (state / directory).iterdir():
                path.write_bytes(rubbish)
        assert patient.service.client.list()["items"]
        patient.once(patient.submit(script=script(0)))
    patient.kill("everything")
    patient.service.start()
    patient.once(patient.submit(script=script(0)))
    assert "starting over" not in patient.service.log.read_text()


def test_the_state_of_a_build_is_found_out_again(patient: Patient) -> None:
    package = quick()
    made = patient.submit(package, script=script(0))
    patient.once(made)
    build = patient.build_path(made)
    for name in ("state.json", "started.json"):
        (build / name).write_bytes(b"{")
        patient.once(patient.submit(package, script=script(0)))
    patient.once(made)
    assert len(tokens(patient.build_log(made))) == 1


def test_an_inspection_whose_record_is_corrupt_is_stopped(patient: Patient) -> None:
    made = patient.submit(script="echo token; sleep 600")
    patient.running(made)
    (patient.service.state_dir / "inspections" / made / "record.json").write_bytes(b"{")
    patient.kill("everything")
    patient.service.start()
    status = patient.service.wait(made)
    assert (status["phase"], status["reason"]) == ("error", "StateCorrupt")
    patient.leaves_nothing()
    patient.service.client.delete(made)


def test_an_item_whose_state_is_corrupt_is_taken_up_as_it_runs(patient: Patient) -> None:
    made = patient.submit(script=script(4))
    patient.running(made)
    patient.item_path(made, 0, "started.json").write_bytes(b"{")
    assert patient.status(made)["phase"] in ("pending", "running")
    patient.kill("controller")
    patient.once(made)
    patient.leaves_nothing()


# -- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "amun-test", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
        pytest.skip("a file system can only be mounted as root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _on(disk: Path, own_service: Callable[..., Service]) -> Service:
    """A service, not started yet, whose state is on this disk."""
    service = own_service(max_runs=2)
    service.state_dir = disk / "state"
    service.environment["AMUN_STATE_DIR"] = str(service.state_dir)
    return service


def test_a_full_disk_refuses_submissions_whole_and_what_ended_meanwhile_is_not_lost(
    small_disk: Path, own_service: Callable[..., Service], base: str
) -> None:
    service = _on(small_disk, own_service)
    patient = Patient(service.start(), base)
    patient.once(patient.submit(script=script(0)))
    made = patient.submit(script=script(4))
    patient.running(made)
    with _full(small_disk):
        before = _entries(service.state_dir)
        for document in ({"packages": [patient.stack]}, {"packages": [quick()]}):
            with pytest.raises(ClientError) as refused:
                service.client.submit({"base": patient.base, "script": script(0), **document})
            assert refused.value.status == 503
            assert "No space left on device" in refused.value.error
            assert "/" not in refused.value.error
        assert _entries(service.state_dir) == before
        assert "No space left on device" in _obstacle(service)
        assert patient.status(made)["phase"] == "running"
        assert service.client.list()["total"] == 2
        wait_until(lambda: not (patient.podman.inspect_container(f"{made}-0-run") or {"State": 0})["State"]["Running"])
        time.sleep(3)  # the controller tries, in vain
        assert patient.status(made)["phase"] == "running"
    status = service.wait(made)
    assert status["phase"] == "succeeded"
    patient.once(made, attempts=2)  # no room was left for its report, which the platform is to blame for
    assert patient.item_path(made, 0, "log.1").exists()
    wait_until(lambda: _obstacle(service) == "", 10)
    patient.once(patient.submit(quick(), script=script(0)))
    wait_until(lambda: not patient.pods(), 30)


def test_an_item_whose_own_log_fills_the_disk_ends_as_such_and_gives_the_room_back(
    small_disk: Path, own_service: Callable[..., Service], base: str
) -> None:
    service = _on(small_disk, own_service)
    patient = Patient(service.start(), base)
    patient.once(patient.submit(script=script(0)))
    made = patient.submit(script="seq 3000000; sleep 600")
    status = service.wait(made, timeout=60)
    assert (status["phase"], status["job"]["pods"][0]["reason"]) == ("error", "DiskFull")
    assert status["job"]["pods"][0]["attempt"] == 1
    assert "disk" in status["job"]["pods"][0]["message"]
    assert patient.output(made).startswith("1\n2\n3\n")
    wait_until(lambda: _obstacle(service) == "", 10)
    patient.once(patient.submit(script=script(0)))
    wait_until(lambda: not patient.pods(), 30)


def test_a_build_whose_own_log_fills_the_disk_ends_as_such(
    small_disk: Path, own_service: Callable[..., Service], base: str
) -> None:
    service = _on(small_disk, own_service)
    patient = Patient(service.start(), base)
    made = patient.submit(chatty(20 << 20), script=script(0))
    status = service.wait(made, timeout=60)
    assert (status["phase"], status["reason"]) == ("error", "DiskFull")
    assert "chatty" in patient.build_log(made)
    wait_until(lambda: _obstacle(service) == "", 10)
    patient.once(patient.submit(script=script(0)))


def test_builds_for_which_there_is_no_room_are_counted_once_however_often_they_are_tried(
    small_disk: Path, own_service: Callable[..., Service], base: str
) -> None:
    service = _on(small_disk, own_service)
    service.environment["AMUN_MAX_BUILDS"] = "1"
    patient = Patient(service.start(), base)
    first = patient.submit(slow(6), script=script(0))
    patient.building(first)
    waiting = patient.submit(quick(), script=script(0))
    with _full(small_disk):
        wait_until(lambda: not _lives(patient.build_path(first)), 60)
        time.sleep(4)  # the controller tries, in vain
        assert [patient.status(one)["phase"] for one in (first, waiting)] == ["building", "queued"]
    patient.once(waiting)
    status = service.wait(first)
    assert (status["phase"], status["reason"]) == ("error", "DiskFull")
    assert "/" not in status["message"]
    for one in (first, waiting):
        assert len(tokens(patient.build_log(one))) == 1
        assert "begins again" not in patient.build_log(one)


def _lives(build: Path) -> bool:
    return Path("/proc", (build / "pid").read_text().strip()).exists()


@contextlib.contextmanager
def _full(disk: Path) -> Iterator[None]:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


def _entries(state_dir: Path) -> list[str]:
    """All that submissions make, half-made things included."""
    names = ("inspections", "index", "active", "builds", "environments")
    return sorted(f"{name}/{entry}" for name in names for entry in os.listdir(state_dir / name))


# -- Podman gone ------------------------------------------------------------------------------------------------------


SLOW_PODMAN = """#!/bin/sh
case $1-$2 in kube-play) while [ -e "$0.slow" ]; do sleep 0.1; done ;; esac
exec {podman} "$@"
"""
"""Podman, but starts no pod as long as a certain file lies beside it."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with all programs of this machine, for PATH: what is removed from it is not installed."""
    place = tmp_path_factory.mktemp("programs")
    podman = place / "podman"
    podman.write_text(SLOW_PODMAN.format(podman=shutil.which("podman")))
    podman.chmod(0o755)
    for directory in os.environ["PATH"].split(os.pathsep):
        for program in Path(directory).iterdir() if Path(directory).is_dir() else ():
            with contextlib.suppress(FileExistsError):
                (place / program.name).symlink_to(program)
    return place


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory, programs: Path, base: str) -> Iterator[Service]:
    """A service on whose PATH nothing but `programs` is, not started yet."""
    service = Service(tmp_path_factory.mktemp("without") / "state", workers=1, grace=1, max_runs=2)
    service.environment["PATH"] = str(programs)
    yield service
    service.finish()


def test_without_podman_the_service_says_so_and_goes_on_when_it_is_back(
    programs: Path, without: Service, base: str
) -> None:
    service = without
    with _away(programs / "podman"):
        service.start()
        assert "Podman is not installed" in _obstacle(service)
        with pytest.raises(ClientError, match="Podman is not installed") as refused:
            service.client.submit({"base": base, "script": "true"})
        assert refused.value.status == 503
        assert service.client.list()["total"] == 0
    wait_until(lambda: _obstacle(service) == "", 60)
    patient = Patient(service, base)
    patient.once(patient.submit(script=script(0)))

    made = [patient.submit(script=script(3)), patient.submit(slow(3), script=script(0))]
    patient.running(made[0])
    patient.building(made[1])
    with _away(programs / "podman"):
        wait_until(lambda: "podman cannot be run" in _obstacle(service), 10)
        with contextlib.suppress(ClientError):  # whether the base image has to be asked for, others decide
            made.append(patient.submit(script=script(0)))
        with pytest.raises(ClientError, match="podman cannot be run") as refused:
            service.client.submit({"base": "localhost/amun/never-asked-for:1"})
        assert refused.value.status == 503
        time.sleep(4)
        for inspection_id in made:
            assert patient.status(inspection_id)["phase"] in ("building", "pending", "running")
        assert service.client.list()["total"] == 1 + len(made)
    for inspection_id in made:
        patient.once(inspection_id)
    assert len(tokens(patient.build_log(made[1]))) == 1
    wait_until(lambda: _obstacle(service) == "", 10)
    patient.leaves_nothing()


def test_what_a_killed_controller_was_starting_is_waited_for(programs: Path, without: Service, base: str) -> None:
    """Podman goes on starting the pod; the next controller must not start it a second time beside it."""
    if without.process is None:
        without.start()
    patient = Patient(without, base)
    patient.once(patient.submit(script=script(0)))
    held_up = programs / "podman.slow"
    held_up.touch()
    try:
        made = patient.submit(script=script(0))
        wait_until(patient.item_path(made, 0, "started.json").exists, 60)
        killed = patient.leader()
        patient.kill("controller")
        wait_until(lambda: patient.leader() not in (0, killed), 60)
        time.sleep(3)  # in which the next one does what it will
    finally:
        held_up.unlink()
    patient.once(made)
    patient.leaves_nothing()


SLOW_DU = """#!/bin/sh
touch "$0.called"
while [ ! -e "$0.done" ]; do sleep 0.1; done
echo "9999999999	/"
"""
"""Counts until a file lies beside it."""


def test_what_ends_by_itself_while_its_files_are_counted_was_not_ended(
    programs: Path, own_service: Callable[..., Service], base: str
) -> None:
    du = programs / "du"
    du.unlink(missing_ok=True)
    du.write_text(SLOW_DU)
    du.chmod(0o755)
    service = own_service(max_runs=1, storage_limit=32 << 20)
    service.environment["PATH"] = str(programs)
    patient = Patient(service.start(), base)
    filling = "for i in 1 2 3 4 5 6 7 8; do head -c 16777216 /dev/urandom >/tmp/$i; sleep 1; done"
    made = patient.submit(script=f"{filling}; sleep 5; echo token")
    wait_until(du.with_name("du.called").exists, 60)
    wait_until(lambda: not (patient.podman.inspect_container(f"{made}-0-run") or {"State": 0})["State"]["Running"], 60)
    du.with_name("du.done").touch()
    assert service.wait(made)["phase"] == "succeeded"
    assert patient.output(made) == "token\n"


@contextlib.contextmanager
def _away(program: Path) -> Iterator[None]:
    place = program.parent.parent / f"{program.name}-away"
    program.rename(place)
    try:
        yield
    finally:
        place.rename(program)


# -- small things -----------------------------------------------------------------------------------------------------


def _obstacle(service: Service) -> str:
    """What /readiness says is in the way, nothing if it is ready."""
    answer = requests.get(f"{service.url}/readiness", timeout=60)
    assert answer.status_code in (200, 503)
    return "" if answer.status_code == 200 else answer.json()["error"]


def _answers(service: Service) -> bool:
    try:
        return requests.get(f"{service.url}/liveness", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _step(build: Path) -> int:
    """The first process of the container in which a build installs native packages."""
    mark = f"{build.name}/mark "
    for path in Path("/proc").iterdir():
        pid = int(path.name) if path.name.isdecimal() else 0
        if mark in _proc(pid, "mountinfo") and "\0/opt/amun/build/native.sh\0" in _proc(pid, "cmdline"):
            return pid
    raise AssertionError(f"no step of {build} is running")


def _is_podman_build(pid: int) -> bool:
    program, *arguments = _proc(pid, "cmdline").split("\0")
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    return Path(program).name == "podman" and command == "build"


def _proc(pid: int, name: str) -> str:
    try:
        return Path("/proc", str(pid), name).read_text(errors="replace")
    except OSError:
        return ""


def _descendants(pid: int) -> Iterator[int]:
    for thread in Path("/proc", str(pid), "task").iterdir():
        for child in map(int, _proc(pid, f"task/{thread.name}/children").split()):
            yield child
            yield from _descendants(child)


def _parent(pid: int) -> int:
    return int(_proc(pid, "stat").rpartition(")")[2].split()[1])
