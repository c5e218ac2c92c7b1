"""A controller that is killed at each request by which it recovers what somebody has deleted; another one goes on.

Killed before a request was served, or after it was and before the answer came: what is asked for is the same either
way. No attempt runs twice, none is lost.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.application.controller import Controller
from amun.engines.kubernetes import kinds, names
from amun.engines.kubernetes.api_client import Cluster
from amun.errors import EngineUnavailable
from tests.cluster.objects.store import Store
from tests.contract.sites import Desk

from .test_openshift_scenes import Scene

pytestmark = [pytest.mark.openshift, pytest.mark.slow]

SCRIPT = "echo started; sleep 3; echo ran"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A cluster where no controller works but those of the test."""
    scene = Scene(tmp_path)
    yield scene
    scene.close()


class Killed(BaseException):
    """The process is gone: nothing of it is done any more."""


class Starts:
    """Counts the pods that were ever made, by inspection and attempt."""

    def __init__(self, store: Store) -> None:
        self._counted: Counter[tuple[str, str]] = Counter()
        self._seen: set[str] = set()
        threading.Thread(target=self._watch, args=(store,), daemon=True).start()

    def _watch(self, store: Store) -> None:
        for event in store.subscribe("Pod"):
            metadata = event.object["metadata"]
            made = (metadata.get("labels") or {}).get(names.INSPECTION)
            if made is not None and metadata["uid"] not in self._seen:
                self._seen.add(metadata["uid"])
                self._counted[made, (metadata.get("annotations") or {}).get(names.ATTEMPT, "1")] += 1

    def of(self, inspection_id: str) -> dict[str, int]:
        """Pods by attempt."""
        return {attempt: count for (made, attempt), count in self._counted.items() if made == inspection_id}


def dies(scene: Scene, desk: Desk, inspection_id: str, request: int, *, served: bool) -> bool:
    """Let a controller work until it is killed at its n-th request that changes something.

    False if the inspection was over before.
    """
    engine = scene.engine()
    cluster: Any = engine.cluster  # type: ignore[attr-defined]
    answer, numbers = cluster._answer, itertools.count()

    def mortal(method: str, path: str, *args: Any, **options: Any) -> Any:
        if method == "get" or next(numbers) != request:
            return answer(method, path, *args, **options)
        if served:
            with contextlib.suppress(EngineUnavailable):  # nobody is left to hear what the answer is
                answer(method, path, *args, **options)
        raise Killed

    cluster._answer = mortal
    controller, killed = Controller(engine), threading.Event()

    def work() -> None:
        try:
            controller.run()
        except Killed:
            killed.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        desk.wait(lambda: killed.is_set() or desk.engine.observe(inspection_id).finished_at, 60)
    finally:
        controller.stop()
        thread.join(60)
    return killed.is_set()


@pytest.mark.parametrize("what", ["Pod", "Job"])
@pytest.mark.parametrize("served", [False, True], ids=["before", "after"])
def test_whenever_the_controller_is_killed_what_was_taken_away_runs_again_once(
    scene: Scene, what: str, served: bool
) -> None:
    desk = Desk(scene)
    starts = Starts(scene.store)
    for request in itertools.count():
        made = desk.submit(script=SCRIPT)
        with desk.controlled():
            desk.printed(made, "started")
            desk.wait(lambda: names.JOBS in scene.store.get("ConfigMap", made)["metadata"]["annotations"], 20)  # noqa: B023
        if what == "Pod":
            scene.store.delete("Pod", scene.pod(made))
        else:
            Cluster.delete(desk.engine.cluster, kinds.JOBS, made, "Background")  # type: ignore[attr-defined]
        killed = dies(scene, desk, made, request, served=served)
        with desk.controlled():
            (item,) = desk.end(made, "succeeded").items
        assert item.attempt == 2
        assert desk.output(made) == "started\nran\n"
        assert desk.report(made)["exit_code"] == 0
        assert starts.of(made) == {"1": 1, "2": 1}
        if not killed:
            break
    assert request >= 3  # the further Job, the note of it, and the end
