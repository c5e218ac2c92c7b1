"""Stops the builds and pods of a state directory whose service is gone: ``python -m amun.engines.podman.cleanup``.

Nothing is lost by it: the next controller starts again what was interrupted. With ``--images`` its environments' images
go too, for a state directory that is about to be removed: nothing else knows that they are not needed any more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container
from pathlib import Path

from amun.engines.podman.builds.builds import IMAGE
from amun.engines.podman.host.machine import for_settings
from amun.errors import EngineUnavailable
from amun.settings import Settings

from .builds import bases, processes
from .engine import INSTANCE_LABEL, instance
from .host import images
from .podman_cli import Podman
from .runs import pods

TOGETHER = 50
"""Images that are removed by one command."""

PATIENCE = 300.0
"""Seconds for such a command: each image takes the layers along that only it has."""


def stop(podman: Podman, state_dir: Path) -> None:
    """Kill the builds of this state directory and remove its pods: all that can be.

    Raises `EngineUnavailable`, which says what could not.
    """
    failed = [*_stop_builds(state_dir), *_remove_pods(podman, state_dir)]
    if failed:
        raise EngineUnavailable("\n".join(failed))


def _stop_builds(state_dir: Path) -> list[str]:
    builds = [build for build in (state_dir / "builds").glob("*/") if not (build / "exit").exists()]
    return [said for build in builds for said in _tried(f"build {build.name}", processes.kill, build)]


def _remove_pods(podman: Podman, state_dir: Path) -> list[str]:
    names: list[str] = []
    failed = _tried("pods", lambda: names.extend(_pods(podman, state_dir)))
    if names and _tried("pods", pods.remove, podman, names):  # some container was busy, or is like no other
        failed += [said for name in names for said in _tried(f"pod {name}", _remove_pod, podman, name)]
    return failed


def _remove_pod(podman: Podman, name: str) -> None:
    if _tried(f"pod {name}", pods.remove, podman, [name]):
        podman.remove_pods([name])  # if need be without a look at what it is


def _tried(what: str, do: Callable[..., None], *arguments: object) -> list[str]:
    """Do one part of the work; says what went wrong with it, so that the others are done all the same."""
    try:
        do(*arguments)
    except EngineUnavailable as exc:
        return [f"{what}: {exc}"]
    except Exception as exc:
        return [f"{what}: {type(exc).__name__}: {exc}"]
    return []


def remove_images(podman: Podman, *state_dirs: Path, but: Container[str] = ()) -> None:
    """Remove the images of all environments of these state directories, the copies of bases, and layers of builds.

    But for the images with the ids `but`. Raises `EngineUnavailable`.
    """
    names = [f"{IMAGE}:{build.name}" for state_dir in state_dirs for build in (state_dir / "builds").glob("*/")]
    form = "{{.ID}} {{.Repository}}:{{.Tag}}"
    copies = podman.call("image", "ls", "--no-trunc", "--filter", f"reference={bases.UNTRIGGERED}", "--format", form)
    found = (line.removeprefix("sha256:").split(" ") for line in copies.splitlines())
    names += [copy for image, copy in found if image not in but]
    for start in range(0, len(names), TOGETHER):
        podman.call("image", "rm", "--ignore", *names[start : start + TOGETHER], timeout=PATIENCE)
    images.remove_unnamed(podman, but=but)


def _pods(podman: Podman, state_dir: Path) -> list[str]:
    label = f"label={INSTANCE_LABEL}={instance(state_dir)}"
    return podman.call("pod", "ps", "--filter", label, "--format", "{{.Name}}").split()


def main() -> int:
    settings = Settings()
    failed = _stop_builds(settings.state_dir)  # which takes no Podman
    try:
        machine = for_settings(settings)
        podman = Podman(machine.podman, machine.environment)
    except Exception as exc:
        failed.append(f"Podman: {exc}")
    else:
        failed += _remove_pods(podman, settings.state_dir)
        if "--images" in sys.argv[1:]:
            failed += _tried("images", remove_images, podman, settings.state_dir)
    for said in failed:
        print(said, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
