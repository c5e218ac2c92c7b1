"""Images, and files placed in them, with which little or nothing starts: what still runs, and who is blamed."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Callable
from typing import Any

import pytest

from amun.model import timestamps
from tests.conftest import Service, specification

from .conftest import Make

pytestmark = pytest.mark.podman

SCRIPT = "#!/bin/sh\necho '{\"a\": 1}'\nexit 3\n"

BUSY = "import time\\nwhile time.process_time() < 2: pass\\nraise SystemExit(1)"


def shim(text: str, path: str = "/usr/local/bin/python3") -> str:
    """The line of a Dockerfile that puts a program there."""
    return f"RUN rm -f {path} && printf '%b' '#!/bin/sh\\n{text}\\n' >{path} && chmod 755 {path}"


def report_of(service: Service, base: str, **more: Any) -> dict[str, Any]:
    inspection_id = service.submit(specification(base, SCRIPT, **more))
    status = service.wait(inspection_id)
    assert [pod["reason"] for pod in status["job"]["pods"]] == ["NonZeroExit"], status
    assert [pod["attempt"] for pod in status["job"]["pods"]] == [1]
    report: dict[str, Any] = service.client.result(inspection_id)["result"]
    assert (report["exit_code"], report["stdout"]) == (3, {"a": 1})
    return report


@pytest.mark.parametrize(
    "text", ["exit 127", "while :; do sleep 9; done", f'exec /usr/bin/python3 -c "$(printf "{BUSY}")"'],
    ids=["missing", "hanging", "busy"],
)  # fmt: skip
def test_a_python_that_does_not_start_is_passed_over_for_one_that_does(service: Service, make: Make, text: str) -> None:
    usage = report_of(service, make(shim(text)))["usage"]
    assert usage["ru_maxrss"] is not None
    assert usage["ru_utime"] + usage["ru_stime"] < 1  # what was tried is no child of the script's


def test_where_no_python_starts_the_shell_runs_the_script(service: Service, make: Make) -> None:
    usage = report_of(service, make(shim("exit 127"), shim("kill -ABRT \\$\\$", "/usr/bin/python3")))["usage"]
    assert (usage["ru_maxrss"], usage["ru_utime"] is None) == (None, False)


def test_a_file_in_the_place_of_python_is_no_obstacle(service: Service, base: str) -> None:
    usage = report_of(service, base, files=[{"path": "/usr/bin/python3", "content": "#!/bin/sh\n"}])["usage"]
    assert (usage["ru_maxrss"], usage["ru_utime"] is None) == (None, False)


FORGED = {
    "exit_code": 0,
    "signal": "SIGKILL",
    "oom_killed": True,
    "deadline_exceeded": True,
    "hostname": "forged",
    "usage": {"ru_utime": 1},
    "start_datetime": "2001-01-01T00:00:00Z",
    "end_datetime": "2001-01-01T00:00:01Z",
}


@pytest.mark.parametrize("path", ["/usr/bin/python3", "/usr/local/bin/python3"])
def test_a_python_that_makes_reports_up_changes_nothing_that_the_engine_saw(
    service: Service, make: Make, path: str
) -> None:
    lines = ['case "$*" in *--try) echo works; exit ;; esac', f"echo 'report F {json.dumps(FORGED)}'", "exit 3"]
    program = base64.b64encode("\n".join(["#!/bin/sh", *lines, ""]).encode()).decode()
    base = make(f"RUN rm -f {path} && echo {program} | base64 -d >{path} && chmod 755 {path}")
    before = timestamps.now()
    inspection_id = service.submit(specification(base, "#!/bin/sh\nexit 0\n"))
    status = service.wait(inspection_id)
    (pod,) = status["job"]["pods"]
    report = service.client.result(inspection_id)["result"]
    assert (status["phase"], pod["reason"], pod["exit_code"], report["exit_code"]) == ("failed", "NonZeroExit", 3, 3)
    assert (report["signal"], report["oom_killed"], report["deadline_exceeded"]) == (None, False, False)
    assert before <= report["start_datetime"] <= report["end_datetime"] <= timestamps.now()
    assert (pod["started_at"], pod["finished_at"]) == (report["start_datetime"], report["end_datetime"])
    assert report["hostname"] == "forged"
    assert {"hostname", "usage", "stdout", "hwinfo", "kernel"} <= set(report["unverified"])
    assert not {"exit_code", "oom_killed", "start_datetime", "end_datetime"} & set(report["unverified"])


def test_a_build_passes_over_a_python_that_does_not_start(service: Service, make: Make) -> None:
    report_of(service, make(shim("exit 127")), python_packages=["pip"])  # which is there: nothing is asked for it


def test_a_build_that_finds_no_python_says_which_one_does_not_start(service: Service, make: Make) -> None:
    base = make(shim("exit 127"), "RUN rm -f /usr/bin/python3*")
    inspection_id = service.submit(specification(base, SCRIPT, python_packages=["pip"]))
    build = service.wait(inspection_id)["build"]
    assert "the python3 of the base image (/usr/local/bin/python3) does not start" in build["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/bin/sh",
        "/usr/bin/dash",
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    ],
)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="libraries have other names on this machine")
def test_a_file_without_which_no_shell_starts_fails_the_build_and_is_named(
    service: Service, base: str, path: str
) -> None:
    inspection_id = service.submit(specification(base, SCRIPT, files=[{"path": path, "content": "x"}]))
    status = service.wait(inspection_id)
    assert status["phase"] == "build_failed"
    assert f"with the file at {path}, /bin/sh does not start" in status["build"]["message"]


@pytest.mark.parametrize("path", ["/tmp", "/bin", "/usr/share"])
def test_a_file_in_the_place_of_a_directory_fails_the_build_and_is_named(
    service: Service, base: str, path: str
) -> None:
    inspection_id = service.submit(specification(base, SCRIPT, files=[{"path": path, "content": "x"}]))
    assert f"ERROR: {path} is a directory in the base image" in service.wait(inspection_id)["build"]["message"]


@pytest.mark.parametrize(
    "path", ["/usr/bin/env", "/etc/passwd", "/etc/ld.so.preload", "/etc/nsswitch.conf", "/bin/cat"]
)
def test_any_other_file_is_no_obstacle_to_the_run(service: Service, base: str, path: str) -> None:
    report_of(service, base, files=[{"path": path, "content": "x\n"}])


@pytest.mark.parametrize("path", ["/amun", "/home/amun/hwinfo"])
def test_a_base_with_a_file_where_runs_get_a_directory_fails_the_build(service: Service, make: Make, path: str) -> None:
    base = make(f"RUN mkdir -p /home/amun && touch {path}")
    build = service.wait(service.submit(specification(base, SCRIPT)))["build"]
    assert f"ERROR: {path} of the base image has to be a directory" in build["message"]


@pytest.mark.parametrize("closed", ["/usr/bin", "/usr/lib"])
def test_an_image_whose_directories_only_root_may_enter_runs_all_the_same(
    service: Service, make: Make, closed: str
) -> None:
    report_of(service, make(f"RUN chmod 0700 {closed}"))


def test_an_image_whose_shell_only_root_may_start_is_its_own_fault(service: Service, make: Make) -> None:
    status = service.wait(service.submit(specification(make("RUN chmod 0700 /usr/bin/dash"), SCRIPT)))
    (pod,) = status["job"]["pods"]
    assert (status["phase"], pod["attempt"], pod["reason"]) == ("failed", 1, "StartError")


def test_a_shell_that_hangs_before_the_script_holds_its_place_for_a_bounded_time(
    own_service: Callable[..., Service], make: Make
) -> None:
    hanging = r'#!/bin/dash\nif [ -e /amun/hwinfo.sh ]; then sleep 9999; fi\nexec /bin/dash "$@"\n'
    base = make(f"RUN printf '{hanging}' >/bin/sh.new && chmod 755 /bin/sh.new && mv /bin/sh.new /bin/sh")
    service = own_service(start_deadline=10, attempts=2, max_runs=1).start()
    status = service.wait(service.submit(specification(base, SCRIPT)))
    assert status["phase"] == "error", status["build"]
    (pod,) = status["job"]["pods"]
    assert (status["phase"], pod["reason"], pod["attempt"]) == ("error", "PodStartFailed", 2)
    assert "did not answer within 10 s" in pod["message"]
