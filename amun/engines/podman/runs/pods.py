"""Removing pods with all that their scripts wrote."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from amun.engines.podman.podman_cli import Podman, PodmanError

from . import disk_quota, process_watch
from .container import Container

CONTAINER = "run"
"""Name of the script's container in its pod; podman calls it POD-run."""


def script_container(pod: str) -> str:
    """Podman's name for the container in which the script of a pod runs."""
    return f"{pod}-{CONTAINER}"


def remove(podman: Podman, names: Sequence[str]) -> None:
    """Kill and remove pods of which nothing is known; those that are gone already are fine."""
    if names:
        for name, container in _scripts(podman, names).items():
            _end(podman, script_container(name), container)
        remove_ended(podman, names, list(_scripts(podman, names).values()))


def _scripts(podman: Podman, names: Sequence[str]) -> dict[str, Container]:
    """The containers of these pods' scripts, where there are any."""
    found = {name: podman.inspect_container(script_container(name)) for name in names}
    return {name: Container.from_inspection(document) for name, document in found.items() if document}


def _end(podman: Podman, name: str, container: Container) -> None:
    """End a container if it runs. Where its monitor was killed, `podman stop` would wait for ever."""
    if container.running:
        command = ["kill"] if process_watch.has_ended(container.monitor) else ["stop", "--time", "0"]
        with contextlib.suppress(PodmanError):  # removing it does it again, with force
            podman.call(*command, name)


def remove_ended(podman: Podman, names: Sequence[str], containers: Sequence[Container]) -> None:
    """Remove pods of which it is known what their containers wrote."""
    disk_quota.clear(podman, [container for container in containers if not container.running])
    podman.remove_pods(names)
