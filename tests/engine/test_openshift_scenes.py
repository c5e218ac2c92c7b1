"""What befalls a cluster and its API server, and what the user sees of it: nothing, or why.

On the API server and the scripted cluster of `tests.cluster`: nothing of Amun is replaced.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amun import composition
from amun.engines.kubernetes import logs, names
from amun.engines.openshift.engine import OpenShiftEngine
from amun.engines.pod_manifests import DISK
from amun.errors import EngineUnavailable, Infeasible, RequestTooLarge
from amun.model import status
from amun.model.inspection import Observation
from amun.settings import Settings
from tests.cluster.apiserver import ApiServer
from tests.cluster.objects.store import Store
from tests.cluster.rules.rights import EVERYTHING
from tests.cluster.world.nodes import nodes as kinds_of_node
from tests.conftest import wait_until
from tests.contract.sites import Desk, OpenShiftSite
from tests.support.standin_base import missing, quick, slow, tokens

pytestmark = [pytest.mark.openshift, pytest.mark.slow]

MODEL = "feature.node.kubernetes.io/cpu-model.id"


class Scene(OpenShiftSite):
    """A cluster of a test's own, with whatever settings the test needs."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        super().__init__(directory)
        self.settings = self.settings.model_copy(update=settings)

    @property
    def store(self) -> Store:
        return self.server.store

    def pod(self, inspection_id: str, item: int = 0) -> str:
        """Name of the newest pod of an item, once there is one."""
        wanted = f"{names.INSPECTION}={inspection_id},{names.INDEX}={item}"
        found = self.store.list("Pod", wanted)
        return max(found, key=lambda pod: int(pod["metadata"]["resourceVersion"]))["metadata"]["name"] if found else ""


Make = Callable[..., tuple[Scene, Desk]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes a scene with the settings that a test names, and a desk with a controller at work."""
    opened: list[Any] = []

    def make_one(**settings: Any) -> tuple[Scene, Desk]:
        scene = Scene(tmp_path, **settings)
        desk = Desk(scene)
        controlled = desk.controlled()
        controlled.__enter__()
        opened.append((scene, controlled))
        return scene, desk

    yield make_one
    for scene, controlled in opened:
        controlled.__exit__(None, None, None)
        scene.close()


def verdict(desk: Desk, inspection_id: str) -> tuple[str, str | None, str | None]:
    found = status.verdict(desk.engine.observe(inspection_id))
    return found.phase, found.reason, found.message


def waits_for(desk: Desk, inspection_id: str, reason: str) -> str:
    """Wait until it says that it waits for this reason; returns the message."""
    desk.wait(lambda: verdict(desk, inspection_id)[1] == reason, 20)
    return verdict(desk, inspection_id)[2] or ""


def once(scene: Scene, desk: Desk, inspection_id: str) -> None:
    """It was built once, run once, and says so."""
    assert len(tokens(desk.build_log(inspection_id))) == 1
    assert desk.output(inspection_id).count("ran") == 1
    assert len(scene.store.list("Pod", f"{names.INSPECTION}={inspection_id}")) == 1


# -- the API server in trouble ----------------------------------------------------------------------------------------


def refuse_all(scene: Scene) -> None:
    for code in (429, 500, 503):
        scene.server.faults.refuse(code, times=6)


def refuse_what_took_effect(scene: Scene) -> None:
    scene.server.faults.refuse(500, verb="create|patch", after=True, times=8)


def collide(scene: Scene) -> None:
    scene.server.faults.refuse(409, verb="create|patch", times=8)


def drop_all(scene: Scene) -> None:
    scene.server.faults.drop(times=6)
    scene.server.faults.drop(verb="create|patch", after=True, times=6)


def cut_watches(scene: Scene) -> None:
    def cut() -> None:
        for _ in range(10):
            scene.server.faults.cut_watches()
            time.sleep(0.3)

    threading.Thread(target=cut).start()


def expire_watches(scene: Scene) -> None:
    scene.server.faults.expire_watches(as_status=secrets.randbelow(2) == 0)


def restart(scene: Scene) -> None:
    threading.Thread(target=scene.server.faults.restart, args=(1.5,)).start()


TROUBLE = [refuse_all, refuse_what_took_effect, collide, drop_all, cut_watches, expire_watches, restart]


@pytest.mark.parametrize("trouble", TROUBLE)
def test_trouble_with_the_api_server_is_survived_and_nothing_happens_twice(
    make: Make, trouble: Callable[[Scene], None]
) -> None:
    scene, desk = make()
    made = desk.submit(slow(1), script="echo ran; sleep 1")
    trouble(scene)
    desk.wait(lambda: _phase(desk, made) == "building", 20)
    trouble(scene)
    desk.wait(lambda: _phase(desk, made) == "running", 30)
    trouble(scene)
    desk.wait(lambda: _observed(desk, made) is not None, 40)
    assert verdict(desk, made)[0] == "succeeded"
    once(scene, desk, made)


def _phase(desk: Desk, inspection_id: str) -> str | None:
    """The phase, None while the API server does not say; what is past a phase counts for it."""
    try:
        phase = desk.phase(inspection_id)
    except EngineUnavailable:
        return None
    return {"pending": "building", "succeeded": "running"}.get(phase, phase)


def _observed(desk: Desk, inspection_id: str) -> Observation | None:
    try:
        observation = desk.engine.observe(inspection_id)
    except EngineUnavailable:
        return None
    return observation if observation.finished_at else None


def test_a_submission_that_the_server_fails_leaves_nothing(make: Make) -> None:
    scene, desk = make()
    before = len(scene.store.list("ConfigMap"))
    fault = scene.server.faults.refuse(500, verb="create", resource="configmaps", times=None)
    with pytest.raises(EngineUnavailable):
        desk.submit(quick(), script="true")
    assert fault.met >= 2
    scene.server.faults.clear()
    assert len(scene.store.list("ConfigMap")) == before


def test_a_submission_whose_answer_was_lost_is_there_once(make: Make) -> None:
    scene, desk = make()
    scene.server.faults.drop(verb="create", resource="configmaps", after=True, times=2)
    made = desk.submit(quick(), script="echo ran")
    assert list(desk.engine.inspections()) == [made]
    desk.end(made, "succeeded")
    once(scene, desk, made)


def test_a_log_is_followed_across_broken_connections_and_nothing_comes_twice(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="for i in 1 2 3 4 5 6; do echo line $i; sleep 0.5; done")
    desk.reach(made, "running")
    followed = bytearray()
    for number, chunk in enumerate(desk.inspections.item_output(made, 0, follow=True)):
        followed += chunk
        if number % 40 == 20:
            scene.server.faults.cut_watches()
        time.sleep(0 if chunk else 0.02)
    assert followed.decode().split("\n")[:-1] == [f"line {number}" for number in range(1, 7)]


def test_followed_logs_begin_when_there_is_something_and_not_at_the_next_look(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOOK_AGAIN", 3600)
    scene, desk = make()
    scene.server.faults.delay(1, verb="create", resource="buildconfigs|jobs")
    made = desk.submit(slow(1), script="#!/bin/sh\necho begun; sleep 1; echo ended\n", batch_size=2)
    assert next(filter(None, desk.inspections.item_output(made, 1, follow=True))) == b"begun\n"


def test_a_followed_build_log_begins_with_the_build(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOOK_AGAIN", 3600)
    scene, desk = make()
    scene.server.faults.delay(1, verb="create", resource="buildconfigs", times=1)
    made = desk.submit(quick(), script="true")
    assert b"installing" in b"".join(desk.inspections.build_log(made, follow=True))


def test_a_server_that_never_answers_is_out_of_reach_within_the_timeout(make: Make) -> None:
    scene, desk = make(cluster_timeout=0.3)
    scene.server.faults.delay(5, verb="list", resource="configmaps")
    begun = time.monotonic()
    with pytest.raises(EngineUnavailable, match="does not answer"):
        desk.site.engine().inspections()
    assert time.monotonic() - begun < 15
    scene.server.faults.clear()


# -- the platform in trouble ------------------------------------------------------------------------------------------


def test_what_is_evicted_begins_again_and_counts_once(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="echo started; sleep 3; echo ran")
    desk.printed(made, "started")
    first = scene.pod(made)
    scene.world.evict(first)
    observation = desk.end(made, "succeeded")
    assert [(item.attempt, item.outcome) for item in observation.items] == [(2, "succeeded")]
    assert desk.output(made).count("ran") == 1
    assert desk.report(made)["hostname"] != ""


def test_what_is_evicted_each_time_is_the_platforms_error(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="echo started; sleep 60")
    evicted = ""
    for _ in range(scene.settings.attempts):
        desk.wait(lambda: scene.pod(made) not in ("", evicted), 20)  # noqa: B023 - called at once
        evicted = scene.pod(made)
        desk.wait(lambda: scene.store.get("Pod", evicted)["status"]["phase"] == "Running", 20)  # noqa: B023
        scene.world.evict(evicted)
    item = desk.end(made, "error").items[0]
    assert (item.attempt, item.outcome, item.reason) == (2, "error", "TerminationByKubelet")


def test_a_lost_node_is_the_platforms_fault_and_the_item_runs_elsewhere(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="echo started; sleep 2; echo ran")
    desk.printed(made, "started")
    (lost,) = {pod["spec"]["nodeName"] for pod in scene.store.list("Pod", f"{names.INSPECTION}={made}")}
    scene.world.add_node(kinds_of_node.node("other-node", address="10.99.0.9"))
    scene.world.lose_node(lost)
    item = desk.end(made, "succeeded").items[0]
    assert (item.attempt, item.node) == (2, "other-node") or (item.attempt, item.node) == (1, "other-node")


def test_a_pod_started_twice_for_one_item_counts_once_and_the_first_report_wins(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="echo started $HOSTNAME; sleep 2; echo ran")
    desk.printed(made, "started")
    scene.world.start_twice(made, 0)
    observation = desk.end(made, "succeeded")
    assert len(observation.items) == 1
    document = status.to_document(observation)["job"]
    assert (document["succeeded"], document["failed"], document["completions"]) == (1, 0, 1)
    assert desk.output(made).count("ran") == 1


def test_a_run_out_of_memory_says_so_and_is_not_begun_again(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="echo started; sleep 60")
    desk.printed(made, "started")
    scene.world.out_of_memory(scene.pod(made))
    item = desk.end(made, "failed").items[0]
    assert (item.reason, item.attempt) == ("OOMKilled", 1)
    assert desk.output(made) == "started\n"


def test_failures_that_are_allowed_leave_a_success_though_the_job_has_failed(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="[ $AMUN_ITEM != 1 ]", batch_size=3, allowed_failures=1)
    outcomes = [item.outcome for item in desk.end(made, "succeeded").items]
    assert outcomes == ["succeeded", "failed", "succeeded"]
    conditions = scene.store.get("Job", made)["status"]["conditions"]
    assert any(one["type"] == "Failed" and one["status"] == "True" for one in conditions)


# -- why it waits -----------------------------------------------------------------------------------------------------


def test_an_item_that_no_node_can_take_waits_with_the_schedulers_words_and_ends_with_them(make: Make) -> None:
    scene, desk = make(start_deadline=3)
    model = int(kinds_of_node.processor()[MODEL])
    document = desk.document(quick(), script="true", run={"requests": {"hardware": {"cpu_model": model}}})
    made = desk.inspections.submit(document)[0].id
    for node in scene.store.list("Node"):
        scene.store.update("Node", node["metadata"]["name"], lambda one: one["metadata"]["labels"].pop(MODEL))
    message = waits_for(desk, made, "Unschedulable")
    assert "nodes are available" in message
    item = desk.end(made, "error").items[0]
    assert (item.state, item.reason) == ("terminated", "Unschedulable")
    assert "nodes are available" in (item.message or "")
    desk.wait(lambda: scene.pods() == [], 10)


def test_a_build_that_no_node_can_take_waits_with_the_schedulers_words_and_ends_with_them(make: Make) -> None:
    scene, desk = make(start_deadline=2)
    for node in scene.store.list("Node"):
        scene.store.update("Node", node["metadata"]["name"], lambda one: one["spec"].update(unschedulable=True))
    made = desk.submit(quick())
    assert "nodes are available" in waits_for(desk, made, "Unschedulable")
    build = desk.end(made, "error").build
    assert (build.outcome, build.reason) == ("error", "Unschedulable")


def test_a_quota_on_jobs_is_named_and_waited_for(make: Make) -> None:
    scene, desk = make()
    hard = {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    scene.store.create("ResourceQuota", hard)
    made = desk.submit(quick(), script="echo ran")
    message = waits_for(desk, made, "QuotaExceeded")
    assert "count/jobs.batch" in message
    assert desk.phase(made) == "pending"
    scene.store.delete("ResourceQuota", "few")
    desk.end(made, "succeeded")


def test_a_quota_on_pods_is_named_and_waited_for(make: Make) -> None:
    scene, desk = make()
    warm = desk.submit(script="true")
    desk.end(warm, "succeeded")
    scene.store.create("ResourceQuota", {"metadata": {"name": "few"}, "spec": {"hard": {"requests.cpu": "100m"}}})
    made = desk.submit(script="echo ran")
    assert "exceeded quota: few" in waits_for(desk, made, "QuotaExceeded")
    scene.store.delete("ResourceQuota", "few")
    desk.end(made, "succeeded")


def test_an_image_that_cannot_be_pulled_is_the_platforms_error_in_the_end(make: Make) -> None:
    scene, desk = make(start_deadline=3)
    scene.world.faults.plan("image-pull", "inspection-*", times=1000)
    made = desk.submit(quick(), script="true")
    desk.wait(lambda: verdict(desk, made)[1] in ("ImagePullBackOff", "ErrImagePull"), 20)
    item = desk.end(made, "error").items[0]
    assert item.reason in ("ImagePullBackOff", "ErrImagePull")


# -- placement --------------------------------------------------------------------------------------------------------


def test_build_and_run_are_placed_apart_each_by_its_own_request(make: Make) -> None:
    scene, desk = make()
    scene.world.add_node(kinds_of_node.node("special", labels={"zone": "far"}, address="10.99.0.7"))
    made = desk.submit(quick(), script="true", run={"requests": {"hardware": {"node_selector": {"zone": "far"}}}})
    item = desk.end(made, "succeeded").items[0]
    assert item.node == "special"
    job = scene.store.get("Job", made)["spec"]["template"]["spec"]
    terms = job["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["far"]}]}]
    (config,) = scene.store.list("BuildConfig")
    assert not config["spec"].get("nodeSelector")


def test_what_no_node_has_is_refused_where_nodes_may_be_read_and_only_there(make: Make, tmp_path: Path) -> None:
    scene, desk = make()
    wanted = {"requests": {"hardware": {"cpu_family": 4711}}}
    with pytest.raises(Infeasible, match=r"feature\.node\.kubernetes\.io/cpu-model\.family=4711"):
        desk.submit(quick(), script="true", run=wanted)
    assert list(desk.engine.inspections()) == []
    desk.submit(quick(), script="true", run={"requests": {"hardware": {"physical_cpus": 4711}}})

    scene.server.rights.add("blind", [EVERYTHING], namespace=scene.store.namespace)
    kubeconfig = scene.server.kubeconfig(tmp_path / "blind", user="blind")
    scene.settings = scene.settings.model_copy(update={"kubeconfig": str(kubeconfig)})
    blind = Desk(scene)
    assert blind.engine.nodes() == []
    assert blind.phase(blind.submit(quick(), script="true", run=wanted)) == "queued"


def test_devices_are_asked_for_where_they_are_wanted(make: Make) -> None:
    scene, desk = make()
    gpu = {"hardware": {"gpu": {"vendor": "nvidia.com/gpu", "count": 2}}}
    with pytest.raises(Infeasible, match=r"2 x nvidia\.com/gpu"):
        desk.submit(quick(), script="true", run={"requests": gpu})
    scene.world.add_node(kinds_of_node.node("gpus", extended={"nvidia.com/gpu": "4"}, address="10.99.0.8"))
    desk.engine._nodes.clear()  # type: ignore[attr-defined] # they are remembered for some seconds
    made = desk.submit(quick(), script="true", run={"requests": gpu})
    assert desk.end(made, "succeeded").items[0].node == "gpus"
    pod = scene.store.get("Job", made)["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "nvidia.com/gpu" not in pod["initContainers"][0]["resources"]["limits"]


# -- the pods ---------------------------------------------------------------------------------------------------------


def test_run_pods_keep_the_restricted_standard_whatever_is_asked_for(make: Make) -> None:
    scene, desk = make(queue_name="lab", run_egress="closed")
    made = desk.submit(quick(), script="true")
    desk.end(made, "succeeded")
    job = scene.store.get("Job", made)
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "runAsUser" not in pod["securityContext"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    for container in pod["initContainers"] + pod["containers"]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert limits | {DISK: "0"} == requests  # what is written to disk is a limit alone
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "lab"
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert labels["amun/egress"] == "closed"
    assert "kueue.x-k8s.io/queue-name" not in labels
    assert "@sha256:" in pod["containers"][0]["image"]


def test_what_is_cancelled_has_its_grace_and_its_runner_time_to_report(make: Make) -> None:
    _, desk = make()
    made = desk.submit(quick(), script="trap '' TERM; echo started; while :; do sleep 1; done")
    desk.printed(made, "started")
    desk.engine.cancel(made)
    desk.end(made, "cancelled")
    report = desk.report(made)
    assert (report["signal"], report["exit_code"]) == ("SIGKILL", 137)
    assert report["usage"]["ru_utime"] is not None


def test_one_delete_removes_all_that_an_inspection_has(make: Make) -> None:
    scene, desk = make()
    made = desk.submit(quick(), script="echo started; sleep 60")
    desk.printed(made, "started")
    desk.engine.cancel(made)
    desk.end(made, "cancelled")
    assert desk.output(made) == "started\n"
    desk.engine.delete(made)
    desk.wait(lambda: not scene.store.list("Pod", f"{names.INSPECTION}={made}"), 10)
    assert scene.store.find("Job", made) is None
    assert scene.store.find("ConfigMap", made) is None


# -- large and small --------------------------------------------------------------------------------------------------


def test_a_context_of_more_than_a_secret_holds_is_split_and_arrives_whole(make: Make) -> None:
    scene, desk = make()
    files = [{"path": f"data/{name}", "content": name * 700_000} for name in "abc"]
    made = desk.submit(quick(), files=files)
    desk.end(made, "succeeded")
    (config,) = scene.store.list("BuildConfig")
    assert len(config["spec"]["source"]["secrets"]) == 4  # and the Dockerfile that is built
    for part in scene.store.list("Secret", "amun/kind=context-part"):
        assert [owner["kind"] for owner in part["metadata"]["ownerReferences"]] == ["ConfigMap"]


def test_what_no_secret_can_hold_is_refused_with_its_size_and_leaves_nothing(make: Make) -> None:
    scene, desk = make()
    before = len(scene.store.list("ConfigMap")), len(scene.store.list("Secret"))
    large = [{"path": "large", "content": "x" * 1_100_000}]
    with pytest.raises(RequestTooLarge, match="1100000 bytes"):
        desk.submit(quick(), files=large)
    with pytest.raises(RequestTooLarge, match="bytes; a cluster keeps"):
        desk.submit(quick(), script="#" + secrets.token_hex(495_000))
    assert (len(scene.store.list("ConfigMap")), len(scene.store.list("Secret"))) == before


# -- rights, TLS and the way in ---------------------------------------------------------------------------------------


def test_each_right_that_is_missing_is_named(make: Make, tmp_path: Path) -> None:
    scene, _ = make()
    scene.server.rights.add("viewer", [{"verbs": ["get", "list"], "apiGroups": ["*"], "resources": ["*"]}])
    kubeconfig = scene.server.kubeconfig(tmp_path / "viewer", user="viewer")
    settings = scene.settings.model_copy(update={"kubeconfig": str(kubeconfig)})
    with pytest.raises(EngineUnavailable) as caught:
        OpenShiftEngine(settings).check()
    for right in ("create configmaps", "delete configmaps", "patch configmaps"):
        assert right in str(caught.value)
    assert "get configmaps" not in str(caught.value)


def test_a_server_is_believed_by_its_certificate_only(tmp_path: Path) -> None:
    with ApiServer(tls=True) as server, ApiServer(tls=True) as other:
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig")
        settings = Settings(engine="openshift", kubeconfig=str(kubeconfig), namespace="amun-inspection")
        assert list(OpenShiftEngine(settings).inspections()) == []
        wrong = tmp_path / "ca"
        wrong.write_bytes(other.certificate)
        believed = settings.model_copy(update={"cluster_ca": str(wrong)})
        config = json.loads(kubeconfig.read_text())
        del config["clusters"][0]["cluster"]["certificate-authority-data"]
        kubeconfig.write_text(json.dumps(config))
        with pytest.raises(EngineUnavailable):
            OpenShiftEngine(believed).inspections()
        with pytest.raises(EngineUnavailable):
            OpenShiftEngine(settings).inspections()


def test_in_a_pod_the_service_account_is_the_way_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ApiServer(tls=True) as server:
        for name, value in server.in_cluster(tmp_path).items():
            monkeypatch.setenv(name, value)
        account = "kubernetes.config.incluster_config.SERVICE_"
        monkeypatch.setattr(f"{account}TOKEN_FILENAME", str(tmp_path / "token"))
        monkeypatch.setattr(f"{account}CERT_FILENAME", str(tmp_path / "ca.crt"))
        engine = composition.load_engine(Settings(engine="auto", state_dir=tmp_path / "state"))
        assert engine.name == "openshift"
        assert list(engine.inspections()) == []
        assert {one.namespace for one in server.requests if one.resource == "configmaps"} == {"amun-inspection"}


def test_the_engine_is_chosen_by_what_is_there(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, _ = make()
    monkeypatch.delenv("KUBECONFIG", raising=False)
    chosen = scene.settings.model_copy(update={"engine": "auto"})
    assert composition.load_engine(chosen).name == "openshift"
    assert composition.load_engine(Settings(engine="auto", state_dir=tmp_path / "state")).name == "podman"
    scene.server.without = frozenset({"build.openshift.io"})
    with pytest.raises(ValueError, match=r"build\.openshift\.io"):
        composition.load_engine(chosen)
    scene.server.without = frozenset()


# -- what it costs, and what goes -------------------------------------------------------------------------------------


def test_an_inspection_costs_the_server_no_more_than_sixteen_requests_and_a_status_three(make: Make) -> None:
    scene, desk = make()
    desk.end(desk.submit(quick(), script="true"), "succeeded")
    scene.server.requests.clear()
    made = desk.submit(quick(), script="sleep 1")
    closed = lambda: scene.store.get("ConfigMap", made)["metadata"]["labels"][names.STATE] == names.CLOSED  # noqa: E731
    desk.wait(closed)
    asked = {what: count for what, count in scene.server.requests.summary().items() if not what.startswith("watch")}
    assert sum(asked.values()) <= 16, asked
    scene.server.requests.clear()
    desk.engine.observe(made)
    assert len(scene.server.requests) <= 3


def test_what_is_past_its_time_goes_and_failures_stay_longer(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from amun.engines.kubernetes import retention

    scene, desk = make()
    well, badly = desk.submit(quick(), script="true"), desk.submit(missing())
    desk.end(well, "succeeded")
    desk.end(badly, "build_failed")
    monkeypatch.setattr(retention, "DAY", 0.05)
    settings = scene.settings.model_copy(
        update={"retention_days": 1, "failed_retention_days": 0, "environment_days": 1}
    )
    time.sleep(0.2)
    retention.Retention(OpenShiftEngine(settings).cluster, settings).expire()
    assert list(desk.engine.inspections()) == [badly]
    left = {one["metadata"]["labels"][names.ENVIRONMENT] for one in scene.store.list("ConfigMap", "amun/kind=context")}
    assert left == {names.short(desk.inspection(badly).environment)}
    desk.wait(lambda: len(scene.store.list("BuildConfig")) == len(scene.store.list("ImageStream")) == 1, 10)


def test_a_build_that_was_cancelled_is_begun_again_for_whom_it_was_not_cancelled(make: Make) -> None:
    scene, desk = make()
    package = slow(4)
    first = desk.submit(package, script="true")
    desk.wait(lambda: "to go" in desk.build_log(first))
    (build,) = scene.store.list("Build")
    second = desk.submit(package, script="echo ran")
    name = build["metadata"]["name"]
    scene.store.update(
        "Build", name, lambda one: one["metadata"]["annotations"].update({names.STOPPED: "Cancelled: No."})
    )
    scene.store.patch("Build", name, {"status": {"cancelled": True}})
    for made in (first, second):
        assert desk.end(made, "succeeded").build.container == name.removesuffix("-1") + "-2"


def test_a_build_whose_pod_may_not_be_made_says_why_and_ends_with_that(make: Make) -> None:
    scene, desk = make(start_deadline=4)
    scene.store.create("ResourceQuota", {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}})
    made = desk.submit(quick(), script="true")
    assert "exceeded quota: none" in waits_for(desk, made, "QuotaExceeded")
    build = desk.end(made, "error").build
    assert (build.outcome, build.reason) == ("error", "QuotaExceeded")


def test_who_allows_a_build_too_little_memory_decides_for_nobody_else(make: Make) -> None:
    scene, desk = make()
    package = slow(3)
    small = desk.submit(package, build={"requests": {"memory": "64Mi"}})
    large = desk.submit(package, build={"requests": {"memory": "1Gi"}})
    given_up = desk.submit(package, build={"requests": {"memory": "2Gi"}})
    wait_until(lambda: "to go" in desk.build_log(small))
    desk.engine.cancel(given_up)
    desk.end(given_up, "cancelled")
    scene.world.out_of_memory(f"{desk.engine.observe(small).build.container}-build")
    assert desk.end(small, "build_failed").build.reason == "OutOfMemoryKilled"
    build = desk.end(large, "succeeded").build
    smaller = desk.submit(package, build={"requests": {"memory": "64Mi"}})
    assert desk.end(smaller, "succeeded").build.image == build.image
    found = scene.store.get("Build", build.container)
    assert found["spec"]["resources"]["limits"]["memory"] == "1Gi"
    assert found["metadata"]["annotations"]["openshift.io/build.number"] == "2"
    assert "installed" not in desk.build_log(small)


def test_a_build_that_a_limit_ended_is_over_once_who_allows_more_is_cancelled(make: Make) -> None:
    scene, desk = make(max_builds=1)
    package = slow(3)
    small = desk.submit(package, build={"requests": {"memory": "64Mi"}})
    wait_until(lambda: "to go" in desk.build_log(small))
    next_in_turn = desk.submit(slow(20))
    large = desk.submit(package, build={"requests": {"memory": "1Gi"}}, script="true")
    scene.world.out_of_memory(f"{desk.engine.observe(small).build.container}-build")
    desk.end(small, "build_failed")
    wait_until(lambda: "to go" in desk.build_log(next_in_turn))
    assert desk.phase(large) == "queued"
    desk.engine.cancel(large)
    desk.end(large, "cancelled")
    assert not desk.engine.has_environment(desk.inspection(large).environment)
    desk.engine.cancel(next_in_turn)
