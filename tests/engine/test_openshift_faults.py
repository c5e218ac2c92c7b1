"""What a real cluster did to inspections, as recorded, and what the user is to see of it."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from amun import composition
from amun.engines.kubernetes import kinds, names
from amun.engines.kubernetes.api_client import BUILDING, Cluster
from amun.engines.openshift import checks
from amun.errors import EngineUnavailable, ItemNotFound
from amun.model import status
from tests.contract.sites import Desk
from tests.support.standin_base import missing, quick

from .test_openshift_scenes import Make, Scene, make, verdict, waits_for

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


@pytest.mark.parametrize("controller", ["build", "job", "schedule"])
def test_a_controller_of_the_cluster_that_does_nothing_is_not_waited_for_for_ever(make: Make, controller: str) -> None:
    scene, desk = make(start_deadline=3)
    package = quick()
    desk.end(desk.submit(package, script="true"), "succeeded")
    setattr(scene.world.latencies, controller, 3600.0)
    made = desk.submit(quick() if controller == "build" else package, script="true")
    desk.end(made, "error")
    assert verdict(desk, made)[1] == "NotStarted"


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
        composition.load_engine(settings)
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


# -- taken away by hand -----------------------------------------------------------------------------------------------

ONCE = "echo started; sleep 3; echo ran $AMUN_ITEM"


def test_a_run_whose_pod_somebody_deletes_is_run_again(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script=ONCE)
    desk.printed(made, "started")
    scene.store.delete("Pod", scene.pod(made))
    (item,) = desk.end(made, "succeeded").items
    assert (item.attempt, item.outcome) == (2, "succeeded")
    assert desk.output(made) == "started\nran 0\n"
    assert desk.report(made)["exit_code"] == 0
    assert sorted(job["metadata"]["name"] for job in scene.store.list("Job")) == [made, f"{made}-0-2"]


def test_a_run_whose_pods_somebody_deletes_each_time_is_the_platforms_error(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="echo started; sleep 60")
    for attempt in range(scene.settings.attempts):
        desk.wait(lambda: desk.engine.observe(made).items[0].attempt == attempt + 1, 20)  # noqa: B023 - called at once
        desk.printed(made, "started")
        scene.store.delete("Pod", scene.pod(made))
    (item,) = desk.end(made, "error").items
    assert (item.attempt, item.outcome, item.reason) == (scene.settings.attempts, "error", "PodDeleted")
    assert verdict(desk, made)[1] == "PodDeleted"
    assert desk.output(made) == ""
    with pytest.raises(ItemNotFound, match=r"left no result: .*deleted"):
        desk.inspections.report(made, 0)


@pytest.mark.parametrize("orphaned", [False, True])
def test_a_run_whose_job_somebody_deletes_is_run_again_unless_its_pod_stays(make: Make, orphaned: bool) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script=ONCE)
    desk.printed(made, "started")
    desk.wait(lambda: "amun/jobs" in scene.store.get("ConfigMap", made)["metadata"]["annotations"], 20)
    Cluster.delete(desk.engine.cluster, kinds.JOBS, made, "Orphan" if orphaned else "Background")  # type: ignore[attr-defined]
    (item,) = desk.end(made, "succeeded").items
    assert item.attempt == (1 if orphaned else 2)
    assert desk.output(made).count("ran") == 1


def test_of_several_items_those_that_were_taken_away_are_run_again_and_no_other(make: Make) -> None:
    scene, desk = make()
    script = "echo started; [ $AMUN_ITEM != 1 ] || sleep 4; echo ran $AMUN_ITEM"
    made = desk.submit(quick(), script=script, batch_size=3, parallelism=1, allowed_failures=1)
    desk.printed(made, "started", 1)
    scene.store.delete("Pod", scene.pod(made, 1))
    items = desk.end(made, "succeeded").items
    assert [(item.attempt, item.outcome) for item in items] == [(1, "succeeded"), (2, "succeeded"), (1, "succeeded")]
    assert [desk.output(made, number) for number in range(3)] == [f"started\nran {number}\n" for number in range(3)]


def test_two_controllers_run_what_was_taken_away_once_and_a_new_one_finds_it(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script=ONCE)
    with desk.controlled(), desk.controlled():
        desk.printed(made, "started")
        scene.store.delete("Pod", scene.pod(made))
        desk.wait(lambda: len(scene.store.list("Job")) == 2, 30)
    with desk.controlled():
        desk.end(made, "succeeded")
    assert len(scene.store.list("Job")) == 2
    assert desk.output(made).count("ran") == 1


def test_what_is_drained_says_which_attempt_it_is_though_the_first_pod_is_gone(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script=ONCE)
    desk.printed(made, "started")
    first = scene.pod(made)
    scene.world.drain(first)
    desk.wait(lambda: scene.pod(made) not in ("", first) and scene.store.find("Pod", first) is None, 30)
    (item,) = desk.end(made, "succeeded").items
    assert item.attempt == 2


# -- images that are gone ---------------------------------------------------------------------------------------------


def forget_image(scene: Scene) -> None:
    for stream in scene.store.list("ImageStream"):
        scene.store.delete("ImageStream", stream["metadata"]["name"])


def test_an_image_that_is_gone_is_not_cached_and_is_built_again_once_for_all_who_want_it(make: Make) -> None:
    scene, desk = make()
    package = quick()
    desk.end(first := desk.submit(package, script="true"), "succeeded")
    environment = desk.inspection(first).environment
    assert desk.engine.has_environment(environment)
    forget_image(scene)
    assert not desk.engine.has_environment(environment)
    made = [desk.submit(package, script="echo ran") for _ in range(3)]
    for one in made:
        found = desk.end(one, "succeeded")
        assert found.items[0].attempt == 1
        assert desk.output(one) == "ran\n"
    assert len(scene.store.list("Build")) == 2
    assert desk.engine.has_environment(environment)


def test_an_image_that_goes_between_build_and_run_is_built_again(make: Make) -> None:
    scene, desk = make()
    scene.store.create("ResourceQuota", {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}})
    made = desk.submit(quick(), script="echo ran")
    waits_for(desk, made, "QuotaExceeded")
    forget_image(scene)
    scene.store.delete("ResourceQuota", "few")
    assert desk.end(made, "succeeded").build.container is not None
    assert len(scene.store.list("Build")) == 2


def test_an_image_that_cannot_be_pulled_though_it_was_built_again_is_the_platforms_error(make: Make) -> None:
    scene, desk = make(start_deadline=6)
    package = quick()
    desk.end(desk.submit(package, script="true"), "succeeded")
    forget_image(scene)
    scene.world.faults.plan("image-pull", "inspection-*", times=10_000)
    (item,) = desk.end(desk.submit(package, script="true"), "error").items
    assert item.reason in ("ImagePullBackOff", "ErrImagePull")
    assert len(scene.store.list("Build")) == 2
