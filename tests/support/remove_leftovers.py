"""Removes what services of the tests leave in Podman's storage: ``python -m tests.support.remove_leftovers DIRECTORY``.

Every Podman command reads the list of all images: a few runs of the tests would make everything slow. Before the tests,
``python -m tests.support.remove_leftovers --note DIRECTORY`` notes which images there are already: they stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

from amun.engines.podman import cleanup
from amun.engines.podman.host import images
from amun.engines.podman.host.machine import for_settings
from amun.engines.podman.podman_cli import Podman
from amun.settings import Settings

NOTED = "images"
"""File in the directory with the ids of the images that were there before."""


def note(directory: Path) -> None:
    if podman := _podman():
        (directory / NOTED).write_text("\n".join(images.listed(podman, "--all")))


def remove(directory: Path) -> None:
    """Remove what the services with state directories in `directory` built since `note`."""
    if podman := _podman():
        states = [builds.parent for builds in directory.rglob("builds") if builds.is_dir()]
        cleanup.remove_images(podman, *states, but=(directory / NOTED).read_text().split())


def _podman() -> Podman | None:
    machine = for_settings(Settings())
    return Podman(machine.podman, machine.environment) if machine.usable else None


if __name__ == "__main__":
    (note if "--note" in sys.argv else remove)(Path(sys.argv[-1]))
