"""The runner where it is meant to be: first process of a container, of an arbitrary uid, with nothing it may do."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from amun.engines.podman.host.machine import Machine, for_settings
from amun.runs.log_frames import frames
from amun.runs.programs import programs
from amun.runs.report import Outcome, assemble, verdict
from amun.settings import Settings

pytestmark = pytest.mark.podman

UID = 10001
PYTHON = ["/bin/sh", "/amun/runner.sh"]
SHELL = ["/bin/sh", "/amun/runner.sh", "--shell"]
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


class Pod:
    """One run in a pod like that of an item, and what is left of it."""

    def __init__(self, machine: Machine, image: str, place: Path) -> None:
        self.machine, self.image, self.place = machine, image, place
        self.name = f"amun-test-runner-{sha256(str(place).encode()).hexdigest()[:12]}"
        self.log = place / "log"

    def podman(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [self.machine.podman, *arguments]
        # Where it is called is where conmon leaves a file when memory runs out.
        options = {"check": True, "capture_output": True, "timeout": 120, "cwd": self.place, **options}
        return subprocess.run(command, env=self.machine.environment, text=True, **options)

    def document(self, command: list[str]) -> dict[str, Any]:
        mounts = [
            {"name": "hwinfo", "mountPath": "/home/amun/hwinfo"},
            {"name": "amun", "mountPath": "/amun", "readOnly": True},
        ]
        common = {
            "image": self.image,
            "imagePullPolicy": "Never",
            "securityContext": RESTRICTED,
            "volumeMounts": mounts,
            "resources": {"limits": {"memory": "64Mi"} if "memory" in self.machine.limits else {}},
        }
        hwinfo = ["/bin/sh", "/amun/hwinfo.sh", "/home/amun/hwinfo/info.json"]
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsUser": UID, "runAsGroup": 0},
            "volumes": [
                {"name": "hwinfo", "emptyDir": {}},
                {"name": "amun", "hostPath": {"path": str(self.place / "amun"), "type": "Directory"}},
            ],
            "initContainers": [{"name": "hwinfo", "command": hwinfo, **common}],
            "containers": [{"name": "run", "command": command, **common}],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec}

    def start(self, runner: list[str], script: str) -> None:
        self.place.chmod(0o755)
        (self.place / "amun").mkdir()
        for name, content in {**programs(), "script": script.encode()}.items():
            (self.place / "amun" / name).write_bytes(content)
            (self.place / "amun" / name).chmod(0o755)
        document = self.place / "pod.json"
        document.write_text(json.dumps(self.document([*runner, "--grace", "5", "/amun/script"])))
        log = ["--log-driver=k8s-file", f"--log-opt=path={self.log}"]
        self.podman("play", "kube", f"--network={self.machine.run_network}", *log, str(document))

    def finish(self) -> tuple[dict[str, Any], Outcome]:
        exit_code = int(self.podman("wait", f"{self.name}-run").stdout)
        outcome = Outcome(exit_code=exit_code)
        return assemble(frames([self.log.read_bytes()]), outcome, "0" * 64), outcome

    def remove(self) -> None:
        self.podman("pod", "rm", "--force", "--time=0", self.name, check=False)


@pytest.fixture
def pod(base: str, tmp_path: Path) -> Iterator[Pod]:
    # The directories above are the test runner's alone; the script's uid has to get through to what is mounted.
    made = Pod(for_settings(Settings()), base, tmp_path)
    yield made
    made.remove()


@pytest.fixture
def run(pod: Pod) -> Callable[[list[str], str], tuple[dict[str, Any], Outcome]]:
    def run_to_end(runner: list[str], script: str) -> tuple[dict[str, Any], Outcome]:
        pod.start(runner, script)
        return pod.finish()

    return run_to_end


@pytest.mark.parametrize("runner", [PYTHON, SHELL], ids=["python", "shell"])
def test_an_item_leaves_a_full_report(run: Any, runner: list[str]) -> None:
    script = '#!/bin/sh\necho "{\\"uid\\": $(id -u)}"\npwd >&2\ncat hwinfo/info.json >/dev/null\nexit 3\n'
    report, outcome = run(runner, script)
    assert report["stdout"] == {"uid": UID}
    assert report["stderr"] == "/home/amun\n"
    assert (report["exit_code"], outcome.exit_code) == (3, 3)
    assert report["script_sha256"] == sha256(script.encode()).hexdigest()
    assert report["hwinfo"]["cpu_info"]["count"] >= 1
    assert report["os_release"]["id"] == "debian"
    assert report["usage"]["ru_utime"] is not None
    assert report["start_datetime"] <= report["end_datetime"]
    assert verdict(report, outcome).reason == "NonZeroExit"


def test_the_script_cannot_speak_for_the_runner(run: Any) -> None:
    attempts = "\n".join(
        f'if ({attempt}) 2>/dev/null; then echo "{number} went through"; fi'
        for number, attempt in enumerate(
            (
                "echo 'report F {}' >/proc/1/fd/1",
                "cat /proc/1/environ",
                "cat /proc/1/mem",
                "kill -9 1 && sleep 0.5 && ! kill -0 1",
                "echo x >/amun/script",
                "timeout 5 cat /proc/$PPID/fd/1",
            )
        )
    )
    report, outcome = run(PYTHON, f"#!/bin/sh\n{attempts}\necho tried")
    assert report["stdout_text"] == "tried\n"
    assert verdict(report, outcome).phase == "succeeded"


@pytest.mark.parametrize("runner", [PYTHON, SHELL], ids=["python", "shell"])
def test_what_is_left_running_in_the_container_does_not_delay_its_end(run: Any, runner: list[str]) -> None:
    start = time.monotonic()
    report, _ = run(runner, "#!/bin/sh\n(trap '' TERM; setsid sleep 100) &\necho over")
    assert report["stdout_text"] == "over\n"
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("runner", [PYTHON, SHELL], ids=["python", "shell"])
def test_a_stopped_pod_still_reports(pod: Pod, runner: list[str]) -> None:
    pod.start(runner, "#!/bin/sh\ntrap 'echo stopped; exit 9' TERM\necho ready\nwhile :; do sleep 0.1; done")
    end = time.monotonic() + 30
    while b"ready" not in pod.log.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.05)
    pod.podman("stop", "--time=20", f"{pod.name}-run")
    report, _ = pod.finish()
    assert (report["stdout_text"], report["exit_code"]) == ("ready\nstopped\n", 9)


@pytest.mark.parametrize("runner", [PYTHON, SHELL], ids=["python", "shell"])
def test_what_was_printed_before_memory_ran_out_is_kept_and_the_reason_is_told(pod: Pod, runner: list[str]) -> None:
    if "memory" not in pod.machine.limits:
        pytest.skip("no memory limits can be set on this machine")
    pod.start(runner, "#!/usr/bin/python3\nprint('begun', flush=True)\nx = bytearray(500_000_000)\nprint('never')")
    report, outcome = pod.finish()
    assert report["stdout_text"] == "begun\n"
    assert (report["exit_code"], report["signal"], report["oom_killed"]) == (137, "SIGKILL", True)
    assert verdict(report, outcome).reason == "OOMKilled"
