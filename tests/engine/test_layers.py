"""Layers of builds without a name: they are removed when they are old, and nothing of anybody else with them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from amun.engines.podman import cleanup
from amun.engines.podman.builds.builds import IMAGE
from amun.engines.podman.host import images
from amun.engines.podman.housekeeping import Housekeeping
from amun.engines.podman.podman_cli import Podman, PodmanError
from amun.engines.podman.state.store import Store
from amun.environments import dockerfile
from amun.model.specification import Specification
from amun.settings import Settings

pytestmark = pytest.mark.podman

EMPTY = "localhost/amun-test/empty:1"
"""A base without a shell: each build fails at its first RUN, two layers of it are there by then."""

OLD = ("--timestamp", "1000000000")


@pytest.fixture
def podman(own_storage: Podman) -> Podman:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file"), io.BytesIO())
    own_storage.call("import", "--quiet", "-", EMPTY, stdin=content.getvalue())
    return own_storage


def fail(podman: Podman, directory: Path, content: str, *options: str) -> set[str]:
    """Build an environment in vain; returns what is there of it."""
    before = everything(podman)
    document = {"base": EMPTY, "files": [{"path": "/x", "content": content}]}
    directory.mkdir()
    for name, data in dockerfile.context(Specification.from_document(document)).items():
        (directory / name).write_bytes(data)
    with pytest.raises(PodmanError):
        podman.call("build", "--network", "none", *options, str(directory))
    return everything(podman) - before


def own(podman: Podman, *options: str) -> str:
    """An image without a name that is nobody's environment."""
    recipe = f"FROM {EMPTY}\nLABEL of=somebody\n".encode()
    return podman.call("build", "--quiet", *options, "-", stdin=recipe).strip()


def everything(podman: Podman) -> set[str]:
    return set(images.listed(podman, "--all"))


def test_layers_of_builds_that_failed_long_ago_are_removed(podman: Podman, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", environment_days=1)
    operators = own(podman, *OLD)
    young = fail(podman, tmp_path / "young", "young")
    old = fail(podman, tmp_path / "old", "old", *OLD)
    assert old
    assert young
    Housekeeping(podman, Store(settings.state_dir), settings, "amun").expire()
    left = everything(podman)
    assert not old & left
    assert young <= left
    assert operators in left


def test_layers_stay_where_environments_stay_for_ever(podman: Podman, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state", environment_days=0)
    old = fail(podman, tmp_path / "old", "old", *OLD)
    Housekeeping(podman, Store(settings.state_dir), settings, "amun").expire()
    assert old <= everything(podman)


def test_layers_that_an_environment_needs_stay(podman: Podman, tmp_path: Path) -> None:
    failed = fail(podman, tmp_path / "failed", "x", *OLD)
    needed = images.listed(podman, "--filter", "dangling=true")
    podman.call("tag", needed[0], f"{IMAGE}:1")
    images.remove_unnamed(podman)
    assert failed <= everything(podman)


def test_a_state_directory_that_is_removed_takes_layers_along_but_for_those_that_were_there_before(
    podman: Podman, tmp_path: Path
) -> None:
    before = fail(podman, tmp_path / "before", "before")
    operators = own(podman)
    made = fail(podman, tmp_path / "made", "made")
    cleanup.remove_images(podman, tmp_path / "state", but={*before, operators})
    left = everything(podman)
    assert not made & left
    assert {*before, operators} <= left
    cleanup.remove_images(podman, tmp_path / "state")
    assert not before & everything(podman)
    assert operators in everything(podman)
