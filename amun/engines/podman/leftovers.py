"""Stops the builds and pods of a state directory whose service is gone: ``python -m amun.engines.podman.leftovers``.

Nothing is lost by it: the next controller starts again what was interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ...errors import EngineUnavailable
from ...settings import Settings
from . import pods, steps
from .command import Podman
from .engine import INSTANCE_LABEL, instance
from .machine import for_settings


def stop(podman: Podman, state_dir: Path) -> None:
    """Kill the builds of this state directory and remove its pods. Raises `EngineUnavailable`."""
    for build in (state_dir / "builds").glob("*/"):
        if not (build / "exit").exists():
            steps.kill(build)
    try:
        pods.remove(podman, _pods(podman, state_dir))
    except EngineUnavailable:  # some container was busy; what matters is whether anything is left
        pods.remove(podman, _pods(podman, state_dir))


def _pods(podman: Podman, state_dir: Path) -> list[str]:
    label = f"label={INSTANCE_LABEL}={instance(state_dir)}"
    return podman.call("pod", "ps", "--filter", label, "--format", "{{.Name}}").split()


def main() -> int:
    settings = Settings()
    try:
        machine = for_settings(settings)
        stop(Podman(machine.podman, machine.environment), settings.state_dir)
    except EngineUnavailable as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
