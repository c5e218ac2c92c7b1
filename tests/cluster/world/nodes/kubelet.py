"""The kubelets of all nodes: each pod that has a node gets somebody who looks after it."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

from .attendant import Order
from .statuses import OVER
from .worker import Worker

if TYPE_CHECKING:
    from tests.cluster.objects.history import Event
    from tests.cluster.world.world import World

Document = dict[str, Any]


class Kubelet:
    """Knows the workers, tells them when their pods have changed, and removes pods that never had a node."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lost: set[str] = set()
        """Names of nodes that nobody hears of any more."""
        self.moving = threading.Event()
        self.moving.set()
        self._workers: dict[str, Worker] = {}
        self._lock = threading.Lock()
        self._addresses = itertools.count(4)
        world.loop.handle("podgc", self.collect)

    def notice(self, event: Event) -> None:
        """Take note of a pod."""
        pod, metadata = event.entry.object, event.entry.metadata
        node = pod["spec"].get("nodeName")
        if worker := self._workers.get(metadata["uid"]):
            worker.poke()
        elif event.type == "DELETED" or pod["status"].get("phase") in OVER:
            return
        elif node and node not in self.lost:
            self._start(metadata, node)
        elif not node and metadata.get("deletionTimestamp"):
            self.world.loop.add("podgc", metadata["namespace"], metadata["name"])

    def _start(self, metadata: Document, node: str) -> None:
        worker = Worker(self, metadata["namespace"], metadata["name"], metadata["uid"], node)
        with self._lock:
            self._workers[metadata["uid"]] = worker
        worker.start()

    def forget(self, worker: Worker) -> None:
        with self._lock:
            self._workers.pop(worker.uid, None)

    def address(self) -> str:
        """The next address of a pod."""
        number = next(self._addresses)
        return f"10.244.{number // 256}.{number % 256}"

    def collect(self, namespace: str, name: str) -> None:
        """What the garbage collector of pods does with one that is deleted and never had a node: it has failed."""
        pod = self.world.store.find("Pod", name, namespace)
        if pod and pod["metadata"].get("deletionTimestamp") and not pod["spec"].get("nodeName"):
            self.world.store.update("Pod", name, lambda pod: pod["status"].update(phase="Failed"), namespace)

    def order(self, namespace: str, name: str, order: Order) -> None:
        """Have something happen to a pod that is at work. Raises `LookupError` if it is not."""
        with self._lock:
            found = [w for w in self._workers.values() if (w.namespace, w.pod_name) == (namespace, name)]
        if not found:
            raise LookupError(f"no pod {namespace}/{name} is at work on a node")
        found[0].obey(order)

    def on(self, node: str) -> list[Worker]:
        """Those who look after the pods of a node."""
        with self._lock:
            return [worker for worker in self._workers.values() if worker.node == node]

    def stop(self) -> None:
        """End all that runs, without a word of it in the store."""
        self.moving.set()
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            worker.obey(Order("vanish"))
        for worker in workers:
            if not worker.ended(10):
                self.world.loop.failures.append(RuntimeError(f"pod {worker.pod_name} does not stop"))
