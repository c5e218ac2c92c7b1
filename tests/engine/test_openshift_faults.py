"""What a real cluster did to inspections, as recorded, and what the user is to see of it."""

from __future__ import annotations

import pytest

from tests.engine.test_openshift_scenes import Make, make, verdict, waits_for
from tests.standin import missing, quick

pytestmark = [pytest.mark.openshift, pytest.mark.slow]
__all__ = ["make"]


def no_builds() -> dict[str, object]:
    return {"metadata": {"name": "none"}, "spec": {"hard": {"count/builds.build.openshift.io": "0"}}}


# -- builds -----------------------------------------------------------------------------------------------------------


def test_a_build_that_a_quota_refused_but_was_counted_is_asked_for_again(make: Make) -> None:
    scene, desk = make()
    scene.store.create("ResourceQuota", no_builds())
    made = [desk.submit(package := quick(), script="echo ran"), desk.submit(package, script="echo ran")]
    assert "exceeded quota: none" in waits_for(desk, made[0], "QuotaExceeded")
    desk.wait(lambda: scene.store.list("BuildConfig")[0]["status"]["lastVersion"] > 0, 20)
    assert scene.store.list("Build") == []
    scene.store.delete("ResourceQuota", "none")
    for one in made:
        desk.end(one, "succeeded")
    assert len(scene.store.list("Build")) == 1


def test_a_quota_that_is_never_lifted_ends_the_wait_for_a_build(make: Make) -> None:
    scene, desk = make(start_deadline=3)
    scene.store.create("ResourceQuota", no_builds())
    made = desk.submit(quick(), script="true")
    build = desk.end(made, "error").build
    assert (build.outcome, build.reason) == ("error", "QuotaExceeded")
    assert "exceeded quota: none" in (build.message or "")


def test_a_quota_that_is_never_lifted_ends_the_wait_for_a_run(make: Make) -> None:
    scene, desk = make(start_deadline=3)
    scene.store.create("ResourceQuota", {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}})
    made = desk.submit(quick(), script="true")
    (item,) = desk.end(made, "error").items
    assert item.reason == "QuotaExceeded"
    assert "exceeded quota: few" in (item.message or "")


def test_a_failed_build_is_closed_when_the_last_line_of_its_log_is_there(make: Make) -> None:
    scene, desk = make()
    scene.world.latencies.last_words = 1.5
    package = missing()
    made = desk.submit(package)
    desk.wait(lambda: any(build["status"]["phase"] == "Failed" for build in scene.store.list("Build")), 20)
    assert verdict(desk, made)[0] == "building"
    build = desk.end(made, "build_failed").build
    assert package in (build.message or "")
    assert build.finished_at is not None
    assert "exit status 1" in desk.build_log(made)


def test_a_push_that_the_registry_refuses_is_the_platforms_and_tried_again(make: Make) -> None:
    scene, desk = make()
    scene.world.faults.plan("push-refused", "environment-*")
    made = desk.submit(quick(), script="echo ran")
    build = desk.end(made, "succeeded").build
    assert build.container is not None
    assert build.container.endswith("-2")
    (failed,) = (one for one in scene.store.list("Build") if one["status"]["phase"] == "Failed")
    assert failed["status"]["reason"] == "GenericBuildFailed"


def test_a_push_that_the_registry_refuses_each_time_is_the_platforms_error(make: Make) -> None:
    scene, desk = make()
    scene.world.faults.plan("push-refused", "environment-*", times=10)
    made = desk.submit(quick(), script="echo ran")
    build = desk.end(made, "error").build
    assert (build.outcome, build.reason) == ("error", "PushImageToRegistryFailed")
    assert "unable to validate token" in (build.message or "")
    assert len(scene.store.list("Build")) == scene.settings.attempts
