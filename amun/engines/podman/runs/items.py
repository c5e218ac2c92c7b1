"""Items on this machine: each a pod that ``podman kube play`` makes of the Job's template, watched until it ends.

A pod outlives the controller. Whether the script of an item has run is told by the pod and by the log, which lies in
the state directory from its first byte on; so an item is taken up again after a crash wherever it was, and its
script is never run twice unless the platform (not the script) failed it, which counts as a new attempt.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from amun.engines import pod_manifests, unexpected
from amun.engines.podman.host.machine import Machine
from amun.engines.podman.podman_cli import Podman, PodmanError, PodmanSlow
from amun.engines.podman.state import disk_full, files
from amun.engines.podman.state.disk_full import Room
from amun.engines.podman.state.store import Store
from amun.engines.unexpected import Refusals, Unexpected
from amun.errors import EngineUnavailable, InspectionNotFound
from amun.model import quantity, timestamps
from amun.model.inspection import Inspection, ItemState
from amun.runs import log_frames, report
from amun.settings import Settings
from amun.telemetry import metrics
from amun.telemetry.logs import logger

from . import oci_hook, pods, tail, usage
from .container import Container
from .disk_quota import DiskGuard
from .process_watch import Watch
from .usage import UsageGuard

TICK = 1.0
"""Seconds between looks at deadline and disk while an item runs; its end is noticed at once."""

MARGIN = 2.0
"""Seconds that the runner has, beyond deadline and grace, to end by itself and say so."""

RETRY_AFTER = 2.0
"""Seconds before what the disk or podman prevented is tried again."""

LOG_OVERHEAD = 10
"""How many times the output limit an item's log may take: two streams, and the frames around the shortest lines. At
more, Podman would begin it afresh."""

LOG_REPORT = 4 * 2**20
"""Bytes of it that a report may take."""

START = 300
"""Seconds that a pod has to start in, what comes before the script included; `start_deadline` may give it less."""

OOM = "oom"
"""A file that conmon creates, where podman was called, when memory runs out in a container and control groups are of
version 1. Podman looks for it elsewhere."""

NO_SHELL = re.compile(
    r"attempted to invoke a command that was not found"
    r"|exec:? \"?/bin/sh\"?: |open executable: "
    r"|init container \S+ exited with code (?!137|143)"
)
"""What podman, runc and crun say of an image without a /bin/sh that starts. The init container fails for nothing else,
unless it is killed."""


class ImageGone(Exception):
    """The image of the environment is not there any more."""


class Run:
    """One supervised item: its thread, and the wish to have it stopped."""

    def __init__(self, inspection: Inspection, item: int, image: str) -> None:
        self.inspection = inspection
        self.item = item
        self.image = image
        self.stop_reason: str | None = None
        self.watch: Watch | None = None
        self.ended: Container | None = None

    @property
    def pod(self) -> str:
        return f"{self.inspection.id}-{self.item}"

    @property
    def container(self) -> str:
        return pods.script_container(self.pod)

    def stop(self, reason: str) -> None:
        self.stop_reason = self.stop_reason or reason
        if self.watch is not None:
            self.watch.tell()


class Items:
    """Starts items where there is place, watches them, keeps their reports. Used by one controller at a time."""

    def __init__(
        self, podman: Podman, machine: Machine, store: Store, settings: Settings, *, labels: dict[str, str],
        node: str, changed: Callable[[], None], image_gone: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._podman = podman
        self._machine = machine
        self._store = store
        self._settings = settings
        self._labels = labels
        self._node = node
        self._changed = changed
        self._image_gone = image_gone
        self._runs: dict[tuple[str, int], Run] = {}
        self._unexpected = Unexpected()
        self._room = Room(settings.state_dir)
        self._refusals = Refusals(settings.start_deadline)
        self._reporting = threading.Lock()  # one at a time: a report takes many times what a script printed

    def running(self) -> int:
        return len(self._runs)

    def place(self) -> bool:
        """Whether one more item may start now."""
        return self.running() < self._settings.max_runs

    def of(self, inspection_id: str) -> list[Run]:
        """The items of an inspection that are being watched."""
        return [run for (owner, _), run in list(self._runs.items()) if owner == inspection_id]

    def start(self, inspection: Inspection, item: int, image: str) -> None:
        """Start an item, or take one up again that was started before."""
        run = Run(inspection, item, image)
        self._runs[inspection.id, item] = run
        threading.Thread(target=self._supervise, args=(run,), name=run.pod, daemon=True).start()

    def stop(self, inspection_id: str, reason: str) -> None:
        for run in self.of(inspection_id):
            run.stop(reason)

    # -- one item, in its own thread ----------------------------------------------------------------------------

    def _supervise(self, run: Run) -> None:
        if self._interrupted(run):
            time.sleep(RETRY_AFTER)  # then the next step takes it up again
            self._give_up_place(run)
        else:
            self._give_up_place(run)  # before the pod is removed, which takes time: the next item need not wait
            self._remove_pod(run)

    def _give_up_place(self, run: Run) -> None:
        del self._runs[run.inspection.id, run.item]
        self._changed()

    def _remove_pod(self, run: Run) -> None:
        try:
            self._clear_away(run)
        except EngineUnavailable as exc:
            logger.warning("pod left behind", pod=run.pod, error=str(exc))

    def _clear_away(self, run: Run) -> None:
        if run.ended is None:
            pods.remove(self._podman, [run.pod])
        else:
            pods.remove_ended(self._podman, [run.pod], [run.ended])
        run.ended = None

    def _interrupted(self, run: Run) -> bool:
        """Work on an item until it is over; True if something else than its end came first."""
        log = logger.bind(inspection_id=run.inspection.id, item=run.item)
        try:
            with self._built_again(run):
                self._play_to_the_end(run)
        except InspectionNotFound:
            log.info("item of a deleted inspection ended")
        except files.DiskFull as exc:
            log.warning("item interrupted", error=str(exc))
            return not (self._room.too_often(run.pod, self._log(run)) and self._ended_without_room(run))
        except EngineUnavailable as exc:
            log.warning("item interrupted", error=str(exc))
            if not self._refusals.too_long(run.pod, exc):
                return True
            self.give_up(run.inspection.id, run.item, unexpected.REFUSED, str(exc))
        except Exception:
            if not self._unexpected.too_often(run.pod, "item interrupted"):
                return True
            self.give_up(run.inspection.id, run.item, unexpected.REASON, unexpected.MESSAGE)
        self._room.over(run.pod)
        self._refusals.over(run.pod)
        return False

    @contextlib.contextmanager
    def _built_again(self, run: Run) -> Iterator[None]:
        """Have the image built again if it turns out to be gone: the item waits for it, and for a place."""
        try:
            yield
        except ImageGone:
            attempt = self._state(run.inspection.id, run.item).attempt
            self._store.keep_item(run.inspection.id, ItemState(item=run.item, attempt=attempt))
            self._image_gone(run.inspection.id)

    def _ended_without_room(self, run: Run) -> bool:
        """End an item of which no more can be kept than that; False if not even that can be, yet."""
        with contextlib.suppress(files.DiskFull):
            self.give_up(run.inspection.id, run.item, disk_full.REASON, disk_full.MESSAGE)
            return True
        return False

    def give_up(self, inspection_id: str, item: int, reason: str, message: str) -> None:
        """Have an item end as the platform's error, whatever it does."""
        with contextlib.suppress(InspectionNotFound):
            state = replace(self._state(inspection_id, item), state="terminated", outcome="error", node=self._node)
            ended = replace(state, reason=reason, message=message, finished_at=timestamps.now())
            self._store.keep_item(inspection_id, ended)

    def _play_to_the_end(self, run: Run) -> None:
        state = self._state(run.inspection.id, run.item)
        while state.outcome is None:
            state = self._attempt(run, state)

    def _state(self, inspection_id: str, item: int) -> ItemState:
        try:
            return self._store.item(inspection_id, item)
        except files.CorruptState as exc:
            files.set_aside(exc.path)
            return self._state(inspection_id, item)

    def _attempt(self, run: Run, state: ItemState) -> ItemState:
        """Run the script, or take up a run of it, and keep what came of it; or ask for another attempt."""
        if state.state == "waiting" and state.attempt > 1:
            self._put_by(run, state.attempt - 1)
        container = self._take_up(run) if state.state == "running" or self._script_has_run(run) else None
        refusal = None
        if container is None and not self._script_has_run(run):
            state = self._prepare(run, state.attempt)
            refusal = self._play(run)
            container = self._container(run)
        if container is not None:
            # One that has ended already needs no watching, and no second look.
            started = container.started_at or state.started_at
            state = replace(state, state="running", node=self._node, container=pods.CONTAINER, started_at=started)
            with contextlib.suppress(files.DiskFull):  # that it runs was kept before it did
                self._store.keep_item(run.inspection.id, state)
            self._watch(run, container)
        if container is None or container.running:
            container = self._container(run)
        run.ended = None if container is None or container.running else container
        with self._reporting:
            ended, document = self._collect(run, state, container, refusal)
            again = self._may_start_again(run, ended)
            if not again:
                self._store.keep_item(run.inspection.id, ended, document)
        if again:
            return self._again(run, ended)
        logger.info(
            "item ended", inspection_id=run.inspection.id, item=run.item, outcome=ended.outcome, reason=ended.reason
        )
        metrics.item_ended(ended, self._store.build(self._store.declared(run.inspection.id).build).finished_at)
        return ended

    def _may_start_again(self, run: Run, ended: ItemState) -> bool:
        """Whether the platform failed this attempt, and may not again: the node would be as wrong, its disk as full."""
        at_fault = ended.outcome == "error" and ended.reason != "HardwareMismatch" and not self._room.by_itself(run.pod)
        return at_fault and run.stop_reason is None and ended.attempt < self._settings.attempts

    def _again(self, run: Run, ended: ItemState) -> ItemState:
        """The platform failed this attempt: before anything else is done about it, the next one is counted."""
        state = ItemState(item=run.item, attempt=ended.attempt + 1, reason="Restarting", message=ended.message)
        self._store.keep_item(run.inspection.id, state)
        logger.warning("item starts again", inspection_id=run.inspection.id, item=run.item, reason=ended.reason)
        return state

    def _put_by(self, run: Run, attempt: int) -> None:
        """Remove what an attempt that the platform failed has left but for its log, which is put by."""
        self._clear_away(run)
        log = self._log(run)
        if log.exists():
            with files.disk_errors():
                log.replace(log.with_name(f"log.{attempt}"))

    # -- start --------------------------------------------------------------------------------------------------

    def _take_up(self, run: Run) -> Container | None:
        """The container of an item that another controller started, if its script was started at all."""
        with files.locked(self._starting(run)):  # it may be about to start it even now
            container = self._container(run)
        if container is None or container.started_at is None:
            pods.remove(self._podman, [run.pod])
            return None
        return container

    def _container(self, run: Run) -> Container | None:
        found = self._podman.inspect_container(run.container)
        return None if found is None else Container.from_inspection(found)

    def _script_has_run(self, run: Run) -> bool:
        """Whether a pod that is gone left a log: then its script has run, and does not run again."""
        log = self._log(run)
        return files.size(log) > 0

    def _log(self, run: Run) -> Path:
        return self._store.item_path(run.inspection.id, run.item) / "log"

    def _starting(self, run: Run) -> Path:
        """The lock that is held while podman starts the item."""
        return self._store.item_path(run.inspection.id, run.item) / "starting"

    def _prepare(self, run: Run, attempt: int) -> ItemState:
        now = timestamps.now()
        state = ItemState(
            item=run.item,
            state="running",
            attempt=attempt,
            node=self._node,
            container=pods.CONTAINER,
            started_at=now,
            placed_at=now,
            weak_limits=self._machine.weak_limits,
        )
        self._store.keep_item(run.inspection.id, state)
        return state

    def _play(self, run: Run) -> str | None:
        """Create the pod and start it; says what podman said if it refused. Raises `ImageGone`."""
        arguments = ["kube", "play", "--quiet", "--network", self._machine.run_network]
        arguments += ["--log-driver", "k8s-file", "--log-opt", f"path={self._log(run)}"]
        arguments += ["--log-opt", f"max-size={LOG_OVERHEAD * self._settings.output_limit + LOG_REPORT}"]
        pod = pod_manifests.with_limits(pod_manifests.pod(self._job(run), run.pod, run.item), self._machine.limits)
        pod["metadata"]["annotations"] |= self._fallbacks(run)
        file = self._log(run).with_name("pod.json")
        files.write_json(file, pod)
        file.with_name(OOM).unlink(missing_ok=True)
        patience = min(START, self._settings.start_deadline)
        try:
            self._podman.call_locked(self._starting(run), *arguments, str(file), place=file.parent, timeout=patience)
        except files.DiskFull:
            raise
        except PodmanSlow as exc:  # What comes before the script is the image's too, and may never end.
            pods.remove(self._podman, [run.pod])
            return str(exc)
        except PodmanError as exc:
            if "image not known" in str(exc):
                raise ImageGone from exc
            return str(exc)
        return None

    def _fallbacks(self, run: Run) -> dict[str, str]:
        """Annotations for the resource limits that take the place of those of control groups."""
        asked, memory = {}, self._watched_memory(run)
        if memory is not None:
            asked[oci_hook.MEMORY] = str(usage.data_limit(memory))
        if "processes" in self._machine.weak_limits:
            asked[oci_hook.PROCESSES] = str(self._settings.pids_limit)
        return asked

    def _watched_memory(self, run: Run) -> int | None:
        """Bytes of memory above which a run is ended; None where a control group sees to it."""
        weak, asked = self._machine.weak_limits, run.inspection.specification.run.requests
        return int(quantity.parse(asked.memory)) if "memory" in weak else None

    def _user(self, run: Run) -> int:
        """The user id of a run; one of its own where the kernel counts processes by that alone."""
        first = self._settings.run_uid
        return usage.user_of(run.pod, first) if "processes" in self._machine.weak_limits else first

    def _job(self, run: Run) -> dict[str, Any]:
        mount = self._store.path(run.inspection.id) / "mount"
        surroundings = pod_manifests.Surroundings(
            payload={"hostPath": {"path": str(mount), "type": "Directory"}},
            user=self._user(run),
            grace=self._settings.grace,
            output_limit=self._settings.output_limit,
            pull_policy="Never",
            labels=self._labels,
        )
        return pod_manifests.job(run.inspection, run.image, surroundings)

    # -- watch --------------------------------------------------------------------------------------------------

    def _watch(self, run: Run, container: Container) -> None:
        """Wait until the container has ended, and end it where it goes on for too long or takes too much."""
        guard = DiskGuard(self._podman, container.process, container.writable, self._settings.storage_limit)
        taken = UsageGuard(self._podman, memory=self._watched_memory(run))
        tick = usage.TICK if taken.needed else TICK
        run.watch = Watch(container.monitor)
        timeout = run.inspection.specification.run.timeout
        deadline = (
            timestamps.seconds(container.started_at or timestamps.now()) + timeout + self._settings.grace + MARGIN
        )
        try:
            while not run.watch.ended(tick if run.stop_reason is None else 0):
                if time.time() > deadline:
                    run.stop("DeadlineExceeded")
                elif guard.exceeded(deadline - time.time()):
                    if run.watch.ended(0):  # by itself, while its files were counted
                        break
                    run.stop("StorageLimitExceeded")
                elif self._room.filled_by(run.pod, self._log(run)):
                    run.stop(disk_full.REASON)
                elif taken.exceeded(container.process):
                    run.stop("OOMKilled")
                if run.stop_reason is not None:
                    grace = self._settings.grace if run.stop_reason == "Cancelled" else 0
                    self._podman.call("stop", "--ignore", "--time", str(grace), run.container, timeout=grace + 60)
        finally:
            run.watch.close()

    # -- collect ------------------------------------------------------------------------------------------------

    def _collect(
        self, run: Run, state: ItemState, container: Container | None, refusal: str | None
    ) -> tuple[ItemState, dict[str, Any]]:
        """Make the report of what the script left in the log and of what podman knows of the container."""
        asked = run.inspection.specification.run
        hardware = asked.requests.hardware
        outcome = replace(self._outcome(run, state, container, refusal), weak_limits=state.weak_limits)
        frames = log_frames.frames(tail.read(self._log(run)))
        sent = run.inspection.script_sha256 or ""
        settings = self._settings
        document = report.assemble(
            frames, outcome, sent, hardware, settings.report_limit, settings.thresholds, asked.timeout
        )
        doubted = run.stop_reason is None and outcome.reason in ("PodDeleted", disk_full.REASON)
        if doubted and document["usage"]["ru_utime"] is not None and not document["signal"]:
            outcome = replace(outcome, reason=None)  # the script had ended by itself, and what it said is all there
        found = report.verdict(document, outcome, hardware, sent)
        ended = replace(
            state,
            state="terminated",
            outcome=found.phase,
            reason=found.reason,
            message=refusal or found.message,
            exit_code=document["exit_code"],
            started_at=document["start_datetime"] or state.started_at,
            finished_at=document["end_datetime"] or timestamps.now(),
            hardware_match=document["hardware_match"],
        )
        return ended, document

    def _outcome(self, run: Run, state: ItemState, container: Container | None, refusal: str | None) -> report.Outcome:
        if refusal is not None:
            return report.Outcome(reason="StartError" if NO_SHELL.search(refusal) else "PodStartFailed")
        if container is None or container.running:  # removed by somebody, or its monitor was killed
            lost = "PodDeleted" if container is None else "NodeLost"
            return report.Outcome(reason=run.stop_reason or lost, started_at=state.started_at)
        return report.Outcome(
            exit_code=container.exit_code,
            reason=run.stop_reason or (disk_full.REASON if self._room.wanting(run.pod) else None),
            oom_killed=container.oom_killed or self._log(run).with_name(OOM).exists(),
            started_at=container.started_at,
            finished_at=container.finished_at,
        )
