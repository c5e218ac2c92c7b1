"""All that lives in a cluster behind its API server, started and stopped as one."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.cluster.objects.store import Store
from tests.cluster.world.builds.builds import Builds
from tests.cluster.world.builds.images import Images
from tests.cluster.world.jobs.jobs import Jobs
from tests.cluster.world.nodes.attendant import Order
from tests.cluster.world.nodes.conditions import set_condition
from tests.cluster.world.nodes.kubelet import Kubelet
from tests.cluster.world.nodes.scheduler import Scheduler

from .faults import Faults
from .loop import Loop
from .nodes import nodes as kinds_of_node
from .recorder import SCHEDULER, Recorder

Document = dict[str, Any]

LOW = (
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 53480Ki. Container run was using "
    "412Mi, request is 256Mi, has larger consumption of memory. "
)
TAINTED = "Taint manager: deleting due to NoExecute taint"
PREEMPTED = f"{SCHEDULER}: preempting to accommodate a higher priority pod"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNKNOWN = ("NodeStatusUnknown", "Kubelet stopped posting node status.")


@dataclass
class Latencies:
    """How long things take, in seconds; a real cluster needs more of each.

    Attributes:
        job, build, schedule: from a change until the controller of these has seen it.
        kubelet: from a pod's coming to a node until the node's first word of it.
        relist: how long a container must run before it is seen to.
        teardown: from the end of the last container to that of the pod.
        retry: until an image that could not be pulled, or a volume that could not be mounted, is tried again.
        refused: until a controller tries again to create what a quota forbade.
        backoff: until an index that failed is tried again, for the first time; then twice as long each time.
        pull, push: of a builder; less than `relist`, and a build may be over before it is seen to run.
        last_words: from the builder's `Failed` to the last line of its log (0.3 to 0.6 s where it was recorded).
    """

    job: float = 0.0
    build: float = 0.0
    schedule: float = 0.0
    kubelet: float = 0.0
    relist: float = 0.05
    teardown: float = 0.0
    retry: float = 0.3
    refused: float = 0.3
    backoff: float = 0.0
    pull: float = 0.15
    push: float = 0.0
    last_words: float = 0.0


class World:
    """Controllers, scheduler and kubelets at work on a store. Use as a context manager, or `start` and `stop` it."""

    def __init__(
        self,
        store: Store,
        nodes: Sequence[Document] | None = None,
        latencies: Latencies | None = None,
        build_overrides: Mapping[str, Any] | None = None,
        niceness: int = 0,
    ) -> None:
        """The processes of runs have this much less of a right to the machine's processors than others, at most 19."""
        self.store = store
        self.niceness = niceness
        self.latencies = latencies or Latencies()
        self._nodes = [kinds_of_node.node()] if nodes is None else nodes
        self.build_overrides = kinds_of_node.overrides(self._nodes) if build_overrides is None else build_overrides
        """`nodeSelector` and `tolerations` that the cluster gives all build pods."""
        self.loop, self.recorder, self.images, self.faults = Loop(), Recorder(store), Images(store), Faults()
        self.kubelet = Kubelet(self)
        self.jobs = Jobs(self)
        self._parts = (Builds(self), self.jobs, Scheduler(self))
        self._pulled: set[tuple[str, str]] = set()

    # -- at work ------------------------------------------------------------------------------------------------

    def start(self) -> World:
        for node in self._nodes:
            if self.store.find("Node", node["metadata"]["name"]) is None:
                self.add_node(node)
        watched = ("Node", "ImageStream", "Build", "Job", "Pod")
        self._events = self.store.subscribe(*watched)
        self._pump = threading.Thread(target=self._listen, name="world events", daemon=True)
        self._pump.start()
        self.loop.start()
        return self

    def stop(self) -> None:
        """End everything, processes too; raises what went wrong in here, which is never a test's subject."""
        self._events.close()
        self._pump.join(10)
        self.loop.stop()
        self.kubelet.stop()
        if self.loop.failures:
            raise ExceptionGroup("the world has failed", [f for f in self.loop.failures if isinstance(f, Exception)])

    def __enter__(self) -> World:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listen(self) -> None:
        for event in self._events:
            if event.kind == "Node":
                self.loop.add("schedule")
                continue
            builds, jobs, scheduler = self._parts
            if event.kind in ("Build", "ImageStream"):
                builds.notice(event)
            elif event.kind == "Job":
                jobs.notice(event)
            else:
                for part in (builds, jobs, scheduler, self.kubelet):
                    part.notice(event)

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Meanwhile nothing moves: processes go on, but nobody says so."""
        self.mute(True)
        try:
            yield
        finally:
            self.mute(False)

    def mute(self, muted: bool) -> None:
        self.loop.mute(muted)
        if muted:
            self.kubelet.moving.clear()
        else:
            self.kubelet.moving.set()

    # -- asked by the parts -------------------------------------------------------------------------------------

    def pulled(self, node: str, reference: str) -> bool:
        """Whether a node has an image already; from now on it has."""
        had = (node, reference) in self._pulled
        self._pulled.add((node, reference))
        return had

    def pull_error(self, reference: str) -> str:
        """What the container runtime says of an image that is not there."""
        repository, _, tag = reference.replace("@", ":", 1).partition(":sha256:")
        if tag:
            tag = f"sha256:{tag}"
        else:
            repository, _, tag = reference.rpartition(":")
        registry, _, path = repository.partition("/")
        asked = f'Head "https://{registry}/v2/{path}/manifests/{tag}"'
        why = f"failed to do request: {asked}: x509: certificate signed by unknown authority"
        return f'failed to pull and unpack image "{reference}": failed to resolve reference "{reference}": {why}'

    # -- what may happen ----------------------------------------------------------------------------------------

    def add_node(self, node: Document) -> None:
        """A node joins the cluster; see `nodes.node`."""
        node = {**node, "status": {**node["status"], "conditions": kinds_of_node.healthy(self.store.now())}}
        self.store.create("Node", node)

    def out_of_memory(self, pod: str, namespace: str | None = None) -> None:
        """The kernel kills in the running containers of a pod, for want of memory."""
        self.kubelet.order(namespace or self.store.namespace, pod, Order("oom"))

    def evict(self, pod: str, namespace: str | None = None, message: str = LOW) -> None:
        """The kubelet ends a pod because its node is short of something."""
        self.kubelet.order(namespace or self.store.namespace, pod, Order("evict", message))

    def preempt(self, pod: str, namespace: str | None = None) -> None:
        """The scheduler deletes a pod, for the sake of one of higher priority."""
        self._disrupt(pod, namespace, "PreemptionByScheduler", PREEMPTED)
        found = self.store.get("Pod", pod, namespace)
        message = f"Preempted by pod {uuid.uuid4()} on node {found['spec'].get('nodeName', '')}"
        self.recorder.scheduling(found, "Normal", "Preempted", message, "Preempting")
        self.store.delete("Pod", pod, namespace)

    def drain(self, pod: str, namespace: str | None = None) -> None:
        """Somebody evicts a pod by the API, as a drain of its node does."""
        self._disrupt(pod, namespace, "EvictionByEvictionAPI", "Eviction API: evicting")
        self.store.delete("Pod", pod, namespace)

    def lose_node(self, name: str, gone: bool = True) -> None:
        """A node is not heard of any more, and its pods are deleted.

        While it is not known to be `gone` they stay, terminating; then they have failed, and go.
        """
        self.kubelet.lost.add(name)
        for worker in self.kubelet.on(name):
            worker.obey(Order("vanish"))
            worker.ended(10)

        def unknown(node: Document) -> None:
            for condition in node["status"]["conditions"]:
                condition.update(status="Unknown", reason=UNKNOWN[0], message=UNKNOWN[1])
            effects = [{"key": UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
            node["spec"]["taints"] = [*(node["spec"].get("taints") or ()), *effects]

        self.store.update("Node", name, unknown)
        for pod in self.store.list("Pod", fields=f"spec.nodeName={name}", namespace="*"):
            if pod["status"].get("phase") in ("Pending", "Running"):
                namespace, own = pod["metadata"]["namespace"], pod["metadata"]["name"]
                self._disrupt(own, namespace, "DeletionByTaintManager", TAINTED)
                self.store.delete("Pod", own, namespace)
                if gone:
                    self._collect(own, namespace)

    def node_is_gone(self, name: str) -> None:
        """A lost node will never come back: its Node is deleted, and its pods with it."""
        self.store.delete("Node", name)
        for pod in self.store.list("Pod", fields=f"spec.nodeName={name}", namespace="*"):
            self._collect(pod["metadata"]["name"], pod["metadata"]["namespace"])

    def _collect(self, pod: str, namespace: str) -> None:
        """What the garbage collector of pods does with one whose node is no more."""
        with self.store.lock:
            if self.store.get("Pod", pod, namespace)["status"].get("phase") in ("Pending", "Running"):
                self.store.update("Pod", pod, lambda document: document["status"].update(phase="Failed"), namespace)
            self.store.delete("Pod", pod, namespace, grace=0)

    def _disrupt(self, pod: str, namespace: str | None, reason: str, message: str) -> None:
        now = self.store.now()
        why = (reason, message)
        self.store.update("Pod", pod, lambda p: set_condition(p, "DisruptionTarget", "True", now, *why), namespace)

    def start_twice(self, job: str, index: int, namespace: str | None = None) -> str:
        """Another pod for an index of a Job that has one: both run. Returns its name."""
        return self.jobs.start_twin(namespace or self.store.namespace, job, index)
