"""What Amun makes of the objects of a real OpenShift: of Builds and pods as recorded in tests/cluster/recorded."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amun.engines.kubernetes import pending_reasons, pod_states
from amun.engines.kubernetes.records import Reason
from amun.engines.openshift import build_states
from amun.model.inspection import Inspection
from amun.runs import report
from amun.runs.log_frames import Frame
from amun.validation.problems import validated

RECORDED = Path(__file__).parents[3] / "cluster" / "recorded"
ATTEMPTS = 2
OVER_DISK = (  # as pkg/kubelet/eviction/helpers.go words them
    'Container run exceeded its local ephemeral storage limit "4Gi". ',
    "Pod ephemeral local storage usage exceeds the total limit of containers 4Gi. ",
    'Usage of EmptyDir volume "container-storage-root" exceeds the limit "4Gi". ',
)


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


def scene(
    name: str, batch_size: int = 1, timeout: int = 3600
) -> tuple[Inspection, list[dict[str, Any]], dict[str, Any]]:
    """A recorded Job with its pods, whose container was named otherwise, as if it were an inspection of ours."""
    pods = recorded(f"pods-{name}")["items"]
    for pod in pods:
        for status in pod["status"].get("containerStatuses") or ():
            status["name"] = status["name"].replace("inspect", "run")
    document = {"base": "debian:12", "script": "true", "batch_size": batch_size, "run": {"timeout": timeout}}
    specification = validated(document)
    made = Inspection("inspection-0123456789abcdef", specification, "0" * 64, "sha256:1", "2026-01-01T00:00:00Z")
    job = recorded(f"job-{name}")
    job["metadata"]["name"] = made.id
    return made, pods, job


def seen(inspection: Inspection, pods: list[Any], job: Any, stopped: Reason | None, attempts: int) -> tuple[Any, ...]:
    """The states of items whose Job, if it is there, was noted."""
    return pod_states.states(inspection, pods, [job] if job else [], {"": 1} if job else {}, stopped, attempts)


def reported(pod: dict[str, Any], **account: Any) -> dict[str, Any]:
    """The pod as it is when the runner has left its account."""
    pod = copy.deepcopy(pod)
    said = {"usage": {"ru_utime": 0.1}, "script_sha256": "0" * 64, **account}
    for status in pod["status"]["containerStatuses"]:
        status["state"]["terminated"]["message"] = json.dumps(said)
    return pod


class TestBuilds:
    def test_a_build_that_is_complete_names_its_image_by_digest(self) -> None:
        state = build_states.state(recorded("build-abc"), [], ATTEMPTS)
        assert (state.state, state.outcome, state.reason, state.exit_code) == (
            "terminated",
            "succeeded",
            "Completed",
            0,
        )
        assert state.image == (
            "image-registry.openshift-image-registry.svc:5000/amun-inspection/environment-abc@sha256:"
            "0578089807c95a4a65203c9c756838a18e6e84a5383ace6ffeabb61768f10778"
        )
        assert (state.started_at, state.finished_at) == ("2026-11-23T11:37:33.000000Z", "2026-11-23T11:38:03.000000Z")
        assert state.container == "environment-abc-1"

    def test_a_build_that_failed_names_the_step(self) -> None:
        state = build_states.state(recorded("build-bad"), [], ATTEMPTS)
        assert (state.outcome, state.reason) == ("failed", "BuildFailed")
        assert state.message == "RUN echo about to fail; exit 7 failed (step 2/4, exit status 7): about to fail."

    def test_a_build_without_a_node_says_so_in_the_schedulers_words(self) -> None:
        state = build_states.state(recorded("build-nonode"), [recorded("build-pod-nonode")], ATTEMPTS)
        assert (state.state, state.outcome, state.reason) == ("waiting", None, "Unschedulable")
        assert state.message is not None
        assert state.message.startswith("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity")
        assert state.started_at is None

    def test_a_build_that_waits_for_nothing_in_particular_has_a_reason_too(self) -> None:
        for build in (None, recorded("build-nonode")):
            state = build_states.state(build, [], ATTEMPTS)
            assert state.state == "waiting"
            assert state.reason
            assert state.message

    @pytest.mark.parametrize(
        ("reason", "outcome"),
        [
            ("DockerBuildFailed", "failed"),
            ("PullBuilderImageFailed", "failed"),
            ("OutOfMemoryKilled", "failed"),
            ("PushImageToRegistryFailed", "error"),
            ("BuildPodEvicted", "error"),
        ],
    )
    def test_a_caller_retries_what_the_platform_failed_and_nothing_else(self, reason: str, outcome: str) -> None:
        build = recorded("build-bad")
        build["status"]["reason"] = reason
        assert build_states.begin_again(build, ATTEMPTS) is (outcome == "error")
        build["metadata"]["annotations"]["openshift.io/build.number"] = "2"
        assert not build_states.begin_again(build, ATTEMPTS)
        assert build_states.state(build, [], ATTEMPTS).outcome == outcome

    @pytest.mark.parametrize("message", OVER_DISK)
    def test_a_build_that_wrote_too_much_is_at_fault_and_no_nodes_eviction(self, message: str) -> None:
        build = recorded("build-bad")
        build["status"].update(reason="BuildPodEvicted", message=message)
        assert not build_states.begin_again(build, ATTEMPTS)
        state = build_states.state(build, [], ATTEMPTS)
        assert (state.outcome, state.reason) == ("failed", "StorageLimitExceeded")
        build["status"]["message"] = "The node was low on resource: ephemeral-storage. "
        assert build_states.begin_again(build, ATTEMPTS)

    def test_a_build_that_somebody_cancelled_begins_again_unless_it_was_amun(self) -> None:
        build = recorded("build-bad")
        build["status"].update(phase="Cancelled", reason="CancelledBuild")
        assert build_states.state(build, [], ATTEMPTS).reason == "Restarting"
        build["metadata"]["annotations"]["amun/stopped"] = "Cancelled: Nobody waits."
        assert build_states.state(build, [], ATTEMPTS).reason == "Restarting"
        assert build_states.state(build, [], ATTEMPTS, wanted=False).reason == "Cancelled"
        build["metadata"]["annotations"]["amun/stopped"] = "Unschedulable: 0/1 nodes are available."
        state = build_states.state(build, [], ATTEMPTS)
        assert (state.outcome, state.reason, state.message) == ("error", "Unschedulable", "0/1 nodes are available.")

    def test_a_deadline_has_no_reason_of_its_own_on_a_cluster(self) -> None:
        build = recorded("build-bad")
        build["status"]["reason"] = "GenericBuildFailed"
        build["spec"]["completionDeadlineSeconds"] = 23
        assert build_states.state(build, [], ATTEMPTS).reason == "DeadlineExceeded"
        build["spec"]["completionDeadlineSeconds"] = 60
        assert build_states.state(build, [], ATTEMPTS).reason == "BuildFailed"


class TestSharedBuilds:
    """The recorded Build that failed took 23 s, from 11:37:33 on."""

    DURING, AFTER = "2026-11-23T11:37:40.500000Z", "2026-11-23T12:00:00.000000Z"

    @staticmethod
    def build(number: int = 1, reason: str = "GenericBuildFailed", memory: str = "64Mi", deadline: int = 600) -> Any:
        build = recorded("build-bad")
        build["metadata"]["annotations"]["openshift.io/build.number"] = str(number)
        build["status"]["reason"] = reason
        build["spec"]["resources"] = {"limits": {"cpu": "500m", "memory": memory}}
        build["spec"]["completionDeadlineSeconds"] = deadline
        return build

    @staticmethod
    def inspection(created: str, timeout: int = 600, cpu: str = "500m", memory: str = "64Mi") -> Inspection:
        document = {"base": "a:1", "build": {"timeout": timeout, "requests": {"cpu": cpu, "memory": memory}}}
        return Inspection("inspection-0123456789abcdef", validated(document), None, "sha256:1", created)

    def test_who_allows_more_goes_on_after_a_limit_and_nobody_else_does(self) -> None:
        killed = self.build(reason="OutOfMemoryKilled")
        assert build_states.limit(killed) == "OutOfMemoryKilled"
        for memory, more in (("32Mi", False), ("64Mi", False), ("65536Ki", False), ("65Mi", True), ("1Gi", True)):
            assert build_states.goes_on(killed, self.inspection(self.DURING, memory=memory)) is more
        assert not build_states.goes_on(killed, self.inspection(self.DURING, timeout=6000, cpu="8"))
        late = self.build(deadline=23)
        assert build_states.limit(late) == "DeadlineExceeded"
        assert not build_states.goes_on(late, self.inspection(self.DURING, timeout=23))
        for more_of in ({"timeout": 24}, {"timeout": 23, "cpu": "1"}, {"timeout": 23, "memory": "1Gi"}):
            assert build_states.goes_on(late, self.inspection(self.DURING, **more_of))
        failed = self.build()
        assert build_states.limit(failed) is None
        assert not build_states.goes_on(failed, self.inspection(self.DURING, timeout=6000, cpu="8", memory="1Gi"))

    def test_a_build_without_limits_of_its_own_is_not_begun_again_for_anybody(self) -> None:
        killed = self.build(reason="OutOfMemoryKilled")
        del killed["spec"]["resources"]
        assert not build_states.goes_on(killed, self.inspection(self.DURING, memory="1Gi"))

    def test_a_limit_decides_for_those_who_waited_and_allow_no_more_whatever_comes_later(self) -> None:
        first, second = self.build(reason="OutOfMemoryKilled"), self.build(2, memory="1Gi")
        there = [second, first]
        assert build_states.decisive(there, self.inspection(self.DURING)) is first
        assert build_states.decisive(there, self.inspection(self.DURING, memory="128Mi")) is second
        assert build_states.decisive(there, self.inspection(self.AFTER)) is second
        assert build_states.decisive([], self.inspection(self.AFTER)) is None

    def test_a_deadline_counts_although_others_allow_more_time(self) -> None:
        build, now = self.build(), "2026-11-23T12:00:00.000000Z"
        assert build_states.late(build, self.inspection(self.DURING, timeout=10), now)
        assert build_states.too_late(build, self.inspection(self.DURING, timeout=10)).reason == "DeadlineExceeded"
        assert not build_states.late(build, self.inspection(self.DURING, timeout=30), now)
        assert not build_states.late(build, self.inspection(self.AFTER, timeout=10), now), "it was over by then"
        assert not build_states.late(build, self.inspection(self.DURING, timeout=10, cpu="8"), now), "it had less CPU"
        assert not build_states.late(self.build(deadline=10), self.inspection(self.DURING, timeout=10), now), (
            "the cluster's"
        )


class TestItems:
    def states(self, name: str, batch_size: int = 1, **changes: Any) -> tuple[Any, ...]:
        inspection, pods, job = scene(name, batch_size)
        pods = [reported(pod, **changes) if pod_states.terminated(pod) else pod for pod in pods]
        return seen(inspection, pods, job, None, ATTEMPTS)

    def test_a_run_that_went_well(self) -> None:
        (state,) = self.states("ok")
        assert (state.state, state.outcome, state.reason, state.exit_code) == (
            "terminated",
            "succeeded",
            "Completed",
            0,
        )
        assert (state.node, state.attempt, state.container) == ("rig-node", 1, "run")
        assert state.started_at == "2026-11-23T11:39:47.000000Z"

    def test_a_run_that_failed(self) -> None:
        (state,) = self.states("exit3")
        assert (state.outcome, state.reason, state.exit_code) == ("failed", "NonZeroExit", 3)

    def test_an_item_of_a_batch_fails_alone(self) -> None:
        assert [state.outcome for state in self.states("batch", 3)] == ["succeeded", "failed", "succeeded"]

    def test_out_of_memory(self) -> None:
        (state,) = self.states("oom")
        assert (state.outcome, state.reason, state.exit_code) == ("failed", "OOMKilled", 137)

    def test_the_pods_own_deadline_and_the_runners(self) -> None:
        (state,) = self.states("pod-deadline")
        assert (state.outcome, state.reason) == ("failed", "DeadlineExceeded")
        inspection, pods, job = scene("exit3", timeout=2)
        (state,) = seen(inspection, [reported(pod, deadline_exceeded=True) for pod in pods], job, None, ATTEMPTS)
        assert (state.outcome, state.reason) == ("failed", "DeadlineExceeded")

    def test_what_an_image_makes_up_changes_nothing_that_the_cluster_saw(self) -> None:
        forged = {
            "exit_code": 0,
            "oom_killed": True,
            "deadline_exceeded": True,
            "start_datetime": "2001-01-01T00:00:00Z",
            "end_datetime": "2001-01-01T00:00:01Z",
            "hostname": "forged",
            "node": "forged",
        }
        inspection, pods, job = scene("exit3")
        pods = [reported(pod, **forged) for pod in pods]
        frame = Frame("", "report", json.dumps({**forged, "usage": {"ru_utime": 1}}).encode())
        (state,) = seen(inspection, pods, job, None, ATTEMPTS)
        found = state.outcome, state.reason, state.exit_code, state.node
        assert found == ("failed", "NonZeroExit", 3, "rig-node")
        told = report.assemble(pod_states.account(pods[0], [frame]), pod_states.outcome(pods[0]), "0" * 64, timeout=60)
        times = told["start_datetime"], told["end_datetime"]
        assert times == (state.started_at, state.finished_at)
        assert times == ("2026-11-23T11:39:47.000000Z", "2026-11-23T11:39:47.000000Z")
        assert (told["exit_code"], told["oom_killed"], told["deadline_exceeded"]) == (3, False, False)
        assert told["hostname"] == "forged"
        assert {"hostname", "usage", "stdout"} <= set(told["unverified"])
        assert not {"exit_code", "oom_killed", "start_datetime", "end_datetime"} & set(told["unverified"])

    def test_hardware_is_told_in_full_by_the_log_and_in_short_by_the_init_container(self) -> None:
        (pod,) = scene("exit3")[1]
        pod = reported(pod, hwinfo='{"cpu_info": {"family": 7}}')
        ended = {"exitCode": 0, "message": '{"cpu_info": {"family": 6}}'}
        pod["status"]["initContainerStatuses"] = [{"name": "hwinfo", "state": {"terminated": ended}}]
        log = [{"hwinfo": '{"memory": {}, "cpu_info": {"family": 6}}', "hostname": "pod-1"}, {"hostname": "forged"}]
        frames = [Frame("", "report", json.dumps(said).encode()) for said in log]
        told = report.assemble(pod_states.account(pod, frames), pod_states.outcome(pod), "0" * 64)
        assert (told["hwinfo"], told["hostname"]) == ({"memory": {}, "cpu_info": {"family": 6}}, "pod-1")
        told = report.assemble(pod_states.account(pod), pod_states.outcome(pod), "0" * 64)
        assert told["hwinfo"] == {"cpu_info": {"family": 6}}

    @pytest.mark.parametrize(
        ("name", "reason", "words"),
        [
            ("unschedulable", "Unschedulable", "didn't match Pod's node affinity"),
            ("nocpu", "Unschedulable", "Insufficient memory"),
            ("noimage", "ImagePullBackOff", "Back-off pulling image"),
        ],
    )
    def test_why_an_item_waits(self, name: str, reason: str, words: str) -> None:
        inspection, pods, job = scene(name)
        (state,) = seen(inspection, pods, job, None, ATTEMPTS)
        assert (state.state, state.outcome, state.reason) == ("waiting", None, reason)
        assert words in state.message
        (state,) = seen(inspection, pods, job, Reason(reason, "It waited too long."), ATTEMPTS)
        assert (state.state, state.outcome, state.reason) == ("terminated", "error", reason)

    def test_a_run_without_an_account_is_the_platforms_fault(self) -> None:
        inspection, pods, job = scene("exit3")
        (state,) = seen(inspection, pods, job, None, ATTEMPTS)
        assert (state.outcome, state.reason) == ("error", "NoReport")

    def test_a_pod_that_is_gone_is_known_by_its_job(self) -> None:
        inspection, _, job = scene("batch", 3)
        outcomes = [state.outcome for state in seen(inspection, [], job, None, 1)]
        assert outcomes == ["succeeded", "error", "succeeded"]
        again = seen(inspection, [], job, None, ATTEMPTS)[1]
        assert (again.outcome, again.reason, again.attempt) == (None, "Restarting", 2)
        assert pod_states.taken_away(inspection, [], [job], {"": 1}, ATTEMPTS) == [(1, 2)]
        assert pod_states.taken_away(inspection, [], [job], {"": 1}, 1) == []

    def test_a_pod_that_somebody_deletes_is_run_again_and_one_that_had_ended_is_not(self) -> None:
        inspection, (pod,), job = scene("exit3")
        pod = reported(pod)
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"]
        pod["metadata"] |= {"deletionTimestamp": "2026-11-23T13:00:00Z", "deletionGracePeriodSeconds": 0}
        assert seen(inspection, [pod], job, None, ATTEMPTS)[0].reason == "NonZeroExit"
        pod["metadata"]["deletionTimestamp"] = ended
        assert seen(inspection, [pod], job, None, ATTEMPTS)[0].reason == "Restarting"
        assert seen(inspection, [pod], job, None, 1)[0].reason == "PodDeleted"

    def test_a_job_that_is_noted_and_gone_was_deleted_and_one_that_is_not_noted_was_never_made(self) -> None:
        inspection = scene("ok")[0]
        assert pod_states.states(inspection, [], [], {}, None, ATTEMPTS)[0].reason is None
        assert pod_states.states(inspection, [], [], {"": 1}, None, ATTEMPTS)[0].reason == "Restarting"
        assert pod_states.states(inspection, [], [], {"": 1, "0": 2}, None, ATTEMPTS)[0].reason == "PodDeleted"

    def test_what_the_platform_ends_begins_again_and_counts_once(self) -> None:
        inspection, (pod,), _ = scene("ok")
        evicted = copy.deepcopy(pod)
        evicted["metadata"].update(name="first", creationTimestamp="2026-11-23T11:30:00Z")
        evicted["status"].update(phase="Failed", reason="Evicted")
        target = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
        evicted["status"]["conditions"].append(target)
        (state,) = seen(inspection, [evicted], None, None, ATTEMPTS)
        assert (state.state, state.outcome, state.reason, state.attempt) == ("waiting", None, "Restarting", 2)
        (state,) = seen(inspection, [evicted], None, None, 1)
        assert (state.outcome, state.reason) == ("error", "TerminationByKubelet")
        (state,) = seen(inspection, [evicted, reported(pod)], None, None, ATTEMPTS)
        assert (state.outcome, state.attempt) == ("succeeded", 2)

    @pytest.mark.parametrize("message", OVER_DISK)
    def test_what_wrote_too_much_is_at_fault_and_does_not_begin_again(self, message: str) -> None:
        inspection, (pod,), _ = scene("oom")
        pod["status"].update(phase="Failed", reason="Evicted", message=message)
        pod["status"]["containerStatuses"][0]["state"]["terminated"].update(reason="Error", exitCode=137)
        (state,) = seen(inspection, [pod], None, None, ATTEMPTS)
        assert (state.outcome, state.reason) == ("failed", "StorageLimitExceeded")

    def test_of_two_pods_for_one_item_the_first_report_wins(self) -> None:
        inspection, (pod,), _ = scene("exit3")
        later = copy.deepcopy(scene("ok")[1][0])
        later["metadata"]["creationTimestamp"] = "2026-11-23T11:30:00Z"
        ended = later["status"]["containerStatuses"][0]["state"]["terminated"]
        ended["finishedAt"] = "2026-11-23T11:59:00Z"
        (state,) = seen(inspection, [reported(later), reported(pod)], None, None, ATTEMPTS)
        assert (state.outcome, state.exit_code, state.attempt) == ("failed", 3, 2)

    def test_a_run_that_was_cancelled_says_so(self) -> None:
        inspection, (pod,), _ = scene("pod-deadline")
        pod["metadata"]["annotations"]["amun/stopped"] = "Cancelled"
        (state,) = seen(inspection, [reported(pod)], None, None, ATTEMPTS)
        assert (state.outcome, state.reason) == ("failed", "Cancelled")

    def test_hardware_that_is_not_what_was_asked_for_is_an_error(self) -> None:
        inspection, (pod,), _ = scene("ok")
        wanted = validated({"base": "x", "script": "true", "run": {"requests": {"hardware": {"cpu_family": 99}}}})
        pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["message"] = '{"cpu_info": {"family": 6}}'
        asked = replace(inspection, specification=wanted)
        (state,) = seen(asked, [reported(pod)], None, None, ATTEMPTS)
        assert (state.outcome, state.reason, state.hardware_match) == ("error", "HardwareMismatch", False)

    @pytest.mark.parametrize(("code", "outcome"), [(1, "failed"), (127, "failed"), (137, "error")])
    def test_an_image_in_which_the_init_container_fails_is_at_fault(self, code: int, outcome: str) -> None:
        # https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#detailed-behavior: with restartPolicy
        # Never the whole pod has failed; the others wait.
        inspection, (pod,), _ = scene("exit3")
        pod["status"]["initContainerStatuses"][0]["state"]["terminated"] |= {"exitCode": code, "reason": "Error"}
        pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "PodInitializing"}}
        (state,) = seen(inspection, [pod], None, None, 1)
        assert (state.state, state.outcome) == ("terminated", outcome)
        assert (state.reason == "StartError") is (outcome == "failed")


def test_why_pods_are_not_made_is_told_by_events() -> None:
    message = 'Error creating: pods "x" is forbidden: exceeded quota: q, requested: count/pods=1'
    events = [{"reason": "SuccessfulCreate"}, {"reason": "FailedCreate", "message": message, "lastTimestamp": "2"}]
    assert pending_reasons.refused_pods(events) == ("QuotaExceeded", message)
    assert pending_reasons.refused_pods(events[:1]) is None
