"""What POST and lists cost with few and with many inspections kept on a cluster.

The API server of the tests is a process of its own, ``python -m bench.listing DIRECTORY``, which is told by lines on
its standard input what to do; the service is `amun serve`, asked over HTTP. A real API server answers side by side what
this one answers in threads that share one interpreter, together with the cluster's controllers and kubelets: so these
threads take turns often (`TURN`), and the containers, which a cluster would run on other machines, give way to all else
on this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

from amun.application.inspections import Inspections
from amun.auth.callers import ANYBODY
from amun.engines.kubernetes import records
from amun.engines.kubernetes.records import Final
from amun.engines.openshift.engine import OpenShiftEngine
from amun.model import status
from amun.processes import supervisor
from amun.settings import Settings

from . import service
from .figures import Figure, number, spread

FEW = 10
"""Inspections that are kept at first, and on the pages whose cost is compared."""

RATE = 5.0
"""Submissions a second."""

SECONDS = 30.0
"""How long is submitted while lists are timed."""

SETTLED = 25.0
"""Seconds after which what was accepted before is none of the newest any more, for which the API server is asked."""

TURN = 0.0005
"""Seconds after which a thread of the cluster's process gives way to one that waits; Python's own are 0.005."""

NICENESS = 19
"""Of the containers."""

DOCUMENT = {"base": "localhost/debian:12", "script": "true"}


class Kept:
    """The cluster in its process."""

    def __init__(self, lines: IO[str], answers: IO[str], directory: Path) -> None:
        self._lines, self._answers, self._directory = lines, answers, directory

    def settings(self, user: str) -> dict[str, Any]:
        """What a process needs to know to use it as this user."""
        kubeconfig = str(self._directory / user)
        return {"engine": "openshift", "kubeconfig": kubeconfig, "namespace": "amun-inspection", "default_cpu": "1m"}

    def keep(self, count: int) -> None:
        """See to it that so many closed inspections are there."""
        self._tell(f"keep {count}")

    def asked(self) -> tuple[int, int]:
        """Requests that the user ``measured`` has made since this was last asked, and bytes of their answers."""
        requests, size = json.loads(self._tell("asked"))
        return requests, size

    def _tell(self, line: str) -> str:
        print(line, file=self._lines, flush=True)
        return self._answers.readline()


@contextmanager
def cluster(directory: Path) -> Iterator[Kept]:
    """Start the cluster; it ends with its standard input."""
    command = [sys.executable, "-m", "bench.listing", str(directory)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=supervisor.ROOT
    ) as process:
        lines, answers = cast(IO[str], process.stdin), cast(IO[str], process.stdout)
        answers.readline()
        yield Kept(lines, answers, directory)
        lines.close()


def measure(directory: Path, kept: int) -> Iterator[Figure]:
    """What calls cost with `FEW` and with `kept` inspections, and how long they take with `kept`."""
    with cluster(directory) as there:
        settings = service.on_free_port(directory / "state", **there.settings("service"))
        command = [sys.executable, "-m", "amun", "serve"]
        with service.started(command, supervisor.environment(settings), settings) as running:
            running.over(running.submit(DOCUMENT))
            asked: dict[str, list[tuple[int, int]]] = {}
            for count in (FEW, kept):
                there.keep(count)
                for what, cost in _costs(there).items():
                    asked.setdefault(what, []).append(cost)
            for what, (few, many) in asked.items():
                told = f"{few[0]} and {many[0]} requests, {number(few[1] / 1024)} and {number(many[1] / 1024)} KiB"
                yield Figure(f"{what}, {FEW} and {kept} kept", told, "equal")
            yield from _times(running, kept)


def _costs(there: Kept) -> dict[str, tuple[int, int]]:
    """Requests and bytes of each call, by a process that has watched for a while."""
    settings = Settings(**there.settings("measured"))
    inspections = Inspections(OpenShiftEngine(settings), settings, ANYBODY)
    made = inspections.submit(DOCUMENT)[0].id
    while status.verdict(inspections.observe(made)).phase not in status.OVER:
        time.sleep(service.POLL)
    calls: dict[str, Callable[[], object]] = {
        f"page of {FEW}": lambda: inspections.page(1, FEW),
        f"page of {FEW} that succeeded": lambda: inspections.page(1, FEW, phase="succeeded"),
        "status": lambda: inspections.observe(made),
        "POST": lambda: inspections.submit(DOCUMENT),
    }
    inspections.page(1, 1)
    time.sleep(SETTLED)
    inspections.dry_run(DOCUMENT)  # the list of nodes is remembered for a while
    there.asked()
    costs = {}
    for what, call in calls.items():
        call()
        costs[what] = there.asked()
    return costs


def _times(running: service.Service, kept: int) -> Iterator[Figure]:
    """How long callers wait while others submit."""
    posts: list[float] = []
    submitting = threading.Thread(target=_submit, args=(running, posts))
    submitting.start()
    pages: list[float] = []
    phases: list[float] = []
    client = running.client
    while submitting.is_alive():
        pages.append(_timed(lambda: client.list(limit=100)))
        phases.append(_timed(lambda: client.list(limit=100, phase="succeeded")))
        time.sleep(0.2)
    yield Figure(f"POST, p99, {RATE:g} a second, {kept} kept", f"{_percentile(posts, 99)} ms", "< 150 ms")
    yield Figure("  median", spread(posts, "ms"))
    yield Figure("page of 100 meanwhile", spread(pages, "ms"), "< 100 ms")
    yield Figure("page of 100 that succeeded meanwhile", spread(phases, "ms"), "< 150 ms")


def _submit(running: service.Service, posts: list[float]) -> None:
    client, begun = running.client, time.monotonic()
    for index in range(int(RATE * SECONDS)):
        time.sleep(max(0.0, begun + index / RATE - time.monotonic()))
        posts.append(_timed(lambda: client.submit(DOCUMENT)))


def _timed(call: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    begun = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - begun)


def _percentile(samples: list[float], percent: int) -> str:
    ordered = sorted(samples)
    return number(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)])


def serve(directory: Path) -> None:
    """Be the cluster until standard input ends."""
    from tests.cluster.apiserver import ApiServer
    from tests.cluster.rules.rights import EVERYTHING
    from tests.cluster.world import World

    sys.setswitchinterval(TURN)
    with ApiServer() as api:
        for user in ("service", "measured"):
            api.rights.add(user, [EVERYTHING])
            api.kubeconfig(directory / user, user)
        world = World(api.store, niceness=NICENESS).start()
        print("ready", flush=True)
        for line in sys.stdin:
            what, _, count = line.strip().partition(" ")
            if what == "keep":
                keep(api.store, int(count))
                print("kept", flush=True)
            else:
                made = [one for one in api.requests if one.user == "measured" and not one.watch]
                api.requests.clear()  # first: who is answered asks on at once
                print(json.dumps([len(made), sum(one.size for one in made)]), flush=True)
        world.stop()


def keep(store: Any, count: int) -> None:
    """See to it that so many closed inspections are there: what is missing is as one that really was."""
    closed = "amun/kind=inspection,amun/state=finished"
    while not (there := store.list("ConfigMap", labels=closed)):
        time.sleep(service.POLL)
    pattern = records.from_document(there[-1])
    for index in range(count - len(there)):
        name = f"inspection-{count:08x}{index:08x}"
        inspection = replace(pattern.inspection, id=name, created="2026-01-01T00:00:00Z")
        made = store.create("ConfigMap", records.to_document(replace(pattern, inspection=inspection)))
        copy = replace(pattern, inspection=inspection, version=made["metadata"]["resourceVersion"])
        finished, final = cast(str, copy.finished_at), cast(Final, copy.final)
        store.patch("ConfigMap", name, records.closed(copy, finished, final, "succeeded"))


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
