"""What `probe` finds on the machine that runs the tests, held against real containers."""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from amun.engines.podman.builds.namespace import build_command
from amun.engines.podman.host import base_image, cgroups, trials
from amun.engines.podman.host.facts import gather
from amun.engines.podman.host.machine import Machine, probe
from amun.engines.podman.podman_cli import Podman
from amun.errors import EngineUnavailable
from amun.processes import doctor

# Tries everything that might lead to the host: slirp4netns's and pasta's names for it, and the gateway.
REACH = """
import socket, sys
routes = [line.split() for line in open("/proc/net/route")][1:]
gateways = [socket.inet_ntoa(bytes.fromhex(route[2])[::-1]) for route in routes if route[2] != "00000000"]
reached = []
for host in ["127.0.0.1", "10.0.2.2", "169.254.1.2", "host.containers.internal", *gateways]:
    try:
        socket.create_connection((host, int(sys.argv[1])), timeout=2)
        reached.append(host)
    except OSError:
        pass
print(reached or "nothing")
"""

pytestmark = pytest.mark.podman


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory that an earlier version has left, with a hook whose program is gone."""
    directory = tmp_path_factory.mktemp("state")
    hooks = directory / "machine" / "hooks"
    hooks.mkdir(parents=True)
    gone = {"version": "1.0.0", "hook": {"path": "/gone"}, "when": {"always": True}, "stages": ["precreate"]}
    (hooks / "pids.json").write_text(json.dumps(gone))
    return directory


@pytest.fixture(scope="module")
def machine(state: Path) -> Machine:
    found = probe(state, pids_limit=123)
    assert found.usable, found.problem
    return found


@pytest.fixture
def podman(machine: Machine) -> Podman:
    return Podman(machine.podman, machine.environment)


def test_a_pod_has_the_limits_that_the_machine_promises(machine: Machine, podman: Podman) -> None:
    version = "v2" if (cgroups.ROOT / "cgroup.controllers").exists() else "v1"
    asked = [limit for limit in machine.limits if limit != "pids"]
    pod = trials.start_pod(podman, machine.run_network, version, asked)
    assert set(pod.limits) == set(machine.limits)
    assert bool(pod.interfaces) == (machine.run_network != "none")


def test_what_an_earlier_version_had_podman_do_is_done_no_more(machine: Machine, state: Path) -> None:
    assert [path.name for path in (state / "machine" / "hooks").iterdir()] == ["precreate.json"]


def test_the_processes_of_a_pod_are_bounded_by_the_setting(machine: Machine, podman: Podman) -> None:
    if "pids" not in machine.limits:
        pytest.skip("this machine cannot limit processes")
    name = f"amun-test-{secrets.token_hex(4)}"
    manifest = json.dumps(trials._pod(name, ())).encode()
    try:
        podman.call("kube", "play", "--quiet", "--network", "none", "-", stdin=manifest)
        pid = podman.call("container", "inspect", "--format", "{{.State.Pid}}", f"{name}-probe").strip()
        groups = dict(cgroups._groups(Path(f"/proc/{pid}/cgroup").read_text()))
        place = cgroups.ROOT / "pids" / groups["pids"][1:] if "pids" in groups else cgroups.ROOT / groups[""][1:]
        assert (place / "pids.max").read_text().strip() == "123"
    finally:
        podman.remove_pods([name])


def test_what_a_pod_writes_is_on_the_disk(machine: Machine, podman: Podman) -> None:
    name = f"amun-test-{secrets.token_hex(4)}"
    manifest = json.dumps(trials._pod(name, ())).encode()
    try:
        podman.call("kube", "play", "--quiet", "--network", "none", "-", stdin=manifest)
        pid = podman.call("container", "inspect", "--format", "{{.State.Pid}}", f"{name}-probe").strip()
        mounts = {line.split()[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()}
        assert {"/", "/proc"} < mounts
        assert not {"/tmp", "/var/tmp", "/run"} & mounts
    finally:
        podman.remove_pods([name])


def test_a_run_does_not_reach_what_listens_on_this_machine_s_loopback(machine: Machine, podman: Podman) -> None:
    if not base_image.present(podman):
        pytest.skip("there is no base image yet")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()  # it listens
        command = [
            "run",
            "--rm",
            "--network",
            machine.run_network,
            base_image.BASE.name,
            "python3",
            "-c",
            REACH,
            str(port),
        ]
        assert podman.call(*command).strip() == "nothing"


def test_nothing_of_a_trial_is_left(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = secrets.token_hex(8)
    monkeypatch.setattr("amun.engines.podman.host.trials.secrets.token_hex", lambda size: mark)
    version = "v2" if (cgroups.ROOT / "cgroup.controllers").exists() else "v1"
    trials.start_pod(podman, "none", version, ())
    with pytest.raises(EngineUnavailable):
        trials.start_pod(podman, "no-such-network", version, ())
    assert mark not in podman.call("pod", "ps", "--format", "{{.Name}}")


def test_the_second_look_costs_no_time(machine: Machine, state: Path) -> None:
    begun = time.perf_counter()
    assert probe(state, pids_limit=123) == machine
    assert time.perf_counter() - begun < 0.1


def test_every_check_says_what_was_chosen_and_why(machine: Machine) -> None:
    names = [check.name for check in machine.checks]
    assert {"podman", "pods", "user namespaces", "runtime", "ulimits", "builds", "network of runs"} <= set(names)
    assert all(check.chosen and check.why for check in machine.checks)
    assert all(check.ok or check.remedy for check in machine.checks if check.needed)


def test_a_network_that_does_not_work_is_reported_and_not_raised(tmp_path: Path) -> None:
    found = probe(tmp_path, run_network="no-such-network")
    assert not found.usable
    assert "no-such-network" in str(found.problem)


def test_the_doctor_says_that_this_machine_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMUN_STATE_DIR", str(tmp_path))
    assert doctor.main(as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["usable"] is True
    assert {check["name"] for check in document["checks"]} >= {
        "podman",
        "registry",
        "base image",
        "known holes of podman",
        "user of builds",
    }


def test_holes_are_tried_with_a_program_of_our_own_and_nothing_of_that_is_left(
    machine: Machine, podman: Podman, tmp_path: Path
) -> None:
    catatonit = Path(gather(machine.environment).programs["catatonit"])
    tried = trials.open_mounts(podman, machine, catatonit, tmp_path)
    assert tried.keys() == set(trials.MOUNTS)
    assert "probe-link" not in podman.call("image", "ls", "--all")  # others make images at the same time
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("program", "is_open"), [("probe", True), ("no-such-probe", False)])
def test_a_mount_is_open_if_a_step_can_run_a_program_behind_it(
    machine: Machine, podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, is_open: bool
) -> None:
    """Here the mount leads into the image itself, as it does where the holes are closed."""
    catatonit = Path(gather(machine.environment).programs["catatonit"])
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "probe").write_bytes(catatonit.read_bytes())
    (tmp_path / "probe").chmod(0o755)
    monkeypatch.setattr(trials, "MOUNTS", {"CVE-0": "type=bind,from={image},source=/"})
    monkeypatch.setattr(trials, "PROGRAM", f"/{program}")
    assert trials.open_mounts(podman, machine, tmp_path / "probe", place) == {"CVE-0": is_open}


def test_the_doctor_fails_where_there_is_no_podman(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMUN_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.main() == 1
    printed = capsys.readouterr().out
    assert "Podman is not installed." in printed
    assert "cannot be used" in printed


def test_warnings_of_podman_are_no_part_of_a_build_s_log_and_what_looks_like_them_is(
    machine: Machine, podman: Podman, tmp_path: Path
) -> None:
    """Podman warns of health checks, which images of its own format do not have, as it does of this machine."""
    trials.make_image(podman, Path(shutil.which("catatonit") or "/usr/bin/catatonit"))
    alike = 'time="2026-01-01T00:00:00Z" level=warning msg="said by the build"'
    (tmp_path / "Dockerfile").write_text(f"FROM {trials.IMAGE}\nHEALTHCHECK CMD true\nLABEL said='{alike}'\n")
    command = build_command(machine, "--layers=false", str(tmp_path))
    built = subprocess.run(command, env=podman.environment, capture_output=True, text=True, check=True)
    podman.call("image", "rm", "--force", built.stdout.split()[-1])
    assert "level=warning" not in (built.stdout + built.stderr).replace(alike, "")
    assert alike in built.stdout
