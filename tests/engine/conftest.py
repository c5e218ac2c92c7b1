"""Images to try the engine with, made by a real Podman."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amun.engines.podman import bases
from amun.engines.podman.command import Podman
from amun.engines.podman.machine import for_settings
from amun.settings import Settings

Make = Callable[..., str]


@pytest.fixture
def podman(base: str) -> Podman:
    machine = for_settings(Settings())
    return Podman(machine.podman, machine.environment)


@pytest.fixture
def make(podman: Podman, base: str, tmp_path: Path) -> Iterator[Make]:
    """Makes an image of the operator's own from lines of a Dockerfile; returns its name."""
    made: list[str] = []

    def make_one(*lines: str, form: str = "docker") -> str:
        made.append(f"localhost/amun-test/{secrets.token_hex(6)}:1")
        (tmp_path / "Dockerfile").write_text("\n".join([f"FROM {base}", *lines, ""]))
        podman.call("build", "--format", form, "--network", "none", "--tag", made[-1], str(tmp_path))
        return made[-1]

    yield make_one
    for name in made:
        image = podman.call("image", "inspect", "--format", "{{.Id}}", name).strip()
        podman.call("image", "rm", "--force", "--ignore", name, f"{bases.UNTRIGGERED}:{image}")
