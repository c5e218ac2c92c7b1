"""The life of one pod on its node: volumes, images, containers, and the ways to end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.cluster.world.builds.images import SIZE, Image

from . import statuses
from .attendant import Attendant, Ending, Gone, Order
from .conditions import set_condition
from .containers import Running, start
from .volumes import Files, MissingSource

Document = dict[str, Any]


class Worker(Attendant):
    """Looks after one pod, from its coming to the node until it is over."""

    def work(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="amun-world-", ignore_cleanup_errors=True) as place:
                try:
                    self._live(Path(place))
                finally:
                    self._clear()
        except Gone:
            pass
        except Exception as failure:
            self._world.loop.failures.append(failure)
        finally:
            self._kubelet.forget(self)

    def _clear(self) -> None:
        for container in self._running:
            container.process.kill()
        end = time.monotonic() + 10
        while any(container.process.exit_code is None for container in self._running) and time.monotonic() < end:
            time.sleep(0.005)

    # -- from the first to the last -----------------------------------------------------------------------------

    def _live(self, place: Path) -> None:
        if "startTime" in self._entry().object["status"]:  # its containers were those of a kubelet that is no more
            self._over("Failed")
            self._bury()
            return
        try:
            pod = self._begin()
            files = self._mount(Files(place, self._store, pod))
            phase = self._containers(pod, files)
        except Ending as ending:
            self._end(ending)
        else:
            self._over(phase)
        self._bury()

    def _begin(self) -> Document:
        pod = self._entry().copy()
        node = self._store.find("Node", self.node) or {}
        host = next((a["address"] for a in node.get("status", {}).get("addresses") or ()), "10.99.0.1")
        self._pause(self._world.latencies.kubelet)
        self._update(lambda pod, now: statuses.begin(pod, now, host))
        return pod

    def _mount(self, files: Files) -> Files:
        while True:
            try:
                files.mount()
                return files
            except MissingSource as missing:
                self._event("Warning", "FailedMount", str(missing))
                self._pause(self._world.latencies.retry)

    def _containers(self, pod: Document, files: Files) -> str:
        """Run all containers, in order; returns the phase in which the pod ends."""
        first = pod["spec"].get("initContainers") or []
        address = self._kubelet.address()
        for number, spec in enumerate(first):
            last = number == len(first) - 1
            container = self._start(pod, spec, files, "initContainers")

            def network(pod: Document, now: str, last: bool = last, container: Running = container) -> None:
                statuses.networked(pod, now, address)
                if last and container.process.exit_code == 0:
                    statuses.initialized(pod, now)

            self._follow([container], network)
            if container.process.exit_code:
                return "Failed"
        together = [self._start(pod, spec, files, "containers") for spec in pod["spec"]["containers"]]
        self._follow(together, lambda pod, now: statuses.networked(pod, now, address))
        return "Failed" if any(container.process.exit_code for container in together) else "Succeeded"

    def _start(self, pod: Document, spec: Document, files: Files, place: str) -> Running:
        field = f"spec.{place}{{{spec['name']}}}"
        image = self._pull(spec, field)
        while fault := self._world.faults.take("create-container-error", self.pod_name):
            message = fault.message or "context deadline exceeded"
            self._event("Warning", "Failed", f"Error: {message}", field)
            self._wait(spec, "CreateContainerError", message)
        self._event("Normal", "Created", f"Created container: {spec['name']}", field)
        container = start(self._world, pod, spec, files, image, self.poke)
        self._running.append(container)
        self._event("Normal", "Started", f"Started container {spec['name']}", field)
        if place == "containers" and self._fault("oom"):
            self._orders.append(Order("oom"))
        return container

    def _pull(self, spec: Document, field: str) -> Image:
        """The image of a container, once it can be had."""
        reference = spec["image"]
        while (image := self._world.images.find(reference)) is None or self._fault("image-pull"):
            self._event("Normal", "Pulling", f'Pulling image "{reference}"', field)
            error = self._world.pull_error(reference)
            self._event("Warning", "Failed", f'Failed to pull image "{reference}": {error}', field)
            self._event("Warning", "Failed", "Error: ErrImagePull", field)
            self._wait(spec, "ErrImagePull", error)
            waits = f'Back-off pulling image "{reference}"'
            self._event("Normal", "BackOff", waits, field)
            self._event("Warning", "Failed", "Error: ImagePullBackOff", field)
            self._wait(spec, "ImagePullBackOff", waits)
        if self._world.pulled(self.node, reference):
            self._event("Normal", "Pulled", f'Container image "{reference}" already present on machine', field)
        else:
            self._event("Normal", "Pulling", f'Pulling image "{reference}"', field)
            took = f"in 475ms (475ms including waiting). Image size: {SIZE} bytes."
            self._event("Normal", "Pulled", f'Successfully pulled image "{reference}" {took}', field)
        return image

    def _wait(self, spec: Document, reason: str, message: str) -> None:
        """Say why a container does not start, and wait until it may."""
        self._update(lambda pod, _: statuses.waiting(pod, spec["name"], reason, message))
        self._pause(self._world.latencies.retry)

    def _fault(self, kind: str) -> bool:
        return self._world.faults.take(kind, self.pod_name) is not None

    def _follow(self, containers: list[Running], network: Callable[[Document, str], None]) -> None:
        """Say of containers that they run, if they do for long enough to be seen, and of each that it is over."""
        done = lambda: all(container.process.exit_code is not None for container in containers)  # noqa: E731
        if not self._pause(self._world.latencies.relist, done):

            def said(pod: Document, now: str) -> None:
                network(pod, now)
                for container in containers:
                    container.say(pod, now)

            self._update(said)
            self._pause(None, done)

        def over(pod: Document, now: str) -> None:
            network(pod, now)
            for container in containers:
                container.say(pod, now)
            if not containers[0].first:
                failed = any(container.process.exit_code for container in containers)
                statuses.unready(pod, now, "Failed" if failed else "Succeeded")

        self._update(over)

    # -- the ways to end ----------------------------------------------------------------------------------------

    def _end(self, ending: Ending) -> None:
        self._ending = True
        reason = {"deadline": "DeadlineExceeded", "evict": "Evicted"}.get(ending.why, "")
        if ending.why == "deadline":
            self._event("Normal", reason, ending.message)
            self._update(lambda pod, now: statuses.unready(pod, now, "Failed"))
        elif ending.why == "evict":
            self._event("Warning", reason, ending.message)
            why = ("TerminationByKubelet", ending.message)
            self._update(lambda pod, now: set_condition(pod, "DisruptionTarget", "True", now, *why))
        self._stop(ending.grace)

        def over(pod: Document, now: str) -> None:
            for container in self._running:
                container.say(pod, now)
            failed = reason or any(container.process.exit_code for container in self._running if not container.first)
            mains = [container for container in self._running if not container.first]
            statuses.over(pod, now, "Failed" if failed or not mains else "Succeeded", reason, ending.message)

        self._update(over)

    def _stop(self, grace: float) -> None:
        """End all containers that run: those that do not go when asked are killed."""
        alive = [container for container in self._running if container.process.exit_code is None]
        done = lambda: all(container.process.exit_code is not None for container in alive)  # noqa: E731
        for container in alive:
            self._event("Normal", "Killing", f"Stopping container {container.name}", container.field)
            if grace > 0:
                container.process.terminate()
        if not self._pause(grace, done):
            for container in alive:
                container.process.kill()
            self._pause(10, done)

    def _over(self, phase: str) -> None:
        with suppress(Ending):  # it is over all the same
            self._pause(self._world.latencies.teardown)
        self._update(lambda pod, now: statuses.over(pod, now, phase))

    def _bury(self) -> None:
        """Let go of a pod that is over, if it is deleted."""
        with self._store.lock:
            if self._entry().metadata.get("deletionTimestamp"):
                self._store.delete("Pod", self.pod_name, self.namespace, grace=0)
