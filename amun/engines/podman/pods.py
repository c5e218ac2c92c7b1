"""Removing pods with all that their scripts wrote."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from . import disk
from .command import Podman, PodmanError
from .container import Container

CONTAINER = "run"
"""Name of the script's container in its pod; podman calls it POD-run."""


def script_container(pod: str) -> str:
    """Podman's name for the container in which the script of a pod runs."""
    return f"{pod}-{CONTAINER}"


def remove(podman: Podman, names: Sequence[str]) -> None:
    """Kill and remove pods of which nothing is known; those that are gone already are fine."""
    if names:
        with contextlib.suppress(PodmanError):  # removing them does it again, with force
            podman.call("pod", "stop", "--ignore", "--time", "0", *names)
        found = [podman.inspect_container(script_container(name)) for name in names]
        remove_ended(podman, names, [Container.from_inspection(document) for document in found if document])


def remove_ended(podman: Podman, names: Sequence[str], containers: Sequence[Container]) -> None:
    """Remove pods of which it is known what their containers wrote."""
    disk.clear(podman, [container for container in containers if not container.running])
    podman.remove_pods(names)
