"""``python -m bench.cluster``: what the OpenShift engine asks of an API server, and how quickly it reacts.

Measured on the API server and the scripted cluster of the tests, in this process: requests are those that a real one
would get, milliseconds are not those that it would take.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amun.application.controller import Controller
from amun.application.inspections import Inspections
from amun.auth.callers import ANYBODY
from amun.engines.kubernetes import names
from amun.engines.openshift.engine import OpenShiftEngine
from amun.model import status
from amun.settings import Settings
from amun.telemetry import logs

from . import host, listing
from .figures import Figure, number, spread, table

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "amun-inspection"
BASE = "localhost/debian:12"
CLIENTS = 8
"""Threads that submit."""

WAITING = 1000
"""Inspections that are not over while the controller's reaction is measured."""


class Bench:
    """A cluster, the service's use cases on it, and how much is to be measured."""

    def __init__(self, directory: Path, kept: int, rounds: int) -> None:
        # Only who measures needs what the tests bring along.
        from tests.cluster.apiserver import ApiServer
        from tests.cluster.world import World

        self.kept, self.rounds = kept, rounds
        self.server = ApiServer().start()
        self.world = World(self.server.store).start()
        self.kubeconfig = self.server.kubeconfig(directory / "kubeconfig")
        self.settings = Settings(
            engine="openshift",
            kubeconfig=str(self.kubeconfig),
            namespace=NAMESPACE,
            default_cpu="1m",
            start_deadline=86400,
        )
        self.engine = OpenShiftEngine(self.settings)
        self.inspections = Inspections(self.engine, self.settings, ANYBODY)

    def close(self) -> None:
        self.world.stop()
        self.server.stop()

    def document(self, salt: object, **more: Any) -> dict[str, Any]:
        return {"base": BASE, "script": "true", "environment": [{"name": "SALT", "value": str(salt)}], **more}

    def submit(self, salt: object, **more: Any) -> str:
        return self.inspections.submit(self.document(salt, **more))[0].id

    def over(self, inspection_id: str) -> None:
        """Wait until it is closed."""
        while (observation := self.engine.observe(inspection_id)).finished_at is None:
            time.sleep(0.02)
        if (phase := status.verdict(observation).phase) != "succeeded":
            raise RuntimeError(f"{inspection_id} came to {phase}")

    @contextmanager
    def controlled(self) -> Iterator[None]:
        controller = Controller(OpenShiftEngine(self.settings))
        thread = threading.Thread(target=controller.run)
        thread.start()
        try:
            yield
        finally:
            controller.stop()
            thread.join()


def requests_of_one_life(bench: Bench) -> Iterator[Figure]:
    """Requests from POST until it is closed, without those that ask for its status meanwhile.

    A new environment may take four more than the others' twelve: its context and the Dockerfile on the base that was
    looked up are Secrets, which are made, and made its own.
    """
    with bench.controlled():
        bench.over(bench.submit("first"))  # the programs that all runs need, and the list of nodes
        for what, aim in (("a new environment", "≤ 16"), ("a known environment", "≤ 12")):
            bench.server.requests.clear()
            made = bench.submit("second")
            _closed(bench, made)
            yield Figure(f"API-server requests of one inspection, {what}", str(_asked(bench)), aim)
        bench.server.requests.clear()
        bench.engine.observe(made)
        yield Figure("API-server requests of a status read, over", str(_asked(bench)), "≤ 3")
        running = bench.submit("second", script="sleep 3")
        while status.verdict(bench.engine.observe(running)).phase != "running":
            time.sleep(0.02)
        bench.server.requests.clear()
        bench.engine.observe(running)
        yield Figure("API-server requests of a status read, running", str(_asked(bench)), "≤ 3")
        bench.over(running)


def _closed(bench: Bench, inspection_id: str) -> None:
    """As `over`, without a request: looked at in the store."""
    while bench.server.store.get("ConfigMap", inspection_id)["metadata"]["labels"]["amun/state"] != "finished":
        time.sleep(0.02)


def _asked(bench: Bench) -> int:
    return sum(count for what, count in bench.server.requests.summary().items() if not what.startswith("watch "))


def throughput(bench: Bench) -> Iterator[Figure]:
    """Inspections of one environment, from the first POST until the last is closed."""
    count = bench.rounds * 40
    with bench.controlled():
        begun = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            ids = list(clients.map(lambda _: bench.submit("second"), range(count)))
        submitted = time.perf_counter() - begun
        for inspection_id in ids:
            _closed(bench, inspection_id)
        seconds = time.perf_counter() - begun
    yield Figure("inspections submitted a second", number(count / submitted))
    yield Figure("inspections a second, until closed (the runs are processes of this machine)", number(count / seconds))


def reaction(bench: Bench) -> Iterator[Figure]:
    """From a Build's being complete until its inspection's Job is there, while many others wait for builds."""
    from tests.cluster.world import World

    bench.world.stop()
    waiting = [bench.document(f"waiting {index}") for index in range(WAITING)]
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(lambda document: bench.inspections.submit(document), waiting))
    made = [bench.submit(f"measured {index}") for index in range(bench.rounds)]
    samples = []
    with bench.controlled():
        for inspection_id in made:
            build = f"{_environment(bench, inspection_id)}-1"
            while bench.server.store.find("Build", build) is None:
                time.sleep(0.05)
        for inspection_id in made:
            samples.append(_react(bench, inspection_id))
    yield Figure(f"Build complete to Job created, {WAITING} others unfinished", spread(samples, "s"), "< 1 s")
    for inspection_id in bench.engine.unfinished():
        bench.server.store.delete("ConfigMap", _environment(bench, inspection_id))
        bench.engine.delete(inspection_id)
    bench.world = World(bench.server.store).start()


def _environment(bench: Bench, inspection_id: str) -> str:
    """The name that the objects of its environment have."""
    return names.environment(bench.engine.declared(inspection_id).environment)


def _react(bench: Bench, inspection_id: str) -> float:
    def complete(build: dict[str, Any]) -> None:
        build["status"].update(
            phase="Complete",
            outputDockerImageReference=f"registry/{NAMESPACE}/{inspection_id}:latest",
            output={"to": {"imageDigest": "sha256:" + "0" * 64}},
        )

    bench.server.store.update("Build", f"{_environment(bench, inspection_id)}-1", complete)
    begun = time.perf_counter()
    while bench.server.store.find("Job", inspection_id) is None:
        time.sleep(0.001)
    return time.perf_counter() - begun


LISTING = """
import sys, time
from amun.settings import Settings
from amun.composition import create_app
from amun.composition import load_engine
from amun.auth.callers import ANYBODY
from amun.application.inspections import Inspections
from amun.application.controller import Controller
settings = Settings()
create_app(settings)
engine = load_engine(settings)
inspections = Inspections(engine, settings, ANYBODY)
def rss():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024
before = rss()
begun = time.perf_counter()
if sys.argv[1] == "api":
    _, total = inspections.page(1, 100)
else:
    with engine.leadership():
        controller = Controller(engine)
        controller.sweep()
        total = len(inspections.page(1, 1)[0])
print(before, rss(), time.perf_counter() - begun, total)
"""


def memory(bench: Bench) -> Iterator[Figure]:
    """What a process of the API, and one of the controller, take with so many closed inspections in the namespace."""
    listing.keep(bench.server.store, bench.kept)
    for what in ("api", "controller"):
        before, after, seconds = _listed(bench, what)
        yield Figure(f"memory of the {what}, {bench.kept} inspections kept", f"{number(after)} MiB")
        yield Figure("  before it has looked at them", f"{number(before)} MiB")
        yield Figure(
            "  to look at them once" if what == "controller" else "  GET /inspect?limit=100", f"{number(seconds)} s"
        )


def _listed(bench: Bench, what: str) -> tuple[float, float, float]:
    environment = {
        **os.environ,
        "AMUN_ENGINE": "openshift",
        "AMUN_KUBECONFIG": str(bench.kubeconfig),
        "AMUN_NAMESPACE": NAMESPACE,
        "PYTHONPATH": str(ROOT),
        "AMUN_LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-c", LISTING, what]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    before, after, seconds, _ = map(float, done.stdout.split())
    return before, after, seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument(
        "--kept", type=int, default=10_000, metavar="N", help="closed inspections when memory is measured"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often what varies is measured")
    chosen = parser.parse_args()
    logs.configure("ERROR", "console")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="amun-bench-") as name:
        bench = Bench(Path(name), chosen.kept, chosen.rounds)
        try:
            for measure in (requests_of_one_life, throughput, reaction, memory):
                print(f"{measure.__name__.replace('_', ' ')} …", file=sys.stderr)
                figures += measure(bench)
        finally:
            bench.close()
        print("listing …", file=sys.stderr)
        figures += listing.measure(Path(name), chosen.kept)
    print(f"{host.plain()}.", table(figures), sep="\n\n")


if __name__ == "__main__":
    main()
