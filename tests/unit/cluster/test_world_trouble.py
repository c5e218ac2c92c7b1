"""What may go wrong in the cluster of the tests, and what its controllers make of it, as real ones do."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import amun.runs.programs
from amun.environments import dockerfile as amun_dockerfile
from amun.model.specification import Variable
from amun.validation.problems import validated
from tests.cluster.world import Latencies, World
from tests.cluster.world.builds.dockerfile import parse, variables
from tests.cluster.world.jobs.indexes import read, write
from tests.cluster.world.nodes import nodes
from tests.cluster.world.nodes.conditions import get_condition
from tests.cluster.world.nodes.processes import left
from tests.cluster.world.stage import STREAM, Stage, eventually
from tests.conftest import wait_until
from tests.support import standin_base

Document = dict[str, Any]

BASE = "debian:12"
ENDLESS = "echo started; while :; do sleep 0.05; done"
PLATFORM = {"action": "Count", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
OWN_FAULT = {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [0]}}


@pytest.fixture
def make() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def stage(**options: Any) -> Stage:
        options = {"latencies": Latencies(retry=0.05, refused=0.05), "nodes": [nodes.node(cpu="8")], **options}
        made.append(Stage(**options))
        return made[-1]

    yield stage
    for each in made:
        each.close()


@pytest.fixture
def stage(make: Callable[..., Stage]) -> Stage:
    return make()


def job(stage: Stage, script: str, name: str = "run", **spec: Any) -> str:
    """A Job like those of Amun; `pod` among `spec` is for the spec of its pods."""
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **spec.pop("pod", {})}
    resources = spec.pop("resources", {"requests": {"cpu": "500m"}})
    pod["containers"] = [{"name": "run", "image": BASE, "command": ["sh", "-c", script], "resources": resources}]
    indexed = {"completionMode": "Indexed", "completions": 1, "parallelism": 1, "backoffLimitPerIndex": 1}
    policy = {"podReplacementPolicy": "Failed", "podFailurePolicy": {"rules": [PLATFORM, OWN_FAULT]}}
    document = {**indexed, "maxFailedIndexes": 0, **policy, "template": {"spec": pod}, **spec}
    stage.store.create("Job", {"metadata": {"name": name}, "spec": document})
    return name


def running(stage: Stage, name: str = "run", count: int = 1) -> list[str]:
    """Wait until so many pods of a Job have printed that they started; their names."""

    def found() -> list[str] | None:
        pods = [pod for pod in stage.pods(name) if pod["status"]["phase"] == "Running"]
        told = [p["metadata"]["name"] for p in pods if b"started" in log(stage, p["metadata"]["name"])]
        return told if len(told) >= count else None

    names: list[str] = wait_until(found, 20, 0.01)
    return names


def log(stage: Stage, pod: str, container: str = "run") -> bytes:
    return stage.store.log("Pod", pod, container).content


def phase(stage: Stage, pod: str) -> str | None:
    found = stage.store.find("Pod", pod)
    return found["status"]["phase"] if found else None


def ended(pod: Document) -> Document:
    """How the only container of a pod ended."""
    (status,) = pod["status"]["containerStatuses"]
    terminated: Document = status["state"]["terminated"]
    return terminated


# -- jobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "indexes"),
    [("", []), ("0", [0]), ("0,1", [0, 1]), ("0,2-4", [0, 2, 3, 4]), ("1,3,4,7-10", [1, 3, 4, 7, 8, 9, 10])],
)
def test_indexes_are_written_as_servers_write_them(text: str, indexes: list[int]) -> None:
    assert write(indexes) == text
    assert read(text) == set(indexes)


def test_what_a_pod_is_disrupted_for_is_tried_again_until_the_limit(stage: Stage) -> None:
    job(stage, ENDLESS)
    (first,) = running(stage)
    stage.world.evict(first)
    (second,) = wait_until(lambda: [name for name in running(stage) if name != first], 20)
    evicted = stage.store.get("Pod", first)
    assert (evicted["status"]["phase"], evicted["status"]["reason"]) == ("Failed", "Evicted")
    assert get_condition(evicted, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert log(stage, first) == b"started\n"
    annotations = stage.store.get("Pod", second)["metadata"]["annotations"]
    assert annotations["batch.kubernetes.io/job-index-failure-count"] == "1"
    stage.world.evict(second)
    failed = stage.until("Job", "run", "Failed")
    assert failed["status"]["failed"] == 2
    assert failed["status"]["failedIndexes"] == "0"
    assert failed["status"]["conditions"][-1]["reason"] == "MaxFailedIndexesExceeded"


def test_what_fails_by_itself_is_not_tried_again_and_too_many_end_the_rest(stage: Stage) -> None:
    script = f"[ $JOB_COMPLETION_INDEX != 1 ] || exit 9; {ENDLESS}"
    job(stage, script, completions=5, parallelism=3)
    over = stage.until("Job", "run", "Failed")
    assert over["status"]["failedIndexes"] == "1"
    assert over["status"]["terminating"] == 0
    assert "active" not in over["status"]
    wait_until(lambda: len(stage.pods("run")) == 1, 20)
    assert ended(stage.one("run"))["exitCode"] == 9
    deleted = [message for reason, message in stage.events("run") if reason == "SuccessfulDelete"]
    assert len(deleted) == 2


def test_a_pod_that_goes_is_replaced_only_when_it_has_failed(stage: Stage) -> None:
    job(stage, f"trap '' TERM; {ENDLESS}", pod={"terminationGracePeriodSeconds": 2})
    (first,) = running(stage)
    stage.world.drain(first)
    wait_until(lambda: stage.store.get("Job", "run")["status"].get("terminating") == 1, 20, 0.01)
    assert len(stage.pods("run")) == 1
    assert phase(stage, first) == "Running"
    (second,) = wait_until(lambda: [name for name in running(stage) if name != first], 20)
    assert stage.store.find("Pod", first) is None
    assert stage.store.get("Job", "run")["status"]["failed"] == 1
    stage.world.preempt(second)
    assert get_condition(stage.store.get("Pod", second), "DisruptionTarget")["reason"] == "PreemptionByScheduler"
    assert stage.until("Job", "run", "Failed")["status"]["failed"] == 2


@pytest.mark.parametrize("gone", [False, True])
def test_a_lost_node_keeps_its_pods_until_it_is_known_to_be_gone(make: Callable[..., Stage], gone: bool) -> None:
    stage = make(nodes=[nodes.node("first", "500m")])
    job(stage, ENDLESS)
    (first,) = running(stage)
    stage.world.add_node(nodes.node("second", "500m"))
    stage.world.lose_node("first", gone=gone)
    assert left() == []
    if not gone:
        eventually(lambda: stage.store.get("Job", "run")["status"].get("terminating"), 1)
        pod = stage.store.get("Pod", first)
        assert pod["metadata"]["deletionTimestamp"]
        assert pod["status"]["phase"] == "Running"
        assert get_condition(pod, "DisruptionTarget")["reason"] == "DeletionByTaintManager"
        assert len(stage.pods("run")) == 1
        stage.world.node_is_gone("first")
    (second,) = wait_until(lambda: [name for name in running(stage) if name != first], 20)
    assert stage.store.get("Pod", second)["spec"]["nodeName"] == "second"
    eventually(lambda: stage.store.find("Pod", first), None)


def test_a_job_deleted_as_an_orphan_leaves_its_pods_alone(stage: Stage) -> None:
    job(stage, ENDLESS, completions=2, parallelism=2)
    names = running(stage, count=2)
    stage.store.delete("Job", "run", policy="Orphan")

    def free() -> list[set[str]]:
        return [{"finalizers", "ownerReferences"} & set(stage.store.get("Pod", name)["metadata"]) for name in names]

    eventually(free, [set(), set()])
    assert [phase(stage, name) for name in names] == ["Running", "Running"]
    stage.store.delete("Pod", names[0])
    eventually(lambda: stage.store.find("Pod", names[0]), None)
    assert phase(stage, names[1]) == "Running"


def test_a_job_deleted_takes_its_pods_along(stage: Stage) -> None:
    job(stage, ENDLESS)
    job(stage, "true", "waits", resources={"requests": {"cpu": "100"}})
    running(stage)
    wait_until(lambda: stage.pods("waits"), 20)
    for name in ("run", "waits"):
        stage.store.delete("Job", name, policy="Background")
    eventually(lambda: stage.pods("run") + stage.pods("waits"), [])
    assert left() == []


def test_a_pending_pod_that_is_deleted_has_failed(stage: Stage) -> None:
    job(stage, "true", resources={"requests": {"cpu": "100"}})
    wait_until(lambda: stage.pods("run"), 20)
    first = stage.one("run")["metadata"]["name"]
    stage.store.delete("Pod", first)
    wait_until(lambda: [pod for pod in stage.pods("run") if pod["metadata"]["name"] != first], 20)
    assert stage.store.get("Job", "run")["status"]["failed"] == 1


def test_a_suspended_job_has_no_pods(stage: Stage) -> None:
    job(stage, ENDLESS, suspend=True)
    stage.until("Job", "run", "Suspended")
    assert "startTime" not in stage.store.get("Job", "run")["status"]
    stage.store.patch("Job", "run", {"spec": {"suspend": False}})
    running(stage)
    conditions = stage.store.get("Job", "run")["status"]["conditions"]
    assert [(c["type"], c["status"], c["reason"]) for c in conditions] == [("Suspended", "False", "JobResumed")]
    stage.store.patch("Job", "run", {"spec": {"suspend": True}})
    eventually(lambda: stage.pods("run"), [])
    assert {reason for reason, _ in stage.events("run")} >= {"Suspended", "Resumed", "SuccessfulDelete"}


def test_what_a_quota_forbids_is_said_and_tried_again(stage: Stage) -> None:
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}}
    stage.store.create("ResourceQuota", quota)
    job(stage, "true")
    refused = "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
    wait_until(lambda: [why for reason, why in stage.events("run") if reason == "FailedCreate"], 20)
    why = next(why for reason, why in stage.events("run") if reason == "FailedCreate")
    assert why.startswith('Error creating: pods "run-0-')
    assert why.endswith(f'" is forbidden: {refused}')
    assert "active" not in stage.store.get("Job", "run")["status"]
    stage.store.delete("ResourceQuota", "q")
    stage.until("Job", "run", "Complete")


def test_two_pods_of_one_index_both_run_and_count_once(stage: Stage) -> None:
    job(stage, "echo started; sleep 0.5", completions=2, parallelism=2)
    running(stage, count=2)
    twin = stage.world.start_twice("run", 0)
    stage.until("Job", "run", "Complete")
    eventually(lambda: phase(stage, twin), "Succeeded")
    assert stage.store.get("Job", "run")["status"]["succeeded"] == 2
    assert [
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in stage.pods("run")
    ] == [
        "0",
        "0",
        "1",
    ]


# -- pods -------------------------------------------------------------------------------------------------------------


def test_a_deadline_that_comes_later_ends_a_pod_in_order(stage: Stage) -> None:
    job(stage, f"trap 'echo told; exit 3' TERM; {ENDLESS}", pod={"terminationGracePeriodSeconds": 20})
    (name,) = running(stage)
    stage.store.patch("Pod", name, {"spec": {"activeDeadlineSeconds": 1}})
    eventually(lambda: phase(stage, name), "Failed")
    pod = stage.store.get("Pod", name)
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert (ended(pod)["exitCode"], ended(pod)["reason"]) == (3, "Error")
    assert log(stage, name) == b"started\ntold\n"
    assert stage.until("Job", "run", "Failed")["status"]["failedIndexes"] == "0"


def test_a_deadline_does_not_run_while_a_pod_waits_for_its_place(make: Callable[..., Stage]) -> None:
    stage = make(nodes=[nodes.node(cpu="500m")])
    job(stage, "sleep 2.5", "first")
    wait_until(lambda: stage.pods("first"), 20)
    job(stage, "true", "second", pod={"activeDeadlineSeconds": 2})
    wait_until(lambda: stage.pods("second"), 20)
    eventually(lambda: get_condition(stage.one("second"), "PodScheduled").get("reason"), "Unschedulable")
    stage.until("Job", "second", "Complete")
    assert stage.store.get("Job", "first")["status"]["succeeded"] == 1


def test_what_is_asked_to_end_and_has_no_handler_is_killed_after_its_grace(stage: Stage) -> None:
    job(stage, "echo started; exec sleep 300")
    (name,) = running(stage)
    stage.store.delete("Pod", name)
    seen = stage.seen["Pod", name]
    eventually(lambda: seen[-1], None)
    last = [document for document in seen if document and document["status"]["phase"] == "Failed"][-1]
    assert ended(last)["exitCode"] == 137
    assert left() == []


def test_what_a_container_left_behind_goes_with_it(stage: Stage) -> None:
    job(stage, "setsid sh -c 'sleep 300' & sleep 0.2; echo over")
    stage.until("Job", "run", "Complete")
    assert log(stage, stage.one("run")["metadata"]["name"]) == b"over\n"
    assert left() == []


def test_the_kernel_may_leave_the_first_process_alone(stage: Stage) -> None:
    job(stage, "echo started; sh -c 'sleep 300; true'; echo $?; exit 5")
    (name,) = running(stage)
    stage.world.out_of_memory(name)
    eventually(lambda: phase(stage, name), "Failed")
    assert (ended(stage.store.get("Pod", name))["reason"], ended(stage.store.get("Pod", name))["exitCode"]) == (
        "OOMKilled",
        5,
    )
    assert b"137" in log(stage, name)


def test_a_container_that_cannot_be_made_or_started_says_so(stage: Stage) -> None:
    stage.world.faults.plan("create-container-error", "run-0-*", times=3, message="name is reserved")
    job(stage, "true")
    waiting = {"reason": "CreateContainerError", "message": "name is reserved"}
    stage.until("Job", "run", "Complete")
    (name,) = [key[1] for key in stage.seen if key[0] == "Pod"]
    states = [
        doc["status"]["containerStatuses"][0]["state"]
        for doc in stage.seen["Pod", name]
        if doc and "startTime" in doc["status"]
    ]
    assert {"waiting": waiting} in states
    bad = {"containers": [{"name": "run", "image": BASE, "command": ["/no/such"]}], "restartPolicy": "Never"}
    stage.store.create("Pod", {"metadata": {"name": "bad"}, "spec": bad})
    eventually(lambda: phase(stage, "bad"), "Failed")
    assert (ended(stage.store.get("Pod", "bad"))["reason"], ended(stage.store.get("Pod", "bad"))["exitCode"]) == (
        "StartError",
        128,
    )


def test_an_image_that_comes_later_is_pulled_then(stage: Stage) -> None:
    stage.world.faults.plan("image-pull", "run-0-*", times=2)
    job(stage, "true")
    stage.until("Job", "run", "Complete")
    reasons = [reason for reason, _ in stage.events("run-0-")]
    assert reasons.count("BackOff") == 1
    assert set(reasons) >= {"Scheduled", "Pulling", "Failed", "BackOff", "Pulled", "Created", "Started"}


def test_volumes_are_there_with_their_modes_or_waited_for(stage: Stage) -> None:
    projected = {
        "defaultMode": 0o555,
        "sources": [
            {"configMap": {"name": "programs"}},
            {"configMap": {"name": "record", "items": [{"key": "script", "path": "script"}]}},
        ],
    }
    volumes = [{"name": "amun", "projected": projected}, {"name": "hwinfo", "emptyDir": {}}]
    mounts = [
        {"name": "amun", "mountPath": "/amun", "readOnly": True},
        {"name": "hwinfo", "mountPath": "/home/amun/hwinfo"},
    ]
    told = "ls /amun; stat -Lc %a /amun/script; /amun/script; cat /home/amun/hwinfo/info.json; pwd"
    first = {"name": "hwinfo", "image": BASE, "command": ["sh", "-c", "echo '{}' >/home/amun/hwinfo/info.json"]}
    run = {"name": "run", "image": BASE, "command": ["sh", "-c", told], "workingDir": "/home/amun"}
    run["env"] = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['own']"}}}]
    containers = [{**container, "volumeMounts": mounts} for container in (first, run)]
    spec = {
        "restartPolicy": "Never",
        "volumes": volumes,
        "initContainers": containers[:1],
        "containers": containers[1:],
    }
    stage.store.create("ConfigMap", {"metadata": {"name": "programs"}, "data": {"runner.sh": "", "runner.py": ""}})
    stage.store.create("Pod", {"metadata": {"name": "one", "annotations": {"own": "a\nb"}}, "spec": spec})
    missing = 'MountVolume.SetUp failed for volume "amun" : configmap "record" not found'
    wait_until(lambda: ("FailedMount", missing) in stage.events("one"), 20)
    assert phase(stage, "one") == "Pending"
    script = base64.b64encode(b'#!/bin/sh\necho "$NAME"\n').decode()
    kept = {"binaryData": {"script": script}, "data": {"record.json": "{}"}}
    stage.store.create("ConfigMap", {"metadata": {"name": "record"}, **kept})
    eventually(lambda: phase(stage, "one"), "Succeeded")
    *lines, home = log(stage, "one").decode().splitlines()
    assert lines == ["runner.py", "runner.sh", "script", "555", "a", "b", "{}"]
    assert home.endswith("/home/amun")


def test_nothing_moves_while_the_world_is_muted(stage: Stage) -> None:
    job(stage, "echo started; sleep 0.3")
    running(stage)
    with stage.world.muted():
        wait_until(lambda: left() == [], 20)
        job(stage, "true", "other")
        version = stage.store.get("Pod", stage.one("run")["metadata"]["name"])["metadata"]["resourceVersion"]
        assert stage.pods("other") == []
        assert stage.one("run")["status"]["phase"] == "Running"
        assert stage.one("run")["metadata"]["resourceVersion"] == version
    for name in ("run", "other"):
        stage.until("Job", name, "Complete")


def test_what_ran_when_the_world_ended_has_failed_in_the_next_one(make: Callable[..., Stage]) -> None:
    stage = make()
    job(stage, ENDLESS, maxFailedIndexes=1)
    (name,) = running(stage)
    stage.world.stop()
    assert left() == []
    assert phase(stage, name) == "Running"
    stage.world = World(stage.store, nodes=[]).start()
    eventually(lambda: phase(stage, name), "Failed")
    assert ended(stage.store.get("Pod", name))["reason"] == "ContainerStatusUnknown"
    assert stage.until("Job", "run", "Failed")["status"]["failedIndexes"] == "0"


# -- places -----------------------------------------------------------------------------------------------------------


def test_those_who_come_first_get_the_place_first_and_all_of_them_get_one(make: Callable[..., Stage]) -> None:
    stage = make()
    stage.store.delete("Node", "rig-node")
    names = [job(stage, "true", f"job-{number}") for number in range(4)]
    wait_until(lambda: len(stage.store.list("Pod")) == 4, 20)
    said = "no nodes available to schedule pods"
    wait_until(lambda: get_condition(stage.one("job-3"), "PodScheduled").get("message") == said, 20)
    stage.world.add_node(nodes.node(cpu="600m"))
    for name in names:
        stage.until("Job", name, "Complete")
    started = [stage.store.get("Job", name)["status"]["completionTime"] for name in names]
    assert started == sorted(started)
    order = [message for reason, message in stage.events("job-") if reason == "Scheduled"]
    assert len(order) == 4


def test_what_keeps_a_pod_from_each_node_is_said_in_the_words_of_the_scheduler(make: Callable[..., Stage]) -> None:
    family = f"{nodes.NFD}cpu-model.family"
    stage = make(nodes=[nodes.node("a", "250m"), nodes.node("b", labels={family: "99"}), *nodes.apart("100m")[1:]])
    expression = {"key": family, "operator": "NotIn", "values": ["99"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    job(
        stage,
        "true",
        pod={"affinity": affinity},
        resources={"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}},
    )
    why = (
        "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient nvidia.com/gpu, "
        "1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint {node-role.kubernetes.io/builds: }. "
        "preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, "
        "2 Preemption is not helpful for scheduling."
    )
    wait_until(lambda: stage.pods("run"), 20)
    eventually(lambda: get_condition(stage.one("run"), "PodScheduled").get("message"), why)
    stage.world.add_node(nodes.node("c", "1", extended={"nvidia.com/gpu": "1"}))
    stage.until("Job", "run", "Complete")


# -- builds -----------------------------------------------------------------------------------------------------------


def dockerfile(*lines: str) -> Document:
    return {"dockerfile": "\n".join((f"FROM {BASE}", *lines)) + "\n", "configMaps": []}


def build(stage: Stage, *lines: str, **spec: Any) -> str:
    """Start the build of a Dockerfile; `spec` is for its BuildConfig."""
    config: Document = {"source": dockerfile(*lines), "strategy": {"dockerStrategy": {}}, "triggers": [], **spec}
    config["output"] = {"to": {"kind": "ImageStreamTag", "name": f"{STREAM}:latest"}}
    stage.store.create("BuildConfig", {"metadata": {"name": "environment-bad"}, "spec": config})
    return stage.build("bad")


def outcome(stage: Stage, name: str, condition: str = "Failed") -> tuple[str, str, str]:
    status = stage.until("Build", name, condition)["status"]
    return status["phase"], status.get("reason", ""), status.get("message", "")


def built(stage: Stage, name: str) -> str:
    return stage.store.log("Build", name).content.decode()


GENERIC = "Generic Build failure - check logs for details."


def test_a_build_past_its_deadline_has_failed_and_only_its_pod_says_why(stage: Stage) -> None:
    name = build(stage, "RUN echo begun; sleep 60", completionDeadlineSeconds=1)
    assert outcome(stage, name) == ("Failed", "GenericBuildFailed", GENERIC)
    pod = stage.store.get("Pod", f"{name}-build")
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert "begun" in built(stage, name)
    assert "begun" in stage.store.get("Build", name)["status"]["logSnippet"]
    assert "error: build error" not in built(stage, name)
    assert left() == []


def test_a_build_that_is_cancelled_ends_at_once(stage: Stage) -> None:
    name = build(stage, "RUN echo begun; sleep 60")
    wait_until(lambda: "begun" in built(stage, name), 20)
    stage.store.patch("Build", name, {"status": {"cancelled": True}})
    assert outcome(stage, name, "Cancelled") == ("Cancelled", "CancelledBuild", "The build was cancelled by the user.")
    eventually(lambda: stage.store.find("Pod", f"{name}-build"), None)
    assert left() == []


def test_the_platform_ends_builds_in_its_own_ways(stage: Stage) -> None:
    stage.store.patch("ImageStream", STREAM, {"metadata": {"labels": {"x": "y"}}})
    ways: dict[str, tuple[str, str]] = {}
    for way, act in {
        "evict": stage.world.evict,
        "oom": stage.world.out_of_memory,
        "delete": lambda pod: stage.store.delete("Pod", pod),
    }.items():
        config = {"dockerStrategy": {}}
        name = build(stage, "RUN echo begun; sleep 60", strategy=config) if not ways else stage.build("bad")
        wait_until(lambda name=name: "begun" in built(stage, name), 20)
        wait_until(lambda name=name: stage.store.get("Build", name)["status"]["phase"] == "Running", 20)
        act(f"{name}-build")
        ways[way] = outcome(stage, name, "Error" if way == "delete" else "Failed")[:2]
    assert ways == {
        "evict": ("Failed", "BuildPodEvicted"),
        "oom": ("Failed", "OutOfMemoryKilled"),
        "delete": ("Error", "BuildPodDeleted"),
    }


def test_a_build_waits_for_its_output_its_turn_and_its_quota(stage: Stage) -> None:
    stage.store.delete("ImageStream", STREAM)
    stage.store.create("ResourceQuota", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})
    first = build(stage, "RUN echo begun; sleep 0.3")
    second = stage.build("bad")

    def said(name: str) -> tuple[str, str]:
        status = stage.store.get("Build", name)["status"]
        return status["phase"], status.get("reason", "")

    eventually(lambda: said(first), ("New", "InvalidOutputReference"))
    stage.store.create("ImageStream", {"metadata": {"name": STREAM}})
    eventually(lambda: said(first), ("New", "CannotCreateBuildPod"))
    refused = [message for reason, message in stage.events(first) if reason == "FailedCreate"]
    assert f'Error creating build pod: pods "{first}-build" is forbidden: exceeded quota: q' in refused[0]
    stage.store.delete("ResourceQuota", "q")
    wait_until(lambda: said(first)[0] == "Running", 20, 0.01)
    assert said(second) == ("New", "")
    assert outcome(stage, second, "Complete")[:2] == ("Complete", "")
    times = [stage.store.get("Build", name)["status"] for name in (first, second)]
    assert times[0]["completionTimestamp"] <= times[1]["startTimestamp"]
    tags = stage.store.get("ImageStream", STREAM)["status"]["tags"]
    assert [item["image"] for item in tags[0]["items"]] == [
        status["output"]["to"]["imageDigest"] for status in times[::-1]
    ]


def test_what_is_missing_of_a_build_is_said_in_its_log(stage: Stage) -> None:
    stage.world.latencies.retry = 0.01
    source = {"dockerfile": "FROM registry.example.org/missing/base:1\n", "configMaps": []}
    name = build(stage, source=source)
    assert outcome(stage, name) == ("Failed", "PullBuilderImageFailed", "Failed pulling builder image.")
    assert built(stage, name).count("Warning: Pull failed, retrying in 5s ...\n") == 3
    assert built(stage, name).endswith(
        "error: build error: failed to pull image: After retrying 2 times, Pull image still failed due to error: "
        "initializing source docker://registry.example.org/missing/base:1: reading manifest 1 in "
        "registry.example.org/missing/base: manifest unknown\n"
    )
    stage.store.patch("BuildConfig", "environment-bad", {"spec": {"source": dockerfile('COPY ["a", "b", "/opt/"]')}})
    stage.store.create("ConfigMap", {"metadata": {"name": "some"}, "data": {"a": ""}})
    one = [{"configMap": {"name": "some"}, "destinationDir": "."}]
    stage.store.patch("BuildConfig", "environment-bad", {"spec": {"source": {"configMaps": one}}})
    name = stage.build("bad")
    assert outcome(stage, name)[1] == "DockerBuildFailed"
    assert built(stage, name).endswith(
        'error: build error: building at STEP "COPY a b /opt/": checking on sources under "/tmp/build/inputs": '
        'copier: stat: "/b": no such file or directory\n'
    )


AWKWARD = [
    "",
    " ",
    'a "quoted" $HOME ${PATH} \\n \\\\ `id` \' end\\',
    "one\ntwo\n",
    "x" * 20_000,
    "ümläut # no comment",
]


def test_variables_arrive_as_they_were_sent() -> None:
    sent = [Variable(f"NAME_{number}", value) for number, value in enumerate(AWKWARD)]
    specification = validated({"base": BASE, "script": "true"})
    text = amun_dockerfile.context(specification)["Dockerfile"].decode()
    assert [instruction.name for instruction in parse(text)][:2] == ["FROM", "USER"]
    found: dict[str, str] = {}
    for step in amun_dockerfile._variables(tuple(sent)):
        for instruction in parse(str(step)):
            if instruction.name == "ENV":
                found |= variables(instruction.rest, {amun_dockerfile.NEWLINE: "\n", "HOME": "wrong"})
    assert found == {variable.name: variable.value for variable in sent}


def amun_build(stage: Stage, document: Document) -> str:
    """Build the environment of a specification, as Amun's engine has it built."""
    context = amun_dockerfile.context(validated({"base": standin_base.IMAGE, "script": "true", **document}))
    arguments = [{"name": name, "value": value} for name, value in amun_dockerfile.build_arguments(context).items()]
    encoded = {name: base64.b64encode(content).decode() for name, content in context.items() if name != "Dockerfile"}
    stage.store.create("ConfigMap", {"metadata": {"name": "context"}, "binaryData": encoded})
    source = {
        "dockerfile": context["Dockerfile"].decode(),
        "configMaps": [{"configMap": {"name": "context"}, "destinationDir": "."}],
    }
    return build(stage, source=source, strategy={"dockerStrategy": {"buildArgs": arguments}})


def test_an_environment_of_amun_is_built_and_its_runs_find_what_is_in_it(stage: Stage) -> None:
    document = {
        "packages": [standin_base.slow(1)],
        "python_packages": ["six"],
        "files": [{"path": "/home/amun/data/a.txt", "content": "content\n"}],
        "environment": [{"name": "LINES", "value": "one\n'two' $HOME\n"}],
    }
    name = amun_build(stage, document)
    wait_until(lambda: "1 to go" in built(stage, name), 20)
    assert stage.store.get("Build", name)["status"]["phase"] in ("Pending", "Running")
    digest = stage.until("Build", name, "Complete")["status"]["output"]["to"]["imageDigest"]
    assert len(standin_base.tokens(built(stage, name))) == 1
    repository = stage.store.get("ImageStream", STREAM)["status"]["dockerImageRepository"]
    told = 'printf %s "$LINES"; cat data/a.txt; case $PATH in /opt/amun/venv/bin:/usr/local/sbin:*) echo path; esac'
    container = {"name": "run", "image": f"{repository}@{digest}", "command": ["sh", "-c", told]}
    spec = {"restartPolicy": "Never", "containers": [{**container, "workingDir": "/home/amun"}]}
    stage.store.create("Pod", {"metadata": {"name": "one"}, "spec": spec})
    eventually(lambda: phase(stage, "one"), "Succeeded")
    assert log(stage, "one").decode() == "one\n'two' $HOME\ncontent\npath\n"


def test_a_package_that_is_not_to_be_had_fails_the_build_as_it_would(stage: Stage) -> None:
    package = standin_base.missing()
    name = amun_build(stage, {"packages": [package]})
    assert outcome(stage, name) == ("Failed", "DockerBuildFailed", "Dockerfile build strategy has failed.")
    printed = built(stage, name)
    assert f"Error: Unable to find a match: {package}\n" in printed
    step = f"RUN /bin/sh /opt/amun/build/native.sh {package}"
    assert printed.endswith(f'error: build error: building at STEP "{step}": while running runtime: exit status 1\n')
    snippet = wait_until(lambda: stage.store.get("Build", name)["status"].get("logSnippet"), 20).splitlines()
    assert len(snippet) == 5
    assert all(len(line) <= 120 for line in snippet)


def test_programs_of_amun_run_as_in_a_container(stage: Stage) -> None:
    programs = Path(amun.runs.programs.__file__).parent
    files = {name: (programs / name).read_text() for name in amun.runs.programs.PROGRAMS}
    data = {**files, "script": "#!/bin/sh\necho $HOME; echo err >&2; exit 3\n"}
    stage.store.create("ConfigMap", {"metadata": {"name": "runner"}, "data": data})
    mounts = [{"name": "amun", "mountPath": "/amun"}, {"name": "hwinfo", "mountPath": "/home/amun/hwinfo"}]
    hwinfo = {"name": "hwinfo", "command": ["/bin/sh", "/amun/hwinfo.sh", "/home/amun/hwinfo/info.json"]}
    run = {"name": "run", "command": ["/bin/sh", "/amun/runner.sh", "--timeout", "60", "/amun/script"]}
    containers = [{**each, "image": BASE, "volumeMounts": mounts} for each in (hwinfo, run)]
    volumes = [
        {"name": "amun", "configMap": {"name": "runner", "defaultMode": 0o555}},
        {"name": "hwinfo", "emptyDir": {}},
    ]
    spec = {
        "restartPolicy": "Never",
        "volumes": volumes,
        "initContainers": containers[:1],
        "containers": containers[1:],
    }
    stage.store.create("Pod", {"metadata": {"name": "one"}, "spec": spec})
    eventually(lambda: phase(stage, "one"), "Failed")
    pod = stage.store.get("Pod", "one")
    assert ended(pod)["exitCode"] == 3
    lines = log(stage, "one").decode().splitlines()
    report = json.loads(lines[-1].removeprefix("report F "))
    assert report["exit_code"] == 3
    assert json.loads(report["hwinfo"])["cpu_info"]["count"] >= 1
    assert "stderr F err" in lines
    (home,) = [line.removeprefix("stdout F ") for line in lines if line.startswith("stdout F")]
    assert home.endswith("/home/amun")


def test_a_message_is_what_was_written_for_it_or_the_end_of_the_log(stage: Stage) -> None:
    script = "echo printed; echo told >/dev/termination-log; exit 1"
    containers = [{"name": "run", "image": BASE, "command": ["sh", "-c", script]}]
    stage.store.create(
        "Pod", {"metadata": {"name": "file"}, "spec": {"restartPolicy": "Never", "containers": containers}}
    )
    containers = [{**containers[0], "terminationMessagePolicy": "FallbackToLogsOnError"}]
    containers[0]["command"] = ["sh", "-c", "echo printed; exit 1"]
    stage.store.create(
        "Pod", {"metadata": {"name": "logs"}, "spec": {"restartPolicy": "Never", "containers": containers}}
    )
    for name, message in (("file", "told\n"), ("logs", "printed\n")):
        eventually(lambda name=name: phase(stage, name), "Failed")
        assert ended(stage.store.get("Pod", name))["message"] == message


def test_a_world_that_fails_says_so_when_it_is_stopped() -> None:
    stage = Stage()
    stage.world.loop.handle("broken", lambda: 1 / 0)
    stage.world.loop.add("broken")
    wait_until(lambda: stage.world.loop.failures, 20)
    with pytest.raises(ExceptionGroup, match="the world has failed"):
        stage.world.stop()
