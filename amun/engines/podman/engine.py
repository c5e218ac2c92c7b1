"""The embedded engine: real containers on this machine, state in a directory."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from amun.engines.base import Engine, Queue, check_item
from amun.engines.podman.builds.builds import Builds
from amun.engines.podman.host.images import Images
from amun.engines.podman.host.node import this_node
from amun.engines.podman.host.outcome import Machine
from amun.engines.podman.runs.items import Items
from amun.engines.podman.state.files import CorruptState
from amun.engines.podman.state.store import UNREADABLE, Declared, Store
from amun.environments import logins
from amun.environments.masking import Mask
from amun.errors import Conflict, EngineUnavailable, InspectionNotFound, Rejected
from amun.model import image_names, status, timestamps
from amun.model.inspection import Accepted, BuildState, Inspection, ItemState, Node, Observation, Submission
from amun.settings import Settings
from amun.telemetry.logs import logger

from .builds import aliases
from .host import machine
from .housekeeping import Housekeeping
from .podman_cli import Podman
from .runs import tail
from .state import files
from .wakeup import Bell

LOOK_AGAIN = 3.0
"""Seconds for which a machine on which Podman does not work is taken to stay so."""

ENOUGH = 64 * 1024
"""Bytes that must fit on the disk of the state directory, lest the engine be called unavailable."""

IMAGE_GONE = "ImageGone"
REMOVED_AGAIN = "The image of the environment was removed again after it was rebuilt."
UNREPEATABLE = (
    "The image of the environment was removed. The password that it was built with is forgotten by now: post the"
    " specification again, password included."
)

INSTANCE_LABEL = "amun/instance"
"""Label of all pods of one state directory; `instance` says which."""


def instance(state_dir: Path) -> str:
    """The value of that label: a name for the state directory."""
    return hashlib.sha256(bytes(state_dir.resolve())).hexdigest()[:16]


class PodmanEngine(Engine):
    """Podman on one machine. Any number of processes may use one state directory; one of them is the controller."""

    name = "podman"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(settings.state_dir)
        self._bell = Bell(settings.state_dir)
        self._instance = instance(settings.state_dir)
        self._found: Machine | None = None
        self._look_again = 0.0

    @property
    def _machine(self) -> Machine:
        """How Podman works here.

        Raises `EngineUnavailable` while it does not, so that nothing is made that rests on it; `Rejected` if it will
        not until somebody mends it.
        """
        if self._found is None or (not self._found.usable and time.monotonic() > self._look_again):
            self._found = machine.for_settings(self._settings)
            self._look_again = time.monotonic() + LOOK_AGAIN
        if self._found.problem is not None:
            raise (Rejected if self._found.lasting else EngineUnavailable)(self._found.problem)
        return self._found

    @functools.cached_property
    def _podman(self) -> Podman:
        return Podman(self._machine.podman, self._machine.environment)

    @functools.cached_property
    def _images(self) -> Images:
        return Images(self._podman)

    @functools.cached_property
    def _node(self) -> Node:
        return this_node()

    @functools.cached_property
    def _builds(self) -> Builds:
        return Builds(
            self._podman,
            self._machine,
            self._store,
            self._settings,
            changed=self._bell.ring,
        )

    @functools.cached_property
    def _items(self) -> Items:
        return Items(
            self._podman,
            self._machine,
            self._store,
            self._settings,
            labels={INSTANCE_LABEL: self._instance},
            node=self._node.name,
            changed=self._bell.ring,
            image_gone=self._image_gone,
        )

    @functools.cached_property
    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(self._podman, self._store, self._settings, f"{INSTANCE_LABEL}={self._instance}")

    # -- asked by the API ---------------------------------------------------------------------------------------

    def check(self) -> None:
        files.write(self._settings.state_dir / "writable", bytes(ENOUGH))
        self._podman.call("version", "--format", "{{.Client.Version}}", timeout=10)

    def nodes(self, *, free: bool = True) -> Sequence[Node]:
        running = self.queue().items_running if free else 0
        return [replace(self._node, free=1 if running < self._settings.max_runs else 0)]

    @functools.cached_property
    def _aliases(self) -> dict[str, str]:
        return aliases.of_machine()

    def complete(self, base: str) -> str:
        return image_names.complete(base, self._aliases)

    def resolve(self, base: str) -> str | None:
        return self._images.digest(base)

    def volumes(self, base: str) -> Sequence[str]:
        return self._images.volumes(base)

    def has_environment(self, environment: str) -> bool:
        build = self._store.current_build(environment)
        return build is not None and self._has_image(build)

    def _has_image(self, build: str) -> bool:
        """Whether the image of a build is there, as far as can be told, or on its way."""
        with contextlib.suppress(EngineUnavailable):
            image = self._store.build(build).image
            return image is None or self._images.digest(image) is not None
        return True

    def submit(self, submission: Submission, key: str | None = None, fingerprint: str | None = None) -> Accepted:
        if key is None:
            accepted = self._declare(submission)
        else:
            with self._store.key_lock(key):
                accepted = self._declare_once(submission, key, fingerprint or "")
        self._bell.ring()
        return accepted

    def _declare_once(self, submission: Submission, key: str, fingerprint: str) -> Accepted:
        """The key is kept before the inspection, with its id: a crash between the two loses and doubles nothing."""
        try:
            kept = self._store.key(key)
        except CorruptState as exc:
            raise Conflict("It cannot be read any more what this Idempotency-Key was used for: take another.") from exc
        if kept is None:
            self._store.keep_key(key, submission.inspection.id, fingerprint)
            return self._declare(submission)
        if kept.fingerprint != fingerprint:
            raise Conflict("This Idempotency-Key was used for another specification before.")
        try:
            return Accepted(kept.id, self._store.declared(kept.id).cached)
        except InspectionNotFound:
            return self._declare(replace(submission, inspection=replace(submission.inspection, id=kept.id)))

    def _declare(self, submission: Submission) -> Accepted:
        inspection = submission.inspection
        with self._store.environment_lock(inspection.environment):
            build = self._store.current_build(inspection.environment) if inspection.specification.build.cache else None
            cached = build is not None and self._has_image(build)
            if build is not None and (cached or not submission.logins):  # else only this one can be built again
                self._store.declare(Declared(inspection, build, cached), submission.script)
            else:
                self._declare_with_build(submission)
        return Accepted(inspection.id, cached)

    def _declare_with_build(self, submission: Submission) -> None:
        inspection = submission.inspection
        build = self._store.new_build(inspection, submission.context, submission.logins)
        try:
            self._store.declare(Declared(inspection, build, cached=False), submission.script)
            self._store.serve(inspection.environment, build)
        except EngineUnavailable:
            with contextlib.suppress(InspectionNotFound):
                self._store.discard(inspection.id)
            self._store.remove_build(build)
            raise

    def inspections(self, owner: str | None = None) -> Sequence[str]:
        return self._store.ids(owner)

    def declared(self, inspection_id: str) -> Inspection:
        try:
            return self._store.declared(inspection_id).inspection
        except CorruptState as exc:
            return self._defective(inspection_id, exc).inspection

    def observe(self, inspection_id: str) -> Observation:
        try:
            declared = self._store.declared(inspection_id)
        except CorruptState as exc:
            return self._defective(inspection_id, exc)
        finished_at = self._store.marked(inspection_id, "finished")
        observation = Observation(
            declared.inspection,
            BuildState(),
            cancelled_at=self._store.marked(inspection_id, "cancelled"),
            finished_at=finished_at,
            data_stored=finished_at is not None and self._store.marked(inspection_id, "stored") is not None,
        )
        try:
            return replace(observation, build=self._build_state(declared), items=self._item_states(declared.inspection))
        except CorruptState as exc:
            if observation.finished_at is not None:
                return replace(observation, defect=str(exc))
            return replace(observation, **self._readable_states(declared))

    def _readable_states(self, declared: Declared) -> dict[str, Any]:
        """States of an inspection that goes on; the controller works out again what cannot be read."""
        items = [ItemState(item) for item in declared.inspection.items]
        build = BuildState()
        with contextlib.suppress(CorruptState):
            build = self._build_state(declared)
        for item in declared.inspection.items:
            with contextlib.suppress(CorruptState):
                items[item] = self._store.item(declared.inspection.id, item)
        return {"build": build, "items": tuple(items)}

    def _defective(self, inspection_id: str, exc: CorruptState) -> Observation:
        moment = self._store.marked(inspection_id, "finished")
        unknown = Inspection(inspection_id, UNREADABLE, None, "", moment or "1970-01-01T00:00:00.000000Z")
        return Observation(unknown, BuildState(state="terminated"), finished_at=moment, defect=str(exc))

    def _build_state(self, declared: Declared) -> BuildState:
        left = self._store.left_build(declared.inspection.id)
        state = self._store.build(declared.build) if left is None else left.state
        return replace(state, cached=declared.cached)

    def _item_states(self, inspection: Inspection) -> tuple[ItemState, ...]:
        started = self._store.started_items(inspection.id)
        return tuple(
            self._store.item(inspection.id, item) if item in started else ItemState(item) for item in inspection.items
        )

    def build_log(self, inspection_id: str, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        declared = self._store.declared(inspection_id)
        path = self._store.build_path(declared.build) / "log"

        def end() -> int | None:
            left = self._store.left_build(inspection_id)
            return None if left is None else left.log

        def over() -> bool:
            observation = self.observe(inspection_id)
            return status.verdict(observation).over or observation.build.outcome is not None

        chunks = tail.until(end, 0, tail.read(path, 0, over if follow else None))  # from where what is masked begins
        return Mask(logins.secrets(self._store.logins(declared.build))).stream(chunks, offset)

    def item_log(self, inspection_id: str, item: int, follow: bool = False) -> Iterator[bytes]:
        self._check_item(inspection_id, item)
        path = self._store.item_path(inspection_id, item) / "log"

        def over() -> bool:
            observation = self.observe(inspection_id)
            return status.verdict(observation).over or observation.items[item].outcome is not None

        return tail.read(path, 0, over if follow else None)

    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        self._check_item(inspection_id, item)
        path = self._store.item_path(inspection_id, item)
        if not (path / "state.json").exists():  # written last: before it, the report may be of another attempt
            return None
        document: dict[str, Any] | None = files.read_json(path / "report.json")
        return document

    def _check_item(self, inspection_id: str, item: int) -> None:
        check_item(self._store.declared(inspection_id).inspection, item)

    def cancel(self, inspection_id: str) -> None:
        self._store.mark(inspection_id, "cancelled")
        self._bell.ring()

    def delete(self, inspection_id: str) -> None:
        self._store.discard(inspection_id)
        self._bell.ring()

    def queue(self) -> Queue:
        builds: dict[str, BuildState] = {}
        items: list[ItemState] = []
        for inspection_id in self._store.active():
            with contextlib.suppress(EngineUnavailable, InspectionNotFound):
                declared = self._store.declared(inspection_id)
                builds[declared.build] = self._store.build(declared.build)
                items += self._item_states(declared.inspection)
        return Queue(
            builds_waiting=sum(build.state == "waiting" for build in builds.values()),
            builds_running=sum(build.state == "running" for build in builds.values()),
            items_waiting=sum(item.state == "waiting" for item in items),
            items_running=sum(item.state == "running" for item in items),
        )

    # -- asked by the controller --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def leadership(self) -> Iterator[bool]:
        with files.try_locked(self._settings.state_dir / "controller.lock") as leading:
            if leading:
                self._bell.listen()
                files.tighten(self._settings.state_dir)
                try:
                    self._take_over()
                except Rejected as exc:  # what waits is to end all the same
                    logger.error("Podman does not work, and will not until it is mended", error=str(exc))
            try:
                yield leading
            finally:
                self._bell.close()

    def _take_over(self) -> None:
        for check in self._machine.exposures:
            logger.warning(f"{check.name}: {check.why}", remedy=check.remedy)
        self._housekeeping.remove_orphans()
        self._builds.forget_logins()

    def unfinished(self, owner: str | None = None) -> Sequence[str]:
        return self._store.active(owner)

    def build(self, inspection: Inspection) -> None:
        declared = self._store.declared(inspection.id)
        try:
            self._store.left_build(inspection.id)
        except CorruptState as exc:
            files.set_aside(exc.path)  # whether it still waits is found out again
        self._builds.advance(declared.build)
        self._builds.enforce_deadline(declared)

    def run(self, inspection: Inspection) -> None:
        watched = {run.item for run in self._items.of(inspection.id)}
        if not self._items.place() and self._store.started_items(inspection.id) <= watched:
            return  # as most do in a long queue, at every step
        observation = self.observe(inspection.id)
        left = [item for item in observation.items if item.outcome is None and item.item not in watched]
        warming = any(item.outcome is None for item in observation.items[: inspection.specification.warmup])
        # Those that another controller had started come first: they hold their place already.
        for item in sorted(left, key=lambda item: item.state != "running"):
            if item.state != "running" and (
                not self._items.place()
                or len(watched) >= inspection.specification.parallelism
                or (warming and item.item >= inspection.specification.warmup)
                or status.too_many_failures(observation)
            ):
                return
            watched.add(item.item)
            self._items.start(inspection, item.item, observation.build.image or "")

    def stop(self, inspection: Inspection) -> None:
        observation = self.observe(inspection.id)
        if observation.defect is not None:  # nobody knows any more what it has
            return self._housekeeping.remove_pods(inspection.id)
        self._take_up_to_stop(observation)
        self._items.stop(inspection.id, "Cancelled")
        self._stop_build(inspection)

    def _take_up_to_stop(self, observation: Observation) -> None:
        """Items that another controller started are watched first: only who watches an item can end it in order."""
        inspection = observation.inspection
        watched = {run.item for run in self._items.of(inspection.id)}
        for item in observation.items:
            if item.state == "running" and item.item not in watched:
                self._items.start(inspection, item.item, observation.build.image or "")

    def _stop_build(self, inspection: Inspection) -> None:
        """End the build for an inspection that waits for it no more; nothing that comes of it later is its own."""
        declared = self._store.declared(inspection.id)
        state = self._store.build(declared.build)
        if state.outcome is not None:
            return
        with self._store.environment_lock(inspection.environment):
            if set(self._store.builds_in_use().get(declared.build, ())) <= {inspection.id}:
                self._builds.stop(declared.build, "Cancelled", "Nobody waits for the build any more.")
            elif self._store.left_build(inspection.id) is None:
                message = "The inspection was cancelled; others wait for the build."
                left = replace(state, state="terminated", outcome="failed", reason="Cancelled", message=message)
                self._store.leave_build(declared, replace(left, finished_at=timestamps.now()))

    def give_up(self, inspection_id: str, reason: str, message: str) -> None:
        declared = self._store.declared(inspection_id)
        if self._build_state(declared).outcome is None:
            error = BuildState("terminated", "error", reason, message, finished_at=timestamps.now())
            return self._store.leave_build(declared, error)
        with contextlib.suppress(Rejected):  # of a Podman that does not work: then nothing is watched
            self._items.stop(inspection_id, reason)
        for state in self._item_states(declared.inspection):
            if state.outcome is None:
                ended = replace(state, state="terminated", outcome="error", reason=reason, message=message)
                self._store.keep_item(inspection_id, replace(ended, node=self._node.name, finished_at=timestamps.now()))

    def finish(self, inspection: Inspection, stored: bool = False, at: str | None = None) -> None:
        self._store.close(inspection.id, stored, at)

    def tend(self) -> None:
        self._builds.enforce_limits()
        self._housekeeping.empty_trash(self._items, self._builds)
        self._housekeeping.expire()

    def wait(self, timeout: float) -> None:
        self._bell.wait(timeout)

    def _image_gone(self, inspection_id: str) -> None:
        """Have the image of an inspection built again, or give that up where it was gone once before."""
        declared = self._store.declared(inspection_id)
        with self._store.environment_lock(declared.inspection.environment):
            state = self._store.build(declared.build)
            if state.outcome != "succeeded" or self._images.digest(state.image or "") is not None:
                return  # another one has seen to it
            built, lost = state.finished_at or "", self._store.lost_images(inspection_id)
            if not declared.inspection.private and (built in lost or not lost):
                self._store.lose_image(inspection_id, built)
                self._builds.forget_image(declared.build)
                logger.warning("image is gone, building it again", image=state.image)
                return
        self.give_up(inspection_id, IMAGE_GONE, UNREPEATABLE if declared.inspection.private else REMOVED_AGAIN)
