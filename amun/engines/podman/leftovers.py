"""Stops the builds and pods of a state directory whose service is gone: ``python -m amun.engines.podman.leftovers``.

Nothing is lost by it: the next controller starts again what was interrupted. With ``--images`` its environments' images
go too, for a state directory that is about to be removed: nothing else knows that they are not needed any more.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ...errors import EngineUnavailable
from ...settings import Settings
from . import bases, pods, steps
from .builds import IMAGE
from .command import Podman
from .engine import INSTANCE_LABEL, instance
from .machine import for_settings

TOGETHER = 50
"""Images that are removed by one command."""

PATIENCE = 300.0
"""Seconds for such a command: each image takes the layers along that only it has."""


def stop(podman: Podman, state_dir: Path) -> None:
    """Kill the builds of this state directory and remove its pods. Raises `EngineUnavailable`."""
    for build in (state_dir / "builds").glob("*/"):
        if not (build / "exit").exists():
            steps.kill(build)
    try:
        pods.remove(podman, _pods(podman, state_dir))
    except EngineUnavailable:  # some container was busy; what matters is whether anything is left
        pods.remove(podman, _pods(podman, state_dir))


def remove_images(podman: Podman, *state_dirs: Path) -> None:
    """Remove the images of all environments of these state directories, and the copies of bases that they needed.

    Raises `EngineUnavailable`.
    """
    names = [f"{IMAGE}:{build.name}" for state_dir in state_dirs for build in (state_dir / "builds").glob("*/")]
    copies = ("--filter", f"reference={bases.UNTRIGGERED}", "--format", "{{.Repository}}:{{.Tag}}")
    names += podman.call("image", "ls", *copies).split()
    for start in range(0, len(names), TOGETHER):
        podman.call("image", "rm", "--ignore", *names[start : start + TOGETHER], timeout=PATIENCE)


def _pods(podman: Podman, state_dir: Path) -> list[str]:
    label = f"label={INSTANCE_LABEL}={instance(state_dir)}"
    return podman.call("pod", "ps", "--filter", label, "--format", "{{.Name}}").split()


def main() -> int:
    settings = Settings()
    try:
        machine = for_settings(settings)
        podman = Podman(machine.podman, machine.environment)
        stop(podman, settings.state_dir)
        if "--images" in sys.argv[1:]:
            remove_images(podman, settings.state_dir)
    except EngineUnavailable as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
