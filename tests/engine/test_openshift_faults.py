"""What a real cluster did to inspections, as recorded, and what the user is to see of it."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from amun import engines, status
from amun.engines.openshift import checks, names
from amun.engines.openshift.cluster import BUILDING
from amun.errors import EngineUnavailable
from tests.contract.sites import Desk
from tests.engine.test_openshift_scenes import Make, Scene, make, verdict, waits_for
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


# -- records ----------------------------------------------------------------------------------------------------------


def damage(scene: Scene, inspection_id: str) -> None:
    data = base64.b64encode(gzip.compress(b'{"a later": "version"}')).decode()
    scene.store.update("ConfigMap", inspection_id, lambda one: one["binaryData"].update(inspection=data))


def test_a_damaged_record_is_that_inspections_defect_and_the_rest_goes_on(make: Make) -> None:
    scene, desk = make()
    over = desk.submit(quick(), script="true")
    desk.end(over, "succeeded")
    running = desk.submit(script="echo started; sleep 60")
    desk.printed(running, "started")
    for one in (over, running):
        damage(scene, one)
    after = desk.submit(script="echo ran")
    desk.end(after, "succeeded")
    for one in (over, running):
        assert desk.end(one, "error").defect is not None
        assert verdict(desk, one)[1] == "StateCorrupt"
    listed = [status.verdict(one).phase for one in desk.engine.observations([after, running, over])]
    assert listed == ["succeeded", "error", "error"]
    assert set(desk.engine.inspections()) == {over, running, after}
    desk.wait(lambda: scene.pods() == [], 20)


def test_a_job_that_the_api_server_finds_wrong_is_not_asked_for_again_and_again(make: Make) -> None:
    scene, desk = make()
    scene.server.faults.refuse(422, verb="create", resource="jobs", times=None)
    made = desk.submit(quick(), script="true")
    (item,) = desk.end(made, "error").items
    assert item.reason == "Refused"
    assert "The API server refused" in (item.message or "")


@pytest.mark.parametrize(("code", "answered"), [(403, 500), (422, 500), (400, 500), (401, 503), (503, 503)])
def test_503_is_answered_for_what_may_pass(make: Make, code: int, answered: int) -> None:
    scene, desk = make()
    scene.server.faults.refuse(code, verb="create", resource="configmaps", times=None)
    with pytest.raises(EngineUnavailable) as caught:
        desk.submit(quick(), script="true")
    assert caught.value.status == answered


def test_503_is_answered_for_a_quota(make: Make) -> None:
    scene, desk = make()
    scene.store.create("ResourceQuota", {"metadata": {"name": "few"}, "spec": {"hard": {"count/configmaps": "0"}}})
    with pytest.raises(EngineUnavailable, match="exceeded quota") as caught:
        desk.submit(quick(), script="true")
    assert caught.value.status == 503


@pytest.mark.parametrize("group", BUILDING)
def test_doctor_and_engines_agree_on_what_a_cluster_is(make: Make, group: str) -> None:
    scene, _ = make()
    settings = scene.settings.model_copy(update={"engine": "auto"})
    assert all(check.ok for check in checks.look(settings) if check.name == "builds")
    scene.server.without = frozenset({group})
    with pytest.raises(ValueError, match=group):
        engines.load(settings)
    (found,) = (check for check in checks.look(settings) if check.name == "builds")
    assert not found.ok
    assert group in found.why
    scene.server.without = frozenset()


# -- cancelled in each state of a pod ---------------------------------------------------------------------------------


def slow_hwinfo(scene: Scene, seconds: int) -> None:
    """Let the description of the hardware take its time on this cluster."""
    (name,) = (one["metadata"]["name"] for one in scene.store.list("ConfigMap", "amun/kind=runner"))

    def slower(one: dict[str, Any]) -> None:
        one["data"]["hwinfo.sh"] = f"sleep {seconds}\n" + one["data"]["hwinfo.sh"]

    scene.store.update("ConfigMap", name, slower)


def initialising(make: Make, seconds: int) -> tuple[Scene, Desk, str]:
    scene, desk = make()
    desk.end(desk.submit(quick(), script="true"), "succeeded")
    slow_hwinfo(scene, seconds)
    made = desk.submit(script="echo ran")
    waits_for(desk, made, "PodInitializing")
    return scene, desk, made


def test_running_is_said_when_the_script_runs_and_not_before(make: Make) -> None:
    _, desk, made = initialising(make, 3)
    observation = desk.engine.observe(made)
    assert (observation.items[0].state, observation.items[0].started_at) == ("scheduling", None)
    assert desk.phase(made) == "pending"
    desk.end(made, "succeeded")


def test_a_run_that_is_cancelled_while_its_hardware_is_described_says_so_and_its_pod_stays(make: Make) -> None:
    scene, desk, made = initialising(make, 60)
    desk.engine.cancel(made)
    (item,) = desk.end(made, "cancelled").items
    assert (item.state, item.reason) == ("terminated", "Cancelled")
    assert "before its script began" in (item.message or "")
    assert item.started_at is None
    assert desk.output(made) == ""
    assert scene.store.list("Pod", f"{names.INSPECTION}={made}") != []


def test_a_run_that_is_cancelled_without_a_node_goes_and_was_never_started(make: Make) -> None:
    scene, desk = make()
    desk.end(desk.submit(quick(), script="true"), "succeeded")
    for node in scene.store.list("Node"):
        scene.store.update("Node", node["metadata"]["name"], lambda one: one["spec"].update(unschedulable=True))
    made = desk.submit(script="echo ran")
    waits_for(desk, made, "Unschedulable")
    desk.engine.cancel(made)
    document = status.to_document(desk.end(made, "cancelled"))["job"]["pods"][0]
    assert (document["state"], document["reason"]) == ("terminated", "NotStarted")
    desk.wait(lambda: not scene.store.list("Pod", f"{names.INSPECTION}={made}"), 20)


def test_a_run_that_is_cancelled_while_its_image_is_fetched_was_never_started(make: Make) -> None:
    scene, desk = make()
    desk.end(desk.submit(quick(), script="true"), "succeeded")
    scene.world.faults.plan("image-pull", "inspection-*", times=1000)
    made = desk.submit(script="echo ran")
    desk.wait(lambda: verdict(desk, made)[1] in ("ImagePullBackOff", "ErrImagePull"), 20)
    desk.engine.cancel(made)
    desk.end(made, "cancelled")
    assert desk.output(made) == ""
    desk.wait(lambda: scene.pods() == [], 20)
