"""Removes what services of the tests left in Podman's storage: ``python -m tests.leftovers DIRECTORY``.

Every Podman command reads the list of all images: a few runs of the tests would make everything slow.
"""

from __future__ import annotations

import sys
from pathlib import Path

from amun.engines.podman import leftovers
from amun.engines.podman.command import Podman
from amun.engines.podman.machine import for_settings
from amun.settings import Settings

if __name__ == "__main__":
    machine = for_settings(Settings())
    if machine.usable:
        states = [builds.parent for builds in Path(sys.argv[1]).rglob("builds") if builds.is_dir()]
        leftovers.remove_images(Podman(machine.podman, machine.environment), *states)
