"""The Job controller, for Indexed Jobs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ApiError
from tests.cluster.objects.entries import clone

from . import indexes, jobpods
from .jobsync import Sync

if TYPE_CHECKING:
    from tests.cluster.objects.history import Event
    from tests.cluster.world.world import World

Document = dict[str, Any]

COMPONENT = "job-controller"
NAME = f"{indexes.PREFIX}job-name"


class Jobs:
    """Sees to it that each Job has the pods that it should have now, and that its status says how far it is."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pods: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.twins: set[str] = set()
        """Uids of pods that run though another one has their index: nobody takes either away."""
        world.loop.handle("job", self.sync)

    def notice(self, event: Event) -> None:
        """Take note of a Job, or of a pod of one."""
        metadata = event.entry.metadata
        name = metadata["name"] if event.kind == "Job" else event.entry.labels.get(NAME)
        if name is None:
            return
        if event.kind == "Pod":
            with self._world.store.lock:
                known = self._pods[metadata["namespace"], name]
                (known.discard if event.type == "DELETED" else known.add)(metadata["name"])
        self._world.loop.add("job", metadata["namespace"], name, after=self._world.latencies.job)

    def sync(self, namespace: str, name: str) -> None:
        """Bring one Job as far as can be now."""
        store = self._world.store
        with store.lock:
            job = store.find("Job", name, namespace)
            found = [store.find("Pod", pod, namespace) for pod in sorted(self._pods[namespace, name])]
            pods = [pod for pod in found if pod is not None]
            uid = job["metadata"]["uid"] if job else ""
            self._let_go([pod for pod in pods if jobpods.owner_of(pod) != uid])
            if job is not None and not finished(job):
                self._step(Sync(job, [pod for pod in pods if jobpods.owner_of(pod) == uid], store.clock()))

    def _step(self, sync: Sync) -> None:
        now = self._world.store.now()
        if (left := sync.seconds_left()) is not None and not sync.target:
            self._again(sync.job, left)
        if sync.target:
            self._delete(sync, sync.active)
        elif sync.job["metadata"].get("deletionTimestamp") is None:
            self._manage(sync, now)
        released = sync.count(now)
        self._write(sync)
        self._let_go(released)
        event = sync.close(now, sum(1 for pod in sync.terminating if self._there(pod)))
        self._write(sync)
        if event:
            self._event(sync.job, *event)

    def _manage(self, sync: Sync, now: str) -> None:
        """Create and delete pods so that as many run as should."""
        if sync.spec.get("suspend"):
            self._take_away(sync, sync.active)
            if sync.suspend(True, now):
                self._event(sync.job, "Normal", "Suspended", "Job suspended")
            return
        if sync.suspend(False, now):
            self._event(sync.job, "Normal", "Resumed", "Job resumed")
        double = {indexes.index_of(pod) for pod in sync.active if pod["metadata"]["uid"] in self.twins}
        superfluous = [pod for pod in sync.superfluous() if indexes.index_of(pod) not in double]
        if superfluous:
            self._take_away(sync, superfluous)
            return
        missing, left = sync.missing(self._world.latencies.backoff)
        if left is not None:
            self._again(sync.job, left)
        for index in missing:
            if not self._create(sync, index):
                break

    def _create(self, sync: Sync, index: int) -> bool:
        job, namespace = sync.job, sync.job["metadata"]["namespace"]
        try:
            made = self._world.store.create("Pod", jobpods.pod(job, index, sync.delayed.get(index)), namespace)
        except ApiError as error:
            self._event(job, "Warning", "FailedCreate", f"Error creating: {error.message}")
            self._again(job, self._world.latencies.refused)
            return False
        # Its event may come after that of another pod of the Job: until then it must not be missed.
        self._pods[namespace, job["metadata"]["name"]].add(made["metadata"]["name"])
        sync.active.append(made)
        self._event(job, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        return True

    def _take_away(self, sync: Sync, pods: list[Document]) -> None:
        """Delete pods that were not wanted: they count for nothing."""
        self._let_go(pods)
        self._delete(sync, pods)

    def _delete(self, sync: Sync, pods: list[Document]) -> None:
        for pod in list(pods):
            name = pod["metadata"]["name"]
            self._world.store.delete("Pod", name, pod["metadata"]["namespace"])
            self._event(sync.job, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
            sync.active.remove(pod)
            sync.terminating.append(pod)

    def _let_go(self, pods: list[Document]) -> None:
        for pod in filter(jobpods.tracked, pods):
            if self._there(pod):
                self._world.store.update("Pod", pod["metadata"]["name"], jobpods.release, pod["metadata"]["namespace"])

    def _there(self, pod: Document) -> bool:
        found = self._world.store.find("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        return found is not None and found["metadata"]["uid"] == pod["metadata"]["uid"]

    def _write(self, sync: Sync) -> None:
        metadata, status = sync.job["metadata"], clone(sync.status)
        self._world.store.update("Job", metadata["name"], lambda job: job.update(status=status), metadata["namespace"])

    def _again(self, job: Document, seconds: float) -> None:
        self._world.loop.add("job", job["metadata"]["namespace"], job["metadata"]["name"], after=seconds)

    def _event(self, job: Document, kind: str, reason: str, message: str) -> None:
        self._world.recorder.event(job, kind, reason, message, COMPONENT)

    def start_twin(self, namespace: str, name: str, index: int) -> str:
        """Start another pod for an index that has one, as a controller does that lost sight of it; returns its name."""
        store = self._world.store
        with store.lock:
            made = store.create("Pod", jobpods.pod(store.get("Job", name, namespace), index, None), namespace)
            self.twins.add(made["metadata"]["uid"])
            return str(made["metadata"]["name"])


def finished(job: Document) -> bool:
    listed = job["status"].get("conditions") or ()
    return any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in listed)
