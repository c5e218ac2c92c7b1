"""Passwords in URLs on a cluster: the build finds them in a Secret of its own; nothing else has them or keeps them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.application.controller import Controller
from amun.application.inspections import Inspections
from amun.auth.callers import Caller
from amun.engines.kubernetes import logs, names, retention
from amun.errors import EngineUnavailable
from tests.cluster.objects.store import Store
from tests.contract.sites import Desk
from tests.support.standin_base import slow

from .test_openshift_kills import Killed
from .test_openshift_scenes import Scene
from .test_openshift_secrets import KINDS, told

pytestmark = [pytest.mark.openshift, pytest.mark.slow]

PASSWORD = "s3cret-Pass0rd"
ASKED = [f"amun-private @ https://builder:{PASSWORD}@index.example/a.whl"]
READ = "what asks: machine index.example login builder password " + "*" * len(PASSWORD)
"""What the build prints of its netrc file, as it is to be read."""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()


def kept(store: Store) -> list[str]:
    """The Secrets that have passwords."""
    return [one["metadata"]["name"] for one in store.list("Secret", f"{names.KIND}={names.LOGINS}")]


def assert_nowhere(store: Store) -> None:
    """No object but the pod of the build has the password: what it prints itself is the cluster's."""
    assert PASSWORD.encode() not in told(store, (*(kind for kind in KINDS if kind != "Pod"), "Secret"))


def answers(desk: Desk, inspection_id: str) -> str:
    """All that is said of an inspection."""
    said = [desk.inspections.detail(inspection_id), desk.inspections.page(1, 10)]
    return json.dumps(said, default=vars) + desk.build_log(inspection_id)


def test_the_build_reads_the_password_which_nothing_else_has(scene: Scene) -> None:
    desk = Desk(scene)
    made = desk.submit(slow(2), python_packages=ASKED, script="cat /run/amun-logins/netrc; true")
    with desk.controlled():
        desk.reach(made, "building")
        desk.wait(lambda: "to go" in desk.build_log(made), 20)
        (secret,) = kept(scene.store)
        assert PASSWORD.encode() in told(scene.store, ("Secret",))
        assert PASSWORD.encode() not in told(scene.store, KINDS)
        followed = b"".join(desk.engine.build_log(made, follow=True)).decode()
        desk.end(made, "succeeded")
        desk.wait(lambda: not kept(scene.store), 20)
        assert READ in followed
        assert READ in desk.build_log(made)
        assert followed[20:] == b"".join(desk.engine.build_log(made, 20)).decode()
        assert PASSWORD not in answers(desk, made) + desk.output(made)
        assert_nowhere(scene.store)
        (config,) = scene.store.list("BuildConfig")
    (volume,) = config["spec"]["strategy"]["dockerStrategy"]["volumes"]
    assert volume["source"]["secret"]["secretName"] == secret
    declared = desk.inspections.detail(made)["specification"]
    assert declared["python_packages"] == ["amun-private @ https://index.example/a.whl"]


def test_after_a_failed_build_nothing_has_the_password(scene: Scene) -> None:
    """The last lines of its log, which the Build itself shows, have it; so have those that say why."""
    desk = Desk(scene)
    made = desk.submit(python_packages=[*ASKED, "missing"])
    seen: list[str] = []
    with desk.controlled():

        def closed() -> bool:
            observation = desk.engine.observe(made)
            seen.append(observation.build.message or "")
            return observation.finished_at is not None

        desk.wait(closed, 60, pause=0.01)
        desk.wait(lambda: not kept(scene.store), 20)
    assert desk.phase(made) == "build_failed"
    assert "No matching distribution found for missing" in seen[-1]
    assert [message for message in seen if PASSWORD in message] == []
    assert PASSWORD not in answers(desk, made)
    assert READ in desk.build_log(made)
    assert "No matching distribution" in scene.store.list("Build")[0]["status"]["logSnippet"]
    assert_nowhere(scene.store)


@pytest.mark.parametrize("begun", [False, True], ids=["never-begun", "begun"])
@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_build_that_nobody_waits_for_leaves_no_password(scene: Scene, end: str, begun: bool) -> None:
    desk, package = Desk(scene), slow(4)
    made = desk.submit(package, python_packages=ASKED)
    if not begun:
        getattr(desk.engine, end)(made)
    with desk.controlled():
        if begun:
            desk.wait(lambda: "to go" in desk.build_log(made), 20)
            getattr(desk.engine, end)(made)
        desk.wait(lambda: not kept(scene.store), 30)
        assert_nowhere(scene.store)
        again = desk.submit(package, python_packages=ASKED)
        desk.end(again, "succeeded")
        assert READ in desk.build_log(again)


KILLS = {
    "before-it-is-adopted": ("patch", "-logins-", False),
    "after-it-is-adopted": ("patch", "-logins-", True),
    "before-the-log-is-kept": ("post", "-log'", False),
    "after-the-log-is-kept": ("post", "-log'", True),
    "before-it-is-removed": ("delete", "-logins-", False),
    "after-it-is-removed": ("delete", "-logins-", True),
}


@pytest.mark.parametrize("python_packages", [ASKED, [*ASKED, "missing"]], ids=["succeeds", "fails"])
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_controller_leaves_no_password(scene: Scene, kill: str, python_packages: list[str]) -> None:
    method, words, served = KILLS[kill]
    desk = Desk(scene)
    made = desk.submit(slow(1), python_packages=python_packages)
    killed = Dying(scene, method, words, served=served).run()
    desk.wait(killed.is_set, 60)
    with desk.controlled():
        desk.end(made, "build_failed" if "missing" in python_packages else "succeeded")
        desk.wait(lambda: not kept(scene.store), 30)
        assert READ in desk.build_log(made)
        assert PASSWORD not in answers(desk, made)
        assert_nowhere(scene.store)


class Dying:
    """A controller that is killed at the first request that has these words."""

    def __init__(self, scene: Scene, method: str, words: str, *, served: bool) -> None:
        engine = scene.engine()
        cluster: Any = engine.cluster  # type: ignore[attr-defined]
        answer, self._killed = cluster._answer, threading.Event()

        def mortal(asked: str, *args: Any, **options: Any) -> Any:
            if self._killed.is_set() or (asked == method and words in repr(args)):
                if served and not self._killed.is_set():
                    with contextlib.suppress(EngineUnavailable):
                        answer(asked, *args, **options)
                self._killed.set()
                raise Killed
            return answer(asked, *args, **options)

        cluster._answer = mortal
        self._controller = Controller(engine)

    def run(self) -> threading.Event:
        """Returns what is set once it is killed."""
        threading.Thread(target=self._work, daemon=True).start()
        return self._killed

    def _work(self) -> None:
        with contextlib.suppress(Killed):
            self._controller.run()


def test_the_same_stack_of_somebody_else_is_another_environment(scene: Scene) -> None:
    desk = Desk(scene)
    document = desk.document(python_packages=ASKED)
    public = {**document, "python_packages": ["amun-private @ https://index.example/a.whl"]}

    def environment(who: str, asked: dict[str, Any]) -> str:
        found = Inspections(desk.engine, scene.settings, Caller(who, admin=True)).dry_run(asked)["environment"]
        assert isinstance(found, str)
        return found

    assert environment("alice", document) == environment("alice", document)
    assert len({environment(who, document) for who in ("alice", "bob")} | {environment("alice", public)}) == 3
    assert environment("alice", public) == environment("bob", public)


def test_those_who_wait_for_one_build_share_it_and_all_their_secrets_go(scene: Scene) -> None:
    desk = Desk(scene)
    together = threading.Barrier(4)
    package, made = slow(1), []

    def submit() -> None:
        together.wait()
        made.append(desk.submit(package, python_packages=ASKED))

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept(scene.store)) >= 1
    with desk.controlled():
        for one in made:
            desk.end(one, "succeeded")
        desk.wait(lambda: not kept(scene.store), 20)
    assert len(scene.store.list("Build")) == 1


def test_an_environment_whose_image_is_gone_is_built_with_the_password_of_who_asks_again(scene: Scene) -> None:
    desk = Desk(scene)
    with desk.controlled():
        first = desk.submit(python_packages=ASKED)
        desk.end(first, "succeeded")
        desk.wait(lambda: not kept(scene.store), 20)
        scene.store.delete("ImageStream", names.environment(desk.inspection(first).environment))
        again = desk.submit(python_packages=ASKED)
        desk.end(again, "succeeded")
        assert READ in desk.build_log(again)
        desk.wait(lambda: not kept(scene.store), 20)


def test_a_log_that_can_never_be_read_does_not_keep_the_password(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(scene)
    scene.server.faults.refuse(500, verb="get", resource="builds/log", times=None)
    with desk.controlled():
        made = desk.submit(python_packages=ASKED)
        desk.end(made, "succeeded")
        assert kept(scene.store)  # it may yet be read
        monkeypatch.setattr(logs, "WITHIN", 0.0)
        desk.wait(lambda: not kept(scene.store), 20)
    scene.server.faults.clear()
    assert desk.build_log(made) == ""


def test_what_was_left_of_an_environment_that_never_came_to_be_is_removed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(scene)
    scene.server.faults.refuse(500, verb="create", resource="configmaps", times=None)
    with pytest.raises(EngineUnavailable):
        desk.submit(python_packages=ASKED)
    scene.server.faults.clear()
    assert kept(scene.store)
    monkeypatch.setattr(retention, "LEFT_AFTER", -1.0)
    retention.Retention(desk.engine.cluster, scene.settings).expire()  # type: ignore[attr-defined]
    assert kept(scene.store) == []
