"""The production engine: environments by OpenShift's builds, items by Jobs, all state in objects of one namespace.

The API asks the cluster for each thing it is asked for; the controller watches. Several controllers may act at once:
whatever one does has a name or a number by which the others notice that it is done.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import filterfalse, islice
from typing import Any

from cachetools import LRUCache, TTLCache, cachedmethod
from openshift.dynamic import Resource

from amun.engines.base import Engine, Queue, check_item
from amun.engines.kubernetes import deleted_pods, kinds, logs, names, nodes, pod_states, records, rights
from amun.engines.kubernetes.api_client import Changed, Cluster, NotFound, Refused, connect
from amun.engines.kubernetes.index import Index
from amun.engines.kubernetes.informer import Document
from amun.engines.kubernetes.jobs import Jobs, built
from amun.engines.kubernetes.nodes import Placement
from amun.engines.kubernetes.records import Final, Reason, Record
from amun.engines.kubernetes.retention import Retention
from amun.engines.kubernetes.start_deadline import Patience
from amun.engines.kubernetes.turns import Turns
from amun.environments import build_log as buildlog
from amun.environments.allowance import Allowance
from amun.environments.masking import Mask
from amun.errors import EngineUnavailable, InspectionNotFound
from amun.model import status, timestamps
from amun.model.inspection import Accepted, BuildState, Inspection, Node, Observation, Submission
from amun.model.specification import Hardware
from amun.runs import log_frames, report
from amun.settings import Settings
from amun.telemetry import metrics
from amun.telemetry.logs import logger

from . import build_states
from .build_config_builder import Environments
from .forgetting import Forgetting
from .image_streams import Images, Unusable
from .logins import Logins
from .observation import observe
from .readers import Asking, Snapshot, View, Watching
from .record_store import Declarations, check_id

TOGETHER = 100
"""Inspections that are looked at by one set of requests: their names have to fit into an address."""

SETTLE = 0.05
"""Seconds for which changes are gathered before the controller looks again."""

NODES_KNOWN = 10.0
"""Seconds for which the list of nodes answers, lest a thousand submissions ask a thousand times."""


ADOPTED = 10_000
"""Records of which it is kept that their Secrets are their own; to see to it once more does no harm."""

ADOPTED_AT_ONCE = 20
"""Records that housekeeping looks after before the loop goes on: many that came at once do not hold up the others."""

IMAGE_WITHIN = 60.0
"""Seconds in which the node's runtime gets an image that its ImageStream has, or never will."""


class OpenShiftEngine(Engine):
    """One namespace of a cluster that serves build.openshift.io. Any number of processes may use it."""

    name = "openshift"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._placement = Placement.of(settings)
        self._changed = threading.Event()
        self._watching: Watching | None = None
        self._nodes: TTLCache[object, list[dict[str, Any]]] = TTLCache(1, NODES_KNOWN)
        self._nodes_lock = threading.Lock()
        self._adopted: LRUCache[str, bool] = LRUCache(ADOPTED)
        self._turns_to_build, self._turns_to_run = Turns(), Turns()

    @functools.cached_property
    def cluster(self) -> Cluster:
        """Raises `EngineUnavailable` where there is no way to one."""
        return connect(self._settings)

    @functools.cached_property
    def _environments(self) -> Environments:
        limit = self._settings.build_storage_limit
        return Environments(self.cluster, self._placement, self._images, self._logins, limit)

    @functools.cached_property
    def _logins(self) -> Logins:
        return Logins(self.cluster)

    @functools.cached_property
    def _forgetting(self) -> Forgetting:
        return Forgetting(self._logins, self._environments)

    @functools.cached_property
    def _declarations(self) -> Declarations:
        return Declarations(self.cluster, self._environments)

    @functools.cached_property
    def _jobs(self) -> Jobs:
        return Jobs(self.cluster, self._placement, self._settings)

    @functools.cached_property
    def _patience(self) -> Patience:
        return Patience(self.cluster, self._settings.start_deadline)

    @functools.cached_property
    def _images(self) -> Images:
        return Images(self.cluster, self._changed.set)

    @functools.cached_property
    def _rights(self) -> rights.Rights:
        return rights.Rights(self.cluster)

    @functools.cached_property
    def _retention(self) -> Retention:
        return Retention(self.cluster, self._settings)

    @functools.cached_property
    def _asking(self) -> Asking:
        return Asking(self.cluster)

    @functools.cached_property
    def _index(self) -> Index:
        return Index(self.cluster)

    @property
    def _view(self) -> View:
        return self._watching or self._asking

    # -- asked by the API ---------------------------------------------------------------------------------------

    def check(self) -> None:
        self._rights.check(rights.API if self._watching is None else rights.CONTROLLER)

    def nodes(self, *, free: bool = True) -> Sequence[Node]:
        least = (self._settings.default_cpu, self._settings.default_memory)
        pods = self._own_pods() if free else []
        return nodes.kinds(self._known_nodes(), pods, least, self._placement)

    @cachedmethod(lambda self: self._nodes, lock=lambda self: self._nodes_lock)
    def _known_nodes(self) -> list[dict[str, Any]]:
        """All nodes; none where they may not be read."""
        try:
            return self.cluster.list(kinds.NODES)
        except Refused:
            return []

    def _own_pods(self) -> list[Any]:
        if self._watching is not None:
            return list(self._watching.all_pods())
        return [slim for pod in self.cluster.list(kinds.PODS, "app=amun") if (slim := nodes.placed(pod)) is not None]

    def lacks(self, hardware: Hardware, node: Node) -> Iterator[str]:
        return self._placement.lacks(hardware, node)

    def resolve(self, base: str) -> str | None:
        return self._images.digest(base)

    def refusal(self, base: str) -> str | None:
        try:
            self._images.pin(base)
        except Unusable as exc:
            return f"{exc.reason}: {exc}"
        except EngineUnavailable:
            return None  # the build will say
        return None

    def has_environment(self, environment: str) -> bool:
        return self._environments.exists(environment)

    def submit(self, submission: Submission, key: str | None = None, fingerprint: str | None = None) -> Accepted:
        if key is None:
            return self._declarations.declare(submission)
        return self._declarations.declare_once(submission, key, fingerprint or "")

    def inspections(self, owner: str | None = None) -> Sequence[str]:
        return list(self.phases(owner))

    def phases(self, owner: str | None = None) -> Mapping[str, str | None]:
        return {one.id: one.phase for one in self._index.entries(owner)}

    def declared(self, inspection_id: str) -> Inspection:
        return self._record(inspection_id).inspection

    def whole(self, inspection: Inspection) -> Inspection:
        return self._declarations.whole(inspection)

    def _record(self, inspection_id: str) -> Record:
        check_id(inspection_id)
        return self._view.record(inspection_id)

    def observe(self, inspection_id: str) -> Observation:
        check_id(inspection_id)
        found = observe(self._view, inspection_id, self._settings.attempts)
        if self._watching is None or not any(item.message == deleted_pods.MESSAGE for item in found.items):
            return found
        return observe(self._asking, inspection_id, self._settings.attempts)  # a cache may only be late

    def observations(self, ids: Sequence[str]) -> Iterator[Observation]:
        for start in range(0, len(ids), TOGETHER):
            some = ids[start : start + TOGETHER]
            view = Snapshot(self.cluster, some)
            for inspection_id in some:
                with contextlib.suppress(InspectionNotFound):
                    yield observe(view, inspection_id, self._settings.attempts)

    def build_log(self, inspection_id: str, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        record = self._record(inspection_id)

        def opened(following: bool) -> logs.Answer | None:
            last = self._build_of(record)
            if last is None:
                return None
            return self._environments.open_log(last["metadata"]["name"], **({"follow": "true"} if following else {}))

        def over() -> bool:
            observation = self.observe(inspection_id)
            return status.verdict(observation).over or observation.build.outcome is not None

        # Logs are kept before passwords are forgotten: who finds these no more finds the log that was kept.
        mask = Mask(self._logins.words(record.environment) or () if record.inspection.private else ())
        kept = self._kept_log(record)
        if kept is not None:
            return Mask().stream(iter([kept]), offset)
        changes = self._changes(kinds.BUILDS, f"{names.BUILD_CONFIG}={record.environment}")
        return mask.stream(logs.follow(opened, over, changes) if follow else logs.read(opened), offset)

    def _changes(
        self, kind: Resource, selector: str, matters: Callable[[Document], bool] = lambda _: True
    ) -> logs.Changes:
        return logs.Changes(lambda: self.cluster.watch(kind, selector, idle=logs.SILENCE), matters)

    def _build_of(self, record: Record) -> build_states.Document | None:
        return build_states.decisive(self._view.builds(record.environment), record.inspection)

    def _kept_log(self, record: Record) -> bytes | None:
        """What was kept of the log of a Build that Amun has ended, whose pod went with it, or that had passwords."""
        last = self._build_of(record)
        if (
            last is None
            or build_states.ongoing(last)
            or (build_states.stopped(last) is None and not record.inspection.private)
        ):
            return None
        return self._environments.kept_log(last["metadata"]["name"])

    def item_log(self, inspection_id: str, item: int, follow: bool = False) -> Iterator[bytes]:
        check_item(self.declared(inspection_id), item)
        opened = functools.partial(self._item_log, inspection_id, item)

        def over() -> bool:
            observation = self.observe(inspection_id)
            return status.verdict(observation).over or observation.items[item].outcome is not None

        changes = self._changes(
            kinds.PODS, f"{names.INSPECTION}={inspection_id}", lambda pod: pod_states.index(pod) == item
        )
        return logs.as_cri(logs.follow(opened, over, changes) if follow else logs.read(opened))

    def _item_log(self, inspection_id: str, item: int, following: bool) -> logs.Answer | None:
        pod = self._pod(inspection_id, item)
        if pod is None:
            return None
        query = {"container": pod_states.CONTAINER, "timestamps": "true"} | ({"follow": "true"} if following else {})
        return logs.unless_waiting(
            lambda: self.cluster.open(kinds.PODS, pod["metadata"]["name"], "log", idle=logs.SILENCE, **query)
        )

    def _pod(self, inspection_id: str, item: int) -> pod_states.Pod | None:
        return pod_states.decisive([pod for pod in self._view.pods(inspection_id) if pod_states.index(pod) == item])

    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        observation = self.observe(inspection_id)
        check_item(observation.inspection, item)
        pod = self._pod(inspection_id, item) if observation.items[item].outcome is not None else None
        if pod is None:
            return None
        inspection = observation.inspection
        frames = log_frames.frames(logs.as_cri(logs.read(functools.partial(self._item_log, inspection_id, item))))
        return report.assemble(
            pod_states.account(pod, frames),
            pod_states.outcome(pod),
            inspection.script_sha256 or "",
            inspection.specification.run.requests.hardware,
            self._settings.report_limit,
            self._settings.thresholds,
            inspection.specification.run.timeout,
        )

    def cancel(self, inspection_id: str) -> None:
        if self._record(inspection_id).cancelled_at is None:
            self._declarations.cancel(inspection_id, timestamps.now())

    def delete(self, inspection_id: str) -> None:
        self._declarations.delete(inspection_id)

    def queue(self) -> Queue:
        observed = [one for one in self._active() if not status.verdict(one).over]
        builds_of = {(one.inspection.environment, one.build.container): one.build for one in observed}
        states = [item for one in observed for item in one.items]
        return Queue(
            builds_waiting=sum(build.state == "waiting" for build in builds_of.values()),
            builds_running=sum(build.state == "running" for build in builds_of.values()),
            items_waiting=sum(item.state in ("waiting", "scheduling") for item in states),
            items_running=sum(item.state == "running" for item in states),
        )

    def _active(self) -> Iterator[Observation]:
        ids = self.unfinished()
        if self._watching is None:
            yield from self.observations(ids)
            return
        for inspection_id in ids:
            with contextlib.suppress(InspectionNotFound):
                yield self.observe(inspection_id)

    # -- asked by the controller --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def leadership(self) -> Iterator[bool]:
        watching = Watching(self.cluster, self._changed.set)
        try:
            watching.start()
            self._watching = watching
            yield True
        finally:
            self._watching = None
            watching.stop()

    def unfinished(self, owner: str | None = None) -> Sequence[str]:
        if self._watching is None:
            return [one.id for one in reversed(self._index.entries(owner)) if one.active]
        found = [one for one in self._watching.records() if owner in (None, one.inspection.owner)]
        return [one.inspection.id for one in sorted(found, key=_age_order)]

    def build(self, inspection: Inspection) -> None:
        record = self._record(inspection.id)
        there = self._view.builds(record.environment)
        last = build_states.newest(there)
        if last is not None and build_states.phase(last) in ("New", "Pending"):
            return self._give_up(record, last)
        if last is not None and build_states.ongoing(last):
            return self._patience.over_with(record)
        if not self._place_for_build() or not self._turns_to_build.has(inspection.id):
            return
        allowed = [Allowance.of(one.inspection.specification.build) for one in self._waiting(record.environment)]
        with self._turns_to_build.taken(inspection.id), self._patience.noting(record):
            try:
                self._environments.build(record, there, self._settings.attempts, allowed)
            except Unusable as exc:
                self._refuse(record, exc)

    def _refuse(self, record: Record, why: Unusable) -> None:
        """Let the build of an inspection have failed, without having begun."""
        reason = records.Waiting(why.reason, str(why), since=timestamps.now())
        self.cluster.patch(kinds.CONFIG_MAPS, record.inspection.id, records.refused(reason))
        logger.info("base image is refused", reason=why.reason)

    def _place_for_build(self) -> bool:
        limit = self._settings.max_builds
        if not limit or self._watching is None:
            return True
        return sum(map(build_states.ongoing, self._watching.all_builds())) + self._environments.asked() < limit

    def _give_up(self, record: Record, build: build_states.Document) -> None:
        """End a Build that could not start in time, be it that its pod could not even be made."""
        pods = self._view.build_pods(build["metadata"]["name"])
        before = [
            one
            for one in self._view.builds(record.environment)
            if build_states.number(one) < build_states.number(build)
        ]
        if not pods and any(map(build_states.ongoing, before)):
            return  # it only waits for its turn
        reason = self._patience.over(record, build, pods)
        if reason is not None and build_states.stopped(build) is None:
            self._environments.stop(build, reason.reason, reason.message)

    def run(self, inspection: Inspection) -> None:
        record, jobs = self._record(inspection.id), self._view.jobs(inspection.id)
        pods = self._view.pods(inspection.id)
        if record.stopped is not None:
            return self._jobs.stop(record, jobs, pods, running=False)
        self._jobs.note(record, jobs)
        if not jobs and deleted_pods.ALL not in record.made:
            if self._turns_to_run.has(inspection.id):
                with self._turns_to_run.taken(inspection.id), self._patience.noting(record):
                    self._jobs.start(record, self.observe(inspection.id).build)
            return
        if self._image_is_gone(record, jobs, pods):
            return self._without_image(record, jobs, pods)
        if pods:
            self._patience.over_with(record)
        lacking = pod_states.taken_away(inspection, pods, jobs, record.made, self._settings.attempts)
        if lacking and self._turns_to_run.has(inspection.id):
            with self._turns_to_run.taken(inspection.id):
                self._run_again(inspection)
        for job in jobs:
            own = [pod for pod in pods if job["metadata"]["uid"] in _owners(pod)]
            reason = None if deleted_pods.over(job) else self._patience.over(record, job, own)
            if reason is not None:
                return self._patience.give_up(record, reason)

    def _run_again(self, inspection: Inspection) -> None:
        """Make further Jobs for what somebody took away, as many at once as the inspection allows.

        What a cache lacks may only be late: it is asked for. The Job of all items goes on with the others first.
        """
        record, jobs = self._asking.record(inspection.id), self._asking.jobs(inspection.id)
        pods = self._asking.pods(inspection.id)
        going = [job for job in jobs if not deleted_pods.over(job)]
        if any(job["metadata"]["name"] == inspection.id for job in going):
            return
        alone = [pod for pod in pods if not pod_states.terminated(pod) and not _owners(pod) & _uids(going)]
        room = inspection.specification.parallelism - len(going) - len(alone)
        wanted = pod_states.taken_away(inspection, pods, jobs, record.made, self._settings.attempts)
        build = observe(self._asking, inspection.id, self._settings.attempts).build
        for item, attempt in wanted[: max(0, room)]:
            with self._patience.noting(record):
                self._jobs.start_again(record, item, attempt, build)

    def _image_is_gone(self, record: Record, jobs: Sequence[Document], pods: Sequence[Document]) -> bool:
        """Whether pods wait for an image that cannot be had, and that is to be built again for this inspection."""
        stuck, used = [pod for pod in pods if pod_states.without_image(pod)], built(jobs)
        there = self._view.builds(record.environment)
        last = build_states.newest(there)
        if not stuck or used is None or last is None:
            return False
        if used.image == build_states.image(last) and build_states.gone_at(last) is None:
            waited = max(
                timestamps.between(pod["metadata"]["creationTimestamp"], timestamps.now()) or 0 for pod in stuck
            )
            if waited < IMAGE_WITHIN and self._environments.keeps(record.environment, used.image or ""):
                return False
            self._environments.lost_image(last)
            return False  # the next look finds it noted
        return used.image != build_states.image(last) or build_states.replaceable(there, record.inspection)

    def _without_image(self, record: Record, jobs: Sequence[Document], pods: Sequence[Document]) -> None:
        logger.warning("image is gone, building it again", environment=record.environment)
        if any(map(pod_states.begun, pods)):
            self._jobs.stop(record, jobs, pods, running=False)  # what is left is run by further Jobs
        else:
            self._jobs.begin_anew(record, jobs)

    def stop(self, inspection: Inspection) -> None:
        record = self._record(inspection.id)
        cancelled = record.cancelled_at is not None or record.defect is not None
        if (inspection.items or record.defect is not None) and (cancelled or record.stopped is not None):
            jobs, pods = self._view.jobs(inspection.id), self._view.pods(inspection.id)
            self._jobs.stop(record, jobs, pods, running=cancelled)
        last = build_states.newest(self._view.builds(record.environment))
        if (
            last is not None
            and build_states.ongoing(last)
            and record.environment not in self._wanted(but=inspection.id)
        ):
            self._stop_build(last)

    def _wanted(self, but: str = "") -> set[str]:
        """Environments that inspections wait for, this one left out."""
        return {one.environment for one in self._waiting() if one.inspection.id != but}

    def _waiting(self, environment: str | None = None) -> list[Record]:
        """Inspections that are neither closed nor cancelled, all or those of one environment."""
        known = self._watching.records() if self._watching is not None else []
        return [one for one in known if one.cancelled_at is None and environment in (None, one.environment)]

    def _spent(self, record: Record, build: BuildState) -> bool:
        """Whether nothing comes of an environment any more, now that an inspection is closed whose build ended so."""
        last = build_states.newest(self._view.builds(record.environment))
        if last is None or build_states.ongoing(last):
            failed = build.outcome in ("failed", "error")
        else:
            failed = build_states.image(last) is None
        others = {one.inspection.id for one in self._waiting(record.environment)} - {record.inspection.id}
        return failed and all(self.observe(one).build.outcome is not None for one in others)

    def _stop_build(self, build: build_states.Document) -> None:
        if build_states.stopped(build) is None:
            with contextlib.suppress(NotFound):  # deleted with its last inspection
                self._environments.failed(build["metadata"]["labels"][names.BUILD_CONFIG])
            self._environments.stop(build, build_states.CANCELLED, "Nobody waits for the build any more.")

    def give_up(self, inspection_id: str, reason: str, message: str) -> None:
        self.cluster.patch(kinds.CONFIG_MAPS, inspection_id, records.stopped(Reason(reason, message)))

    def final(self, inspection_id: str) -> Observation:
        observation = self.observe(inspection_id)
        return replace(observation, build=self._explained(inspection_id, observation.build))

    def finish(self, inspection: Inspection, stored: bool = False, at: str | None = None) -> None:
        record = self._record(inspection.id)
        if record.finished_at is not None:
            return
        observation = self.final(inspection.id)
        build = observation.build
        if build.outcome != "succeeded" and self._spent(record, build):
            with contextlib.suppress(NotFound):
                self._environments.failed(record.environment)
        self._adopt(record)
        final, phase = Final(build, observation.items, stored), status.verdict(observation).phase
        try:
            change = records.closed(record, at or timestamps.now(), final, phase)
            self.cluster.patch(kinds.CONFIG_MAPS, inspection.id, change)
        except Changed:
            return  # changed since it was read; the next look goes by what it is then
        _count(record, observation)

    def _explained(self, inspection_id: str, build: BuildState) -> BuildState:
        """A failed build says why by its whole log; the Build itself has but its last lines."""
        if build.outcome != "failed" or build.reason in build_states.OWN_REASONS:
            return build
        try:
            text = b"".join(self.build_log(inspection_id)).decode(errors="replace")
        except EngineUnavailable:
            if (timestamps.between(build.finished_at, timestamps.now()) or logs.WITHIN) < logs.WITHIN:
                raise
            text = ""
        return build_states.explained(build, buildlog.failed_step(text)) if text else build

    def tend(self) -> None:
        self._turns_to_build.end()
        self._turns_to_run.end()
        if self._watching is not None:
            self._adopt_some(self._watching.records())
            wanted = self._wanted()
            for build in filter(build_states.ongoing, self._watching.all_builds()):
                name = build["metadata"]["labels"].get(names.BUILD_CONFIG, "")
                if names.generation(name) and name not in wanted:
                    self._stop_build(build)
            known = {one.environment for one in self._watching.records() if one.inspection.private}
            self._forgetting.tend(known, wanted, self._view.builds)
        self._retention.expire()

    def _adopt_some(self, known: Iterable[Record]) -> None:
        for record in islice(filterfalse(self._is_adopted, known), ADOPTED_AT_ONCE):
            self._adopt(record)

    def _is_adopted(self, record: Record) -> bool:
        return not record.inspection.abridged or record.uid in self._adopted

    def _adopt(self, record: Record) -> None:
        if not self._is_adopted(record):
            self._declarations.adopt(record)
            self._adopted[record.uid] = True

    def wait(self, timeout: float) -> None:
        if self._changed.wait(timeout):
            time.sleep(SETTLE)
        self._changed.clear()


def _owners(pod: Document) -> set[str]:
    return {owner["uid"] for owner in pod["metadata"].get("ownerReferences") or ()}


def _uids(documents: Sequence[Document]) -> set[str]:
    return {document["metadata"]["uid"] for document in documents}


def _age_order(record: Record) -> tuple[str, str]:
    return record.inspection.created, record.inspection.id


def _count(record: Record, observation: Observation) -> None:
    """For the metrics: once for each inspection, by the controller that closed it."""
    if observation.build.outcome is not None and not record.cached:
        metrics.build_ended(observation.build, record.inspection.created)
    for item in observation.items:
        if item.outcome is not None:
            metrics.item_ended(item, observation.build.finished_at)
