"""What nobody asks for, but everybody expects: leftovers are removed, the deleted stops, the old expires."""

from __future__ import annotations

import contextlib
import time

from amun.engines.podman.builds.builds import IMAGE, Builds
from amun.engines.podman.runs.items import Items
from amun.engines.podman.state.store import Store
from amun.errors import EngineUnavailable, InspectionNotFound
from amun.settings import Settings
from amun.telemetry.logs import logger

from .builds import bases
from .host import checks, images
from .podman_cli import Podman, PodmanError
from .runs import pods
from .state import files

EXPIRY_PERIOD = 3600.0
"""Seconds between looks for what has expired."""


class Housekeeping:
    """The chores of one controller; `label` is that of all its pods."""

    def __init__(self, podman: Podman, store: Store, settings: Settings, label: str) -> None:
        self._podman = podman
        self._store = store
        self._settings = settings
        self._label = label
        self._next_expiry = time.monotonic()

    def remove_orphans(self) -> None:
        """Remove pods whose item is over or whose inspection is gone: a controller was killed before it could."""
        orphans = [pod["Name"] for pod in self._pods(self._label) if not self._needed(pod)]
        pods.remove(self._podman, orphans)

    def remove_pods(self, inspection_id: str) -> None:
        """Remove all pods of an inspection."""
        pods.remove(self._podman, [pod["Name"] for pod in self._pods(f"inspection={inspection_id}")])

    def _pods(self, label: str) -> list[dict[str, str]]:
        pods: list[dict[str, str]] = self._podman.json("pod", "ps", "--filter", f"label={label}", "--format", "json")
        return pods or []

    def _needed(self, pod: dict[str, str]) -> bool:
        inspection_id, _, item = pod["Name"].rpartition("-")
        if self._store.marked(inspection_id, "finished") is not None:
            return False
        try:
            return self._store.item(inspection_id, int(item)).state == "running"
        except (files.CorruptState, ValueError):
            return True  # whoever takes the item up decides
        except InspectionNotFound:
            return False

    def empty_trash(self, items: Items, builds: Builds) -> None:
        """Stop what still runs for deleted inspections, then remove their files."""
        deleted = self._store.trash()
        for inspection_id in deleted:
            items.stop(inspection_id, "Deleted")
            if not items.of(inspection_id):
                self.remove_pods(inspection_id)
                self._store.empty_trash(inspection_id)
        if deleted:
            self._stop_unused_builds(builds)
            builds.forget_logins()

    def _stop_unused_builds(self, builds: Builds) -> None:
        used = self._store.builds_in_use()
        for build in set(builds.watched()) - set(used):
            with self._store.environment_lock(self._store.build_record(build).environment):
                if build not in self._store.builds_in_use():
                    builds.stop(build, "Cancelled", "Nobody waits for the build any more.")

    def expire(self) -> None:
        """Forget inspections and environments whose time is over; each setting of 0 days keeps them for ever."""
        if time.monotonic() < self._next_expiry:
            return
        self._next_expiry = time.monotonic() + EXPIRY_PERIOD
        self._warn_of_half_written()
        if days := self._settings.retention_days:
            for inspection_id in list(self._store.expired(days)):
                logger.info("inspection expired", inspection_id=inspection_id)
                self._store.discard(inspection_id)
            self._store.forget_old_keys(days)
        if days := self._settings.environment_days:
            for build in list(self._store.unused_builds(days)):
                self._remove_environment(build)
            with contextlib.suppress(EngineUnavailable):
                self._remove_untriggered(f"until={24 * days}h")
                images.remove_unnamed(self._podman, f"until={24 * days}h")

    def _warn_of_half_written(self) -> None:
        """Whose they are is not known, so that nobody but a person can remove them."""
        try:
            half = images.half_written(self._podman)
        except EngineUnavailable as exc:
            logger.warning("images cannot be listed", error=str(exc))
        else:
            if half:
                check = checks.whole_images(half)
                logger.warning(f"{check.name}: {check.why}", remedy=check.remedy)

    def _remove_environment(self, build: str) -> None:
        with contextlib.suppress(EngineUnavailable):
            # By its tag: another build's image may have the same content.
            self._podman.call("image", "rm", "--ignore", f"{IMAGE}:{build}")
            self._store.remove_build(build)
            logger.info("environment expired", build=build)

    def _remove_untriggered(self, old: str) -> None:
        """Remove copies of base images that are `old`, a filter: a build that needs one makes it again."""
        copies = ("--filter", f"reference={bases.UNTRIGGERED}", "--filter", old)
        for copy in self._podman.call("image", "ls", *copies, "--format", "{{.Repository}}:{{.Tag}}").split():
            with contextlib.suppress(PodmanError):  # it is in use
                self._podman.call("image", "rm", "--ignore", copy)
