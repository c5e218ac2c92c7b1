"""Somebody who looks after one pod: what can be done to it from outside, and waiting for that and for other things."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ApiError
from tests.cluster.objects.entries import Entry

from .containers import Running

if TYPE_CHECKING:
    from .kubelet import Kubelet

Document = dict[str, Any]

DEADLINE = "Pod was active on the node longer than the specified deadline"


@dataclass(frozen=True)
class Order:
    """What is done to a pod from outside: `oom`, `evict`, or `vanish` (as with its node)."""

    what: str
    message: str = ""


class Gone(Exception):
    """The pod, its node or the world is no more: nothing more is said of it."""


class Ending(Exception):
    """The pod is ended before it is over by itself."""

    def __init__(self, why: str, grace: float, message: str = "") -> None:
        super().__init__(why)
        self.why, self.grace, self.message = why, grace, message


class Attendant:
    """Knows one pod, and notices what happens to it; what it does with it is `work`."""

    def __init__(self, kubelet: Kubelet, namespace: str, name: str, uid: str, node: str) -> None:
        self._thread = threading.Thread(target=self.work, name=f"pod {name}", daemon=True)
        self.namespace, self.pod_name, self.uid, self.node = namespace, name, uid, node
        self._kubelet, self._world, self._store = kubelet, kubelet.world, kubelet.world.store
        self._woken = threading.Event()
        self._orders: list[Order] = []
        self._running: list[Running] = []
        self._started_at = self._store.clock()
        self._ending = False

    def start(self) -> None:
        self._thread.start()

    def work(self) -> None:
        raise NotImplementedError

    def ended(self, timeout: float) -> bool:
        """Wait until it has let go of the pod; whether it did in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def poke(self) -> None:
        """The pod, or something of it, has changed."""
        self._woken.set()

    def obey(self, order: Order) -> None:
        self._orders.append(order)
        self._woken.set()

    def _pause(self, seconds: float | None, until: Callable[[], bool] = lambda: False) -> bool:
        """Wait for something, at most so long; whether it came. Raises what else happens to the pod meanwhile."""
        end = time.monotonic() + (float("inf") if seconds is None else seconds)
        while not until():
            left = min(end - time.monotonic(), self._look())
            if end <= time.monotonic():
                return False
            self._woken.wait(max(min(left, 1.0), 0.0))
            self._woken.clear()
        return True

    def _look(self) -> float:
        """Raise what is to end the pod; returns the seconds until its deadline."""
        while self._orders:
            order = self._orders.pop(0)
            if order.what == "vanish":
                raise Gone
            if order.what == "oom":
                self._out_of_memory()
            elif not self._ending:
                raise Ending("evict", 0, order.message)
        entry = self._entry()
        if self._ending:
            return float("inf")
        if entry.metadata.get("deletionTimestamp"):
            raise Ending("deleted", float(entry.metadata.get("deletionGracePeriodSeconds") or 0))
        deadline = entry.object["spec"].get("activeDeadlineSeconds")
        if deadline is None:
            return float("inf")
        left = float(deadline) - (self._store.clock() - self._started_at).total_seconds()
        if left <= 0:
            raise Ending("deadline", float(entry.object["spec"].get("terminationGracePeriodSeconds", 30)), DEADLINE)
        return left

    def _out_of_memory(self) -> None:
        for container in self._running:
            if container.process.exit_code is None:
                container.out_of_memory = True
                container.process.out_of_memory()

    def _entry(self) -> Entry:
        try:
            entry = self._store.entry("Pod", self.pod_name, self.namespace)
        except ApiError as error:
            raise Gone from error
        if entry.metadata["uid"] != self.uid:
            raise Gone
        return entry

    def _update(self, change: Callable[[Document, str], object]) -> None:
        self._kubelet.moving.wait()
        with self._store.lock:
            if any(order.what == "vanish" for order in self._orders):
                raise Gone
            self._entry()
            now = self._store.now()
            self._store.update("Pod", self.pod_name, lambda pod: change(pod, now), self.namespace)

    def _event(self, kind: str, reason: str, message: str, field: str = "") -> None:
        pod = self._entry().object
        self._world.recorder.event(pod, kind, reason, message, "kubelet", self.node, field)
