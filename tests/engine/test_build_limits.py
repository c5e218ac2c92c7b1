"""What a build may not do to the machine, nor its log to the reader. Needs Podman."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amun import rules
from amun.engines.podman import machine
from amun.engines.podman.machine import Machine
from amun.settings import Settings
from tests.conftest import Service

pytestmark = [pytest.mark.podman, pytest.mark.slow]


class Bases:
    """Base images of a test's own."""

    def __init__(self, found: Machine, base: str, directory: Path) -> None:
        self.found = found
        self.base = base
        self._directory = directory
        self._made: list[str] = []

    def make(self, *lines: str) -> str:
        """An image of these lines of a Dockerfile, after FROM; its name."""
        name = f"localhost/amun/test-limits:{self._directory.name.lower()}-{len(self._made)}"
        file = self._directory / "Dockerfile"
        file.write_text("\n".join([f"FROM {self.base}", "USER 0", *lines, ""]))
        command = [self.found.podman, "build", "--quiet", "--network=none", "--format=docker", "--tag", name]
        subprocess.run(
            [*command, "--file", str(file), str(self._directory)], env=self.found.environment, check=True, timeout=300
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


@pytest.mark.parametrize("text", ["x", "\n"])
def test_as_many_variables_as_are_accepted_can_be_built_and_run(service: Service, base: str, text: str) -> None:
    given = as_many_as_may_be(text, 30_000)
    made = service.submit({"base": base, "environment": given, "script": "#!/bin/sh\necho ${#V0}\n"})
    assert service.wait(made, timeout=300)["phase"] == "succeeded"


def test_why_a_build_failed_is_found_behind_a_line_of_megabytes(
    own_service: Callable[..., Service], bases: Bases
) -> None:
    base = bases.make(*(f'ENV B{number}="{"x" * 50_000}"' for number in range(25)))
    status, log = build(own_service().start(), base, environment=variables("x", 100_000, 17))
    assert max(map(len, log.splitlines())) > 10**6
    assert (status["phase"], status["reason"]) == ("build_failed", "BuildFailed")
    assert "exceeded maximum allowed size" in status["message"]
    assert len(status["message"]) < 1000
