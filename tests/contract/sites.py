"""Where engines are put to the test: one `Site` for each engine, and the `Desk` at which user and controller work."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from amun import composition
from amun.application.controller import Controller
from amun.application.inspections import Inspections
from amun.auth.callers import ANYBODY
from amun.engines.base import Engine, Queue
from amun.errors import InspectionNotFound
from amun.model import status
from amun.model.inspection import Inspection, Observation
from amun.settings import Settings
from tests.conftest import wait_until
from tests.support import shared_probe, standin_base

LIMITS: dict[str, Any] = {"max_builds": 1, "max_runs": 2, "grace": 1}
"""What all engines are tested with: two builds wait for each other, two items do not."""


FIRST_BUILD = 5.0
"""Seconds that a first build may take for waits to be as long as tests say: here, it takes less."""


def patience(first_build: float) -> float:
    """How many times as long things may take where the first build took so many seconds; never less than here."""
    return max(1.0, first_build / FIRST_BUILD)


class Site(ABC):
    """An engine's state, and what may be seen of it from outside."""

    settings: Settings
    base: str
    """The image of `tests.support.standin_base`, where this engine finds it."""
    patience = 1.0
    """How many times as long things may take here, see `patience`."""
    places: int | None = LIMITS["max_runs"]
    """How many items run at once, where that is known."""

    def __init__(self) -> None:
        self.stack = standin_base.quick()
        """The package that specifications name where it does not matter: one build for all of them."""

    def crowded_out(self) -> dict[str, Any]:
        """Fields of a specification whose run has to wait while two others run: any, where there are two places."""
        return {}

    @abstractmethod
    def pods(self) -> list[str]:
        """Names of all that the engine has on its nodes now, at work or not."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""

    def engine(self) -> Engine:
        """The engine as one more process of the service would have it."""
        return composition.load_engine(self.settings)


class PodmanSite(Site):
    """The embedded engine in a state directory of its own."""

    def __init__(self, state_dir: Path, base: str) -> None:
        from amun.engines.podman import engine
        from amun.engines.podman.host import machine
        from amun.engines.podman.podman_cli import Podman

        super().__init__()
        self.settings = Settings(state_dir=state_dir, engine="podman", **LIMITS)
        shared_probe.share(state_dir)
        self._machine = machine.for_settings(self.settings)
        self._label = f"{engine.INSTANCE_LABEL}={engine.instance(state_dir)}"
        self._podman = Podman(self._machine.podman, self._machine.environment)
        self.base = standin_base.make(self._machine, base)
        self.patience = patience(self._first_build())

    def _first_build(self) -> float:
        """Seconds that it takes to build on the base: the storage driver vfs copies the whole of it at every step."""
        begun = time.monotonic()
        options = ("--quiet", "--no-cache", "--network", "none", "--file", "-")
        dockerfile = f"FROM {self.base}\nRUN true\nRUN true\n".encode()
        with tempfile.TemporaryDirectory() as place:
            image = self._podman.call("build", *options, place, stdin=dockerfile, timeout=300).strip()
        took = time.monotonic() - begun
        self._podman.call("image", "rm", "--force", image)
        return took

    def pods(self) -> list[str]:
        command = ("pod", "ps", "--filter", f"label={self._label}", "--format", "{{.Name}}")
        return self._podman.call(*command, timeout=60 * self.patience).split()

    def close(self) -> None:
        from amun.engines.podman import cleanup

        cleanup.stop(self._podman, self.settings.state_dir)


class OpenShiftSite(Site):
    """The OpenShift engine on an API server in this process, behind which a scripted cluster does its work."""

    def __init__(self, directory: Path, slower: float = 0.0) -> None:
        from tests.cluster.apiserver import ApiServer
        from tests.cluster.world import Latencies, World
        from tests.cluster.world.nodes import nodes

        super().__init__()
        self.server = ApiServer().start()
        kept_for_builds = {
            "nodeSelector": {nodes.BUILDS: ""},
            "tolerations": [{"key": nodes.BUILDS, "operator": "Exists"}],
        }
        latencies = (
            Latencies(**{one.name: slower * (one.default or 0.1) for one in fields(Latencies)}) if slower else None
        )
        self.world = World(self.server.store, nodes.apart(), latencies, build_overrides=kept_for_builds).start()
        kubeconfig = self.server.kubeconfig(directory / "kubeconfig")
        self.settings = Settings(state_dir=directory, engine="openshift", kubeconfig=str(kubeconfig), **LIMITS)
        self.base = standin_base.IMAGE

    def pods(self) -> list[str]:
        pods = self.server.store.list("Pod", labels="inspection")
        return [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] not in ("Succeeded", "Failed")]

    def close(self) -> None:
        self.world.stop()
        self.server.stop()


class Desk:
    """An engine as its users see it: the API's use cases on it, and a controller where a test wants one."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.engine = site.engine()
        self.inspections = Inspections(self.engine, site.settings, ANYBODY)

    # -- ask ----------------------------------------------------------------------------------------------------

    def document(self, *packages: str, **fields: Any) -> dict[str, Any]:
        """A specification on the stand-in base; without packages, with that which all have in common."""
        return {"base": self.site.base, "packages": list(packages or [self.site.stack]), **fields}

    def submit(self, *packages: str, **fields: Any) -> str:
        return self.inspections.submit(self.document(*packages, **fields))[0].id

    def inspection(self, inspection_id: str) -> Inspection:
        return self.engine.whole(self.engine.observe(inspection_id).inspection)

    def phase(self, inspection_id: str) -> str:
        return status.verdict(self.engine.observe(inspection_id)).phase

    def report(self, inspection_id: str, item: int = 0) -> dict[str, Any]:
        report = self.engine.report(inspection_id, item)
        assert report is not None
        return report

    def build_log(self, inspection_id: str) -> str:
        return b"".join(self.engine.build_log(inspection_id)).decode()

    def output(self, inspection_id: str, item: int = 0, **options: Any) -> str:
        return b"".join(self.inspections.item_output(inspection_id, item, **options)).decode()

    def wait(self, condition: Callable[[], Any], timeout: float = 60, **options: Any) -> Any:
        """Wait until something is so, for as long as the site may take for it."""
        return wait_until(condition, timeout * self.site.patience, **options)

    # -- wait ---------------------------------------------------------------------------------------------------

    def reach(self, inspection_id: str, *phases: str, timeout: float = 60) -> Observation:
        """Wait until the inspection is in one of `phases`."""

        def reached() -> Observation | None:
            observation = self.engine.observe(inspection_id)
            return observation if status.verdict(observation).phase in phases else None

        found: Observation = self.wait(reached, timeout)
        return found

    def end(self, inspection_id: str, phase: str, timeout: float = 60) -> Observation:
        """Wait until the controller has closed the inspection, which must then be in `phase`."""

        def closed() -> Observation | None:
            observation = self.engine.observe(inspection_id)
            return observation if observation.finished_at else None

        found: Observation = self.wait(closed, timeout)
        assert status.verdict(found).phase == phase, (status.verdict(found), self.build_log(inspection_id))
        return found

    def printed(self, inspection_id: str, text: str, item: int = 0) -> None:
        """Wait until the script has printed `text`."""
        self.wait(lambda: text in self.output(inspection_id, item), 60)

    # -- controllers --------------------------------------------------------------------------------------------

    def controlling(self) -> Engine:
        """The engine as a controller has it."""
        return self.site.engine()

    @contextlib.contextmanager
    def controlled(self) -> Iterator[Controller]:
        """With a controller at work on an engine of its own, as it is in production."""
        controller = Controller(self.controlling())
        thread = threading.Thread(target=controller.run, name="controller")
        thread.start()
        try:
            yield controller
        finally:
            controller.stop()
            thread.join(60)
            assert not thread.is_alive()

    def clear(self) -> None:
        """Delete everything. With a controller at work, nothing may be left soon after."""
        for inspection_id in self.engine.inspections():
            with contextlib.suppress(InspectionNotFound):
                self.engine.delete(inspection_id)

    def settle(self) -> None:
        """Wait until nothing is left of what was deleted."""
        self.wait(lambda: self.engine.queue() == Queue() and not self.site.pods(), 60, pause=0.2)
