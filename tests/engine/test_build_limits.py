"""What a build may not do to the machine, nor its log to the reader. Needs Podman."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.client import ClientError
from amun.engines.podman.host import machine
from amun.engines.podman.host.machine import Machine
from amun.settings import Settings
from amun.validation import rules
from tests.conftest import Service, wait_until

pytestmark = [pytest.mark.podman, pytest.mark.slow]


class Bases:
    """Base images of a test's own."""

    def __init__(self, found: Machine, base: str, directory: Path) -> None:
        self.found = found
        self.base = base
        self.directory = directory
        self._made: list[str] = []

    def make(self, *lines: str) -> str:
        """An image of these lines of a Dockerfile, after FROM; its name."""
        name = f"localhost/amun/test-limits:{self.directory.name.lower()}-{len(self._made)}"
        file = self.directory / "Dockerfile"
        file.write_text("\n".join([f"FROM {self.base}", "USER 0", *lines, ""]))
        command = [self.found.podman, "build", "--quiet", "--network=none", "--format=docker", "--tag", name]
        subprocess.run(
            [*command, "--file", str(file), str(self.directory)], env=self.found.environment, check=True, timeout=300
        )
        self._made.append(name)
        return name

    def remove(self) -> None:
        command = [self.found.podman, "image", "rm", "--force", *self._made]
        subprocess.run(command, env=self.found.environment, capture_output=True, check=False)


@pytest.fixture
def bases(base: str, tmp_path: Path) -> Iterator[Bases]:
    made = Bases(machine.for_settings(Settings()), base, tmp_path)
    yield made
    made.remove()


def build(service: Service, base: str, **fields: Any) -> tuple[dict[str, Any], str]:
    """Build, and nothing else; the status and the log."""
    made = service.submit({"base": base, **fields})
    return service.wait(made, timeout=300), b"".join(service.client.build_log(made)).decode()


def variables(text: str, length: int, count: int) -> list[dict[str, str]]:
    return [{"name": f"V{number}", "value": text * length} for number in range(count)]


def as_many_as_may_be(text: str, length: int) -> list[dict[str, str]]:
    count = 1
    while not list(rules.sizes({"environment": variables(text, length, count + 1)})):
        count += 1
    return variables(text, length, count)


@pytest.mark.parametrize(("text", "length"), [("x", 130_000), ("<", 1_000), ("\n", 8_700)])
def test_as_many_variables_as_are_accepted_can_be_built_and_run(
    service: Service, base: str, text: str, length: int
) -> None:
    given = as_many_as_may_be(text, length)
    made = service.submit({"base": base, "environment": given, "script": "#!/bin/sh\necho ${#V0}\n"})
    assert service.wait(made, timeout=300)["phase"] == "succeeded"


def test_why_a_build_failed_is_found_behind_a_line_of_megabytes(
    own_service: Callable[..., Service], bases: Bases
) -> None:
    base = bases.make("ENV " + " \\\n    ".join(f'B{number}="{"x" * 5000}"' for number in range(250)))
    status, log = build(own_service().start(), base, environment=variables("<", 120_000, 2))
    assert max(map(len, log.splitlines())) > 10**6
    assert (status["phase"], status["reason"]) == ("build_failed", "BuildFailed")
    assert "exceeded maximum allowed size" in status["message"]
    assert len(status["message"]) < 1000


GREEDY = """#!/bin/sh
case $* in
    *install*printer*) while :; do echo 0123456789012345678901234567890123456789; done ;;
    *install*writer*) while :; do head -c 1000000 /dev/zero; done >/var/written ;;
    *install*forker*) python3 -c '
import os, time
for _ in range(3000):
    if os.fork() == 0: time.sleep(2); os._exit(0)' ;;
    *install*eater*) python3 -c '
import time
kept = []
for _ in range(200): kept.append(bytes([1]) * (1 << 20)); time.sleep(0.02)
time.sleep(20)' ;;
    *install*namer*) unshare -Urm true || keyctl show ;;
esac
"""


def greedy(bases: Bases) -> str:
    """A base whose package manager takes more than it is given."""
    (bases.directory / "dnf").write_text(GREEDY)
    return bases.make("COPY dnf /usr/bin/dnf", "RUN chmod 755 /usr/bin/dnf")


@pytest.mark.parametrize(
    ("package", "reason"),
    [("printer", "LogLimitExceeded"), ("writer", "StorageLimitExceeded"), ("forker", "BuildFailed")],
)
def test_what_builds_take_of_the_machine_is_limited(
    own_service: Callable[..., Service], bases: Bases, package: str, reason: str
) -> None:
    if package == "forker" and "pids" not in bases.found.build_limits:
        reason = "ProcessLimitExceeded"  # by looking; see test_weak_limits
    storage = next(one.chosen for one in bases.found.checks if one.name == "storage")
    if package == "writer" and storage != "overlay":
        pytest.skip("this machine cannot count what builds write")
    mebibyte = 2**20
    limits = {"build_log_limit": mebibyte, "build_storage_limit": 100 * mebibyte, "build_pids_limit": 100}
    service = own_service(**limits).start()
    status, log = build(service, greedy(bases), packages=[package])
    assert (status["phase"], status["reason"]) == ("build_failed", reason), log[-2000:]
    assert len(log) < mebibyte + 1000
    assert reason != "BuildFailed" or "Resource temporarily unavailable" in log
    wait_until(lambda: not list(Path("/sys/fs/cgroup").glob(f"**/amun-builds/{status['build']['container'][6:]}")))


def test_a_build_has_no_more_memory_than_it_requested(service: Service, bases: Bases) -> None:
    """By its control group, or by looking where Podman applies no limit to builds."""
    asked = {"requests": {"memory": "64Mi"}}
    status, log = build(service, greedy(bases), packages=["eater"], build=asked)
    assert (status["phase"], status["reason"]) == ("build_failed", "OutOfMemoryKilled"), log[-2000:]


def test_a_build_may_ask_the_kernel_for_no_more_than_a_run(service: Service, bases: Bases) -> None:
    if bases.found.build_seccomp is None:
        pytest.skip("Podman's filter of system calls is not on this machine")
    status, log = build(service, greedy(bases), packages=["namer"])
    assert status["phase"] == "build_failed"
    assert "unshare: unshare failed: Operation not permitted" in log


def test_files_in_volumes_of_the_base_are_refused_before_the_build(service: Service, bases: Bases) -> None:
    base = bases.make("RUN mkdir -m 0777 /data", 'VOLUME ["/data", "/srv/with space"]')
    paths = ["/data/deep/er", "/srv/with space/x", "/datas/x", "/srv/with/x"]
    files = [{"path": path, "content": "kept"} for path in paths]
    with pytest.raises(ClientError) as refused:
        service.submit({"base": base, "files": files})
    assert [problem.path for problem in refused.value.details] == ["files[0].path", "files[1].path"]
    script = "#!/bin/sh\ncat /datas/x /srv/with/x; id >/data/y"
    made = service.submit({"base": base, "files": files[2:], "script": script})
    assert service.wait(made)["phase"] == "succeeded"
    assert b"".join(service.client.item_log(made, 0)) == b"keptkept"


@pytest.mark.parametrize("volume", ["/home/amun", "/home", "/opt", "/opt/amun"])
def test_a_base_whose_home_is_a_volume_is_refused(service: Service, bases: Bases, volume: str) -> None:
    with pytest.raises(ClientError) as refused:
        service.submit({"base": bases.make(f'VOLUME ["{volume}"]'), "script": "true"})
    assert {problem.path for problem in refused.value.details} == {"base"}
    assert f"must not have {volume} as a volume" in refused.value.details[0].message


def test_a_file_in_a_volume_that_was_not_known_before_is_there_or_fails_the_build(
    service: Service, bases: Bases
) -> None:
    """As where the base was not on this machine yet, or a link leads into it. Newer builders keep such files."""
    base = bases.make('VOLUME ["/data"]', "RUN ln -s /data /link")
    files = [{"path": "/link/x", "content": "kept"}]
    made = service.submit({"base": base, "files": files, "script": "#!/bin/sh\ncat /data/x"})
    status = service.wait(made, timeout=300)
    if status["phase"] == "build_failed":
        assert "/data/x cannot be kept in the image: /data is a volume of the base image" in status["message"]
    else:
        assert status["phase"] == "succeeded"
        assert b"".join(service.client.item_log(made, 0)) == b"kept"


def test_volumes_of_a_base_go_with_the_run(service: Service, bases: Bases) -> None:
    def volumes() -> set[str]:
        command = [bases.found.podman, "volume", "ls", "--quiet"]
        listed = subprocess.run(command, env=bases.found.environment, capture_output=True, text=True, check=True)
        return set(listed.stdout.split())

    base = bases.make("RUN mkdir -m 0777 /data", 'VOLUME ["/data"]')
    before = volumes()
    made = service.submit({"base": base, "script": "#!/bin/sh\necho 1 >/data/y"})
    assert service.wait(made)["phase"] == "succeeded"
    wait_until(lambda: volumes() <= before)


@pytest.mark.parametrize("closed", ["/opt", "/home", "/", "/usr", "/usr/bin /usr/lib /usr/lib/*-linux-*"])
def test_what_a_build_makes_is_seen_although_the_base_lets_nobody_in(
    service: Service, bases: Bases, closed: str
) -> None:
    base = bases.make("RUN mkdir -p /srv/a /home/amun && chmod 0700 /srv /srv/a /home/amun", f"RUN chmod 0700 {closed}")
    script = "#!/bin/sh\ncat /srv/a/f && echo 1 >/home/amun/new && test -r /opt/amun/packages && echo all\n"
    made = service.submit({"base": base, "files": [{"path": "/srv/a/f", "content": "seen\n"}], "script": script})
    assert service.wait(made)["phase"] == "succeeded", b"".join(service.client.item_log(made, 0))
    assert b"".join(service.client.item_log(made, 0)) == b"seen\nall\n"
