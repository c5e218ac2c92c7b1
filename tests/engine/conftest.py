"""Images to try the engine with, made by a real Podman."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amun.engines.podman.builds import bases
from amun.engines.podman.host.machine import for_settings
from amun.engines.podman.host.prober import podman_environment
from amun.engines.podman.podman_cli import Podman
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


@pytest.fixture
def own_storage(tmp_path: Path) -> Iterator[Podman]:
    """Podman with a storage of its own: what is broken in one is broken for all who use it."""
    if (program := shutil.which("podman")) is None:
        pytest.skip("there is no Podman on this machine")
    file, graph = tmp_path / "storage.conf", tmp_path / "graph"
    places = f'graphroot = "{graph}"\nrootless_storage_path = "{graph}"\nrunroot = "{tmp_path}/run"\n'
    file.write_text(f'[storage]\ndriver = "vfs"\n{places}')
    podman = Podman(program, {**podman_environment(), "CONTAINERS_STORAGE_CONF": str(file)})
    assert podman.json("info", "--format", "json")["store"]["graphRoot"] == str(graph)
    yield podman
    podman.on_files("rm", "-rf", str(graph), timeout=60)
