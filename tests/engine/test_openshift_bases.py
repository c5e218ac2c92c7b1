"""Base images on a cluster: nothing is built on one that has triggers, and what was looked up is what is built on."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.cluster import errors
from tests.cluster.rules.buildrules import REGISTRY
from tests.cluster.rules.rights import EVERYTHING
from tests.cluster.serving import builds
from tests.contract.sites import Desk
from tests.support.standin_base import quick

from .test_openshift_scenes import Make, Scene, make, verdict, waits_for

pytestmark = [pytest.mark.openshift, pytest.mark.slow]
__all__ = ["make"]

PLAIN: dict[str, Any] = {"Env": ["PATH=/usr/bin:/bin"]}
TRIGGER: dict[str, Any] = {**PLAIN, "OnBuild": ["RUN --mount=type=bind,from=other,target=/mnt touch /mnt/here"]}
LOOK_UPS = "imagestreamimports"


def kept_outside(scene: Scene, reference: str, config: dict[str, Any] | list[dict[str, Any]]) -> str:
    """Let a registry have an image, or a list of images for several platforms; returns its digest."""
    digest = f"sha256:{hashlib.sha256(repr((reference, config)).encode()).hexdigest()}"
    scene.store.digests[reference] = digest
    scene.store.configs[digest] = config
    return digest


def kept_inside(scene: Scene, name: str, config: dict[str, Any]) -> str:
    """Let an ImageStream have an image; returns the reference of its tag."""
    digest = f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    scene.store.create("ImageStream", {"metadata": {"name": name}, "spec": {}})
    scene.store.create("Image", {"metadata": {"name": digest}, "dockerImageMetadata": {"Config": config}})
    return f"{builds.push(scene.store, name, '1', digest).partition('@')[0]}:1"


def built_on(scene: Scene) -> list[str]:
    """The base images of all Builds."""
    return [build["spec"]["strategy"]["dockerStrategy"]["from"]["name"] for build in scene.store.list("Build")]


def submit(desk: Desk, base: str, **fields: Any) -> str:
    return desk.inspections.submit({"base": base, "packages": [quick()], "script": "echo ran", **fields})[0].id


@pytest.mark.parametrize("config", [TRIGGER, [PLAIN, TRIGGER]], ids=["image", "list"])
def test_a_base_of_a_registry_with_triggers_is_refused_before_anything_is_built(
    make: Make, config: dict[str, Any] | list[dict[str, Any]]
) -> None:
    scene, desk = make()
    kept_outside(scene, base := "registry.example.org/team/base:1", config)
    build = desk.end(submit(desk, base), "build_failed").build
    assert (build.outcome, build.reason) == ("failed", "BaseHasTriggers")
    assert base in (build.message or "")
    assert build.finished_at is not None
    assert scene.store.list("Build") == scene.store.list("BuildConfig") == scene.store.list("ImageStream") == []
    assert desk.inspections.dry_run({"base": base})["feasible"] is False
    assert desk.inspections.dry_run({"base": base})["message"].startswith("BaseHasTriggers: The base image")


def test_an_image_stream_as_base_with_triggers_is_refused_before_anything_is_built(make: Make) -> None:
    scene, desk = make()
    base = kept_inside(scene, "base", TRIGGER)
    assert desk.end(submit(desk, base), "build_failed").build.reason == "BaseHasTriggers"
    assert desk.inspections.dry_run({"base": base})["message"].startswith("BaseHasTriggers: ")
    assert scene.store.list("Build") == []
    assert scene.server.requests.count(resource=LOOK_UPS) == 0


def test_whoever_shares_an_environment_that_is_refused_is_told_so_and_so_is_who_comes_later(make: Make) -> None:
    scene, desk = make()
    kept_outside(scene, base := "registry.example.org/team/base:1", TRIGGER)
    package = quick()
    for _ in range(2):
        document = {"base": base, "packages": [package], "script": "true"}
        for made in [desk.inspections.submit(document)[0].id for _ in range(3)]:
            assert desk.end(made, "build_failed").build.reason == "BaseHasTriggers"
            assert desk.build_log(made) == ""
    assert scene.store.list("Build") == []


@pytest.mark.parametrize("config", [PLAIN, [PLAIN, PLAIN]], ids=["image", "list"])
def test_a_base_is_built_on_by_the_digest_that_was_looked_up(
    make: Make, config: dict[str, Any] | list[dict[str, Any]]
) -> None:
    scene, desk = make()
    digest = kept_outside(scene, base := "registry.example.org:5000/team/base:1", config)
    assert desk.inspections.dry_run({"base": base})["feasible"] is True
    made = submit(desk, base)
    desk.end(made, "succeeded")
    assert built_on(scene) == [f"registry.example.org:5000/team/base@{digest}"]
    assert f"Pulling image registry.example.org:5000/team/base@{digest}" in desk.build_log(made)


def test_an_image_stream_is_built_on_by_the_digest_of_its_tag(make: Make) -> None:
    scene, desk = make()
    base = kept_inside(scene, "base", PLAIN)
    submit(desk, base)
    desk.wait(lambda: scene.store.list("Build"), 20)
    (reference,) = built_on(scene)
    assert reference.startswith(f"{REGISTRY}/{scene.store.namespace}/base@sha256:")


def test_a_base_that_its_registry_does_not_have_is_the_specifications_fault(make: Make) -> None:
    scene, desk = make()
    made = submit(desk, "registry.example.org/team/none:1")
    build = desk.end(made, "build_failed").build
    assert (build.outcome, build.reason) == ("failed", "ErrImagePull")
    assert "registry.example.org/team/none:1" in (build.message or "")
    assert scene.store.list("Build") == []


def test_a_registry_that_does_not_answer_is_waited_for_and_named_while_others_are_built(make: Make) -> None:
    scene, desk = make()
    base = "registry.example.org/team/base:1"
    scene.store.digests[base] = errors.ApiError(500, "InternalError", "dial tcp 10.0.0.7:443: connection refused")
    made = submit(desk, base)
    message = waits_for(desk, made, "ErrImagePull")
    assert "no answer from registry.example.org" in message
    assert "10.0.0.7" not in message
    desk.end(desk.submit(quick(), script="true"), "succeeded")
    assert verdict(desk, made)[0] == "queued"
    kept_outside(scene, base, PLAIN)
    desk.end(made, "succeeded")


def test_a_registry_that_never_answers_ends_the_wait(make: Make) -> None:
    scene, desk = make(start_deadline=3)
    base = "registry.example.org/team/base:1"
    scene.store.digests[base] = errors.ApiError(500, "InternalError", "i/o timeout")
    build = desk.end(submit(desk, base), "error").build
    assert (build.outcome, build.reason) == ("error", "ErrImagePull")
    assert scene.store.list("Build") == []


def test_a_registry_that_takes_its_time_holds_nobody_else_up(make: Make) -> None:
    scene, desk = make()
    fault = scene.server.faults.delay(20, resource=LOOK_UPS, times=1)
    kept_outside(scene, base := "registry.example.org/team/base:1", PLAIN)
    slow = submit(desk, base)
    desk.wait(lambda: fault.met, 20)
    desk.end(desk.submit(quick(), script="true"), "succeeded", timeout=15)
    assert verdict(desk, slow)[0] == "queued"


def test_without_the_right_to_look_up_bases_are_built_on_as_they_are_named(make: Make) -> None:
    scene, desk = make()
    rules = scene.server.admin.rules[""]
    rules[:] = [
        {"apiGroups": ["image.openshift.io"], "resources": ["imagestreams"], "verbs": ["*"]},
        *(
            {**EVERYTHING, "apiGroups": [group]}
            for group in ("", "batch", "build.openshift.io", "authorization.k8s.io")
        ),
    ]
    kept_outside(scene, base := "registry.example.org/team/base:1", TRIGGER)
    assert desk.inspections.dry_run({"base": base})["feasible"] is True
    desk.end(submit(desk, base), "succeeded")
    (build,) = scene.store.list("Build")
    assert "from" not in build["spec"]["strategy"]["dockerStrategy"]
