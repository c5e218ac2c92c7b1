"""Hostile scripts: what each tries is at the top of its file in tests/hostile.

All of them run at once, as many as there is place for, on a service with small limits, and honest ones between them.
The hostile ones must get a true report, the honest ones must not notice, and nothing may be left on the machine.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests

from amun.engines.podman.engine import INSTANCE_LABEL, instance
from amun.engines.podman.host.facts import file_system
from amun.engines.podman.host.machine import for_settings
from amun.engines.podman.podman_cli import Podman
from amun.settings import Settings
from tests.conftest import Service, wait_until

pytestmark = [pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(420)]

CORPUS = Path(__file__).parent.parent / "hostile"
MEBIBYTE = 1 << 20
LIMIT = MEBIBYTE
PROCESSES = 64
AT_ONCE = 4
TIMEOUT = 8
"""Seconds a script has, where it does not need more."""

HONEST = """#!/bin/sh
ls -A /home/amun /home/amun/hwinfo
cat "$0"
i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done
echo $i >&2
"""


@dataclass(frozen=True)
class Expected:
    """What the status and the report of a hostile script must say; an exit code or output of None may be any."""

    reason: str = "Completed"
    exit_code: int | None = 0
    signal: str | None = None
    phase: str | None = None
    stdout: str | None = None
    oom_killed: bool = False
    deadline_exceeded: bool = False
    truncated: tuple[bool, bool] = (False, False)
    seconds: int = TIMEOUT
    memory: str = "64Mi"
    attempt: int = 1


KILLED: dict[str, Any] = {"exit_code": 137, "signal": "SIGKILL"}
TERMINATED: dict[str, Any] = {"exit_code": 143, "signal": "SIGTERM"}
LATE = Expected("DeadlineExceeded", **TERMINATED, deadline_exceeded=True, seconds=3)
LATE_AND_DEAF = dataclasses.replace(LATE, **KILLED)
FULL = Expected("StorageLimitExceeded", **KILLED, seconds=120, memory="256Mi")
OOM = Expected("OOMKilled", **KILLED, oom_killed=True)
NOTHING = Expected(stdout="[]\n")

EXPECTED = {
    "binary_output.py": Expected(),
    "burns_cpu.py": LATE,
    "closes_everything.sh": Expected("NonZeroExit", 4, stdout=""),
    "crashes.sh": Expected("NonZeroExit", 139, "SIGSEGV"),
    "daemon.py": Expected(stdout="daemon started\n"),
    "deep_directories.py": Expected(seconds=120),
    "endless_output.sh": dataclasses.replace(LATE, truncated=(True, True)),
    "fill_deleted.py": FULL,
    "fill_hwinfo.sh": FULL,
    "fill_inodes.py": FULL,
    "fill_mapped.py": dataclasses.replace(FULL, memory="1Gi"),
    "fill_shm.sh": Expected(memory="256Mi"),
    "fill_tmp.sh": FULL,
    "first_process.py": NOTHING,
    "forges_and_kills.sh": Expected("NonZeroExit", 7),
    "forges_for_ever.sh": Expected("NonZeroExit", 3),
    "forges_frames.sh": Expected("NonZeroExit", 7),
    "forges_report.sh": Expected("NonZeroExit", 7),
    "fork_bomb.sh": LATE,
    "fork_bomb_left_behind.sh": Expected(),
    "holds_pipes.sh": Expected("NonZeroExit", 3, stdout="gone\n"),
    "ignores_signals.sh": LATE_AND_DEAF,
    "json_traps.py": Expected(),
    "kernel_settings.py": NOTHING,
    "kills_everything.sh": Expected("NonZeroExit", 5, stdout="alone\n"),
    "kills_first.sh": Expected("NonZeroExit", 6),
    "kills_helpers.sh": Expected("NonZeroExit", 3),
    "limits_runner.py": NOTHING,
    "long_line.sh": Expected(truncated=(True, False)),
    "memory_hog.py": dataclasses.replace(OOM, stdout="before\n"),
    "memory_hog.sh": dataclasses.replace(OOM, stdout="before\n"),
    "memory_hog_armoured.py": Expected(stdout="True\n", oom_killed=True),
    "memory_hog_runner.py": dataclasses.replace(OOM, exit_code=None, signal=None),
    "memory_hog_child.py": Expected(stdout="9\n9\n9\n", oom_killed=True),
    "names.py": Expected(),
    "network.py": NOTHING,
    "pretends_stop.sh": Expected("NonZeroExit", 7),
    "privileges.py": NOTHING,
    "secrets.py": NOTHING,
    "short_lines.sh": Expected(stdout="\n" * 40000 + "last\n"),
    "sleeps.sh": dataclasses.replace(LATE, stdout="good night\n"),
    "sparse_file.sh": Expected(),
    "stops_itself.sh": LATE_AND_DEAF,
    "tampers.sh": Expected("NonZeroExit", 8, stdout=""),
    "threads.py": Expected(),
    "zombies.py": Expected(stdout="all gone\n"),
}
"""What the runner in Python makes of each."""

WITHOUT_PYTHON = {
    **{name: EXPECTED[name] for name in ("closes_everything.sh", "crashes.sh", "forges_frames.sh", "forges_report.sh")},
    **{name: EXPECTED[name] for name in ("holds_pipes.sh", "kills_first.sh")},
    **{name: EXPECTED[name] for name in ("memory_hog.sh", "pretends_stop.sh", "short_lines.sh", "tampers.sh")},
    **{name: EXPECTED[name] for name in ("forges_for_ever.sh", "ignores_signals.sh", "sleeps.sh", "stops_itself.sh")},
    "fork_bomb.sh": LATE,
    "endless_output.sh": dataclasses.replace(LATE, truncated=(True, True), seconds=15),
    # A shell takes a line in one byte after the other, and drops one that does not fit.
    "long_line.sh": dataclasses.replace(LATE, stdout="", truncated=(True, False), seconds=TIMEOUT),
    # Who reads its output is of the same user: one that kills it writes into a broken pipe.
    "kills_helpers.sh": Expected("NonZeroExit", 3, truncated=(True, True)),
    "kills_everything.sh": Expected("NonZeroExit", 5, truncated=(True, True)),
    "forges_and_kills.sh": Expected("NonZeroExit", 7, truncated=(True, True)),
}
"""What the runner for images without Python makes of those that it may see otherwise."""

# What is ended by looking is ended whole, or has come to its own end before, for want of data (RLIMIT_DATA).
ENDED_WHOLE = dataclasses.replace(OOM, stdout=None)
REFUSED_MEMORY = Expected("NonZeroExit", 1, stdout="before\n")
WITHOUT_MEMORY_LIMIT = {
    "memory_hog.py": (ENDED_WHOLE, REFUSED_MEMORY),
    "memory_hog.sh": (ENDED_WHOLE, dataclasses.replace(REFUSED_MEMORY, exit_code=2)),
    "memory_hog_armoured.py": (ENDED_WHOLE,),
    "memory_hog_child.py": (ENDED_WHOLE, Expected()),
}
"""What becomes of those where no control group limits memory."""

FULL_IN_MEMORY = (OOM, Expected(oom_killed=True))
"""What becomes of those that fill the disk where Podman's storage is in memory: a script may outlive its child."""

MAPPED = ("fill_mapped.py",)
"""Scripts that hide what they write from all but root."""

RUNNERS = {"python": EXPECTED, "shell": WITHOUT_PYTHON}
CASES = [(runner, name) for name in sorted(EXPECTED) for runner in RUNNERS if name in RUNNERS[runner]]


class Gauge:
    """Looks at the machine and at the service while the scripts run."""

    def __init__(self, url: str) -> None:
        self.answers: list[float] = []
        self.processes: list[int] = []
        self.free: list[int] = []
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Gauge:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            start = time.monotonic()
            assert requests.get(f"{self._url}/liveness", timeout=30).status_code == 200
            self.answers.append(time.monotonic() - start)
            self.processes.append(sum(name.isdecimal() for name in os.listdir("/proc")))
            disk = os.statvfs("/var/lib")
            self.free.append(disk.f_bavail * disk.f_frsize)


@dataclass
class Battle:
    """All inspections, over: their ids by script and runner, those of the honest ones, and what was seen meanwhile."""

    service: Service
    ids: dict[tuple[str, str], str]
    honest: list[str]
    gauge: Gauge
    texts: dict[str, str]

    def status(self, inspection_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.service.client.status(inspection_id)
        return found

    def report(self, inspection_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.service.client.result(inspection_id)["result"]
        return found


@pytest.fixture(scope="module")
def images(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Base images by the runner that their scripts get: one with Python, one without."""
    name = "localhost/amun/test-hostile:shell"
    machine = for_settings(Settings())
    podman = Podman(machine.podman, machine.environment)
    dockerfile = f"FROM {base}\nUSER 0\nRUN rm -rf /usr/bin/python3* /usr/libexec/platform-python\n"
    directory = str(tmp_path_factory.mktemp("context"))
    podman.call("build", "--network", "none", "-t", name, "-f", "-", directory, stdin=dockerfile.encode(), timeout=300)
    yield {"python": base, "shell": name}
    podman.call("image", "rm", "--force", name)


@pytest.fixture(scope="module")
def battle(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battle]:
    directory = tmp_path_factory.mktemp("hostile")
    limits = {"output_limit": LIMIT, "storage_limit": 256 * MEBIBYTE, "pids_limit": PROCESSES}
    service = Service(directory / "state", workers=2, max_runs=AT_ONCE, max_builds=1, grace=1, **limits)
    try:
        service.start()
        with Gauge(service.url) as gauge:
            fought = fight(service, images, gauge)
            wait_until(lambda: all(one["finished_at"] for one in service.client.list(limit=100)["items"]), 360, 2)
        yield fought
    finally:
        service.finish()


def fight(service: Service, images: dict[str, str], gauge: Gauge) -> Battle:
    """Submit all hostile scripts, and an honest one after every few."""
    ids, honest, texts = {}, [], {}
    known = {"@PORT@": str(service.port), "@STATE@": str(service.state_dir)}
    for number, (runner, name) in enumerate(CASES):
        text = (CORPUS / name).read_text()
        for place, value in known.items():
            text = text.replace(place, value)
        texts[name] = text
        limits = RUNNERS[runner][name]
        run = {"timeout": limits.seconds, "requests": {"cpu": "500m", "memory": limits.memory}}
        document = {"base": images[runner], "script": text, "run": run}
        ids[runner, name] = service.submit(document)
        if number % 8 == 0:
            honest.append(service.submit({"base": images["shell" if number % 16 else "python"], "script": HONEST}))
    return Battle(service, ids, honest, gauge, texts)


def test_every_hostile_script_is_expected_to_do_something() -> None:
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(EXPECTED)


def compared(wanted: Expected, status: dict[str, Any], report: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What status and report say, as far as it matters, and what they should."""
    item = status["job"]["pods"][0]
    seen = {
        "reason": item["reason"],
        "exit_code": report["exit_code"] if wanted.exit_code is not None else None,
        "signal": report["signal"] if wanted.exit_code is not None else None,
        "phase": status["phase"],
        "stdout": report["stdout_text"] if wanted.stdout is not None else None,
        "oom_killed": report["oom_killed"],
        "deadline_exceeded": report["deadline_exceeded"],
        "truncated": (report["truncated"]["stdout"], report["truncated"]["stderr"]),
        "attempt": item["attempt"],
    }
    phase = wanted.phase or ("succeeded" if wanted.exit_code == 0 else "failed")
    return seen, {**{key: getattr(wanted, key) for key in seen}, "phase": phase}


def stored_in_memory() -> bool:
    """Whether the layers and volumes of runs are in memory. The state directory has none of what runs write to disk."""
    machine = for_settings(Settings())
    place = Podman(machine.podman, machine.environment).call("info", "--format", "{{.Store.GraphRoot}}").strip()
    return file_system(Path(place)) in ("tmpfs", "ramfs")


@pytest.mark.parametrize(("runner", "name"), CASES)
def test_a_hostile_script_gets_a_true_report(battle: Battle, runner: str, name: str) -> None:
    if name in MAPPED and os.geteuid() != 0:
        pytest.skip("only root sees files without a name that are mapped and not open")
    inspection_id, wanted = battle.ids[runner, name], RUNNERS[runner][name]
    status, report = battle.status(inspection_id), battle.report(inspection_id)
    weak = WITHOUT_MEMORY_LIMIT.get(name, ()) if "memory" in report["weak_limits"] else ()
    seen, expected = compared(wanted, status, report)
    full = FULL_IN_MEMORY if wanted.reason == FULL.reason and stored_in_memory() else ()
    others = [compared(one, status, report) for one in (*weak, *full)]
    assert seen == expected or any(said == other for said, other in others), report["stderr"][:2000]
    assert status["job"]["pods"][0]["exit_code"] == report["exit_code"]
    if wanted.reason != "ScriptMismatch":
        assert report["script_sha256"] == sha256(battle.texts[name].encode()).hexdigest()
    assert len(report["stdout_text"].encode()) <= 3 * LIMIT  # bytes that are no text become three
    assert len(report["stderr"].encode()) <= 3 * LIMIT


def test_honest_inspections_notice_nothing(battle: Battle) -> None:
    for inspection_id in battle.honest:
        report = battle.report(inspection_id)
        assert battle.status(inspection_id)["phase"] == "succeeded"
        assert report["stdout_text"] == f"/home/amun:\nhwinfo\n\n/home/amun/hwinfo:\ninfo.json\npython\n{HONEST}"
        assert report["stderr"] == "50000\n"
        assert report["usage"]["ru_utime"] < 5
        assert report["hwinfo"]["cpu_info"]["count"] >= 1


def test_the_service_answers_quickly_meanwhile(battle: Battle) -> None:
    if "cpu" in battle.report(battle.honest[0])["weak_limits"]:
        pytest.skip("nothing keeps scripts from taking all CPUs of this machine")
    answers = sorted(battle.gauge.answers)
    assert len(answers) > 50
    assert answers[len(answers) // 2] < 0.1
    assert answers[-1] < 5


def test_processes_and_disk_of_the_machine_stay_bounded(battle: Battle) -> None:
    processes = battle.gauge.processes
    assert max(processes) < processes[0] + AT_ONCE * (PROCESSES + 20) + 200
    assert max(battle.gauge.free) - min(battle.gauge.free) < 8 << 30  # others write to this disk too


def test_memory_and_descriptors_of_the_service_stay_bounded(battle: Battle) -> None:
    for pid in battle.service.parts("amun"):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        assert peak < 400 * 1024, pid
        assert len(os.listdir(f"/proc/{pid}/fd")) < 60


def test_nothing_is_left_on_the_machine(battle: Battle) -> None:
    machine = for_settings(battle.service.settings)
    podman = Podman(machine.podman, machine.environment)

    def left() -> list[str]:
        label = f"label={INSTANCE_LABEL}={instance(battle.service.state_dir)}"
        pods = podman.call("pod", "ps", "--filter", label, "--format", "{{.Name}}").split()
        volumes = podman.call("volume", "ls", "--format", "{{.Name}}").split()
        ours = [*battle.ids.values(), *battle.honest]
        return [*pods, *(volume for volume in volumes if any(volume.startswith(one) for one in ours))]

    deadline = time.monotonic() + 60
    while left() and time.monotonic() < deadline:
        time.sleep(1)
    assert left() == []


def test_the_log_of_a_forger_is_what_it_printed(battle: Battle) -> None:
    for runner in ("python", "shell"):
        report = battle.report(battle.ids[runner, "forges_frames.sh"])
        assert report["stdout_text"].startswith('report F {"exit_code": 0, "oom_killed": true')
        assert report["stdout_text"].endswith("stderr P stdout F x\nstdout P unfinished")
        assert report["stderr"] == report["stdout_text"]


def test_bytes_that_are_no_text_are_there_in_the_raw_log(battle: Battle) -> None:
    inspection_id = battle.ids["python", "binary_output.py"]
    url = f"{battle.service.url}/api/v1/inspect/{inspection_id}/job/log"
    raw = requests.get(url, params={"stream": "stdout"}, headers={"Accept": "text/plain"}, timeout=30).content
    assert raw == bytes(range(256)) * 4 + b"\n"


def test_hardware_is_described_as_it_was_before_the_script_changed_it(battle: Battle) -> None:
    for runner in ("python", "shell"):
        hwinfo = battle.report(battle.ids[runner, "tampers.sh"])["hwinfo"]
        assert hwinfo == {
            **battle.report(battle.honest[0])["hwinfo"],
            **{key: hwinfo[key] for key in ("memory", "cgroup", "platform", "cpu_features")},
        }
        assert hwinfo["cpu_info"]["brand_raw"] != "forged"


def test_an_object_that_is_no_json_is_text_only(battle: Battle) -> None:
    report = battle.report(battle.ids["python", "json_traps.py"])
    assert report["stdout"] == {}
    json.dumps(report, allow_nan=False)


def test_threads_are_limited_like_processes(battle: Battle) -> None:
    started = int(battle.report(battle.ids["python", "threads.py"])["stdout_text"])
    assert 10 < started < PROCESSES
