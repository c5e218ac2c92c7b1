"""What happens in the cluster of the tests happened so in a real one: each recorded scene is played again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.world.nodes import nodes
from tests.cluster.world.stage import RECORDED, STREAM, Stage, eventually, recorded

Document = dict[str, Any]


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(nodes=[nodes.node(cpu="2")])
    yield made
    made.close()


# -- what is compared -------------------------------------------------------------------------------------------------

_SAME = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "TIME"),
    (r"I\d{4} [\d:.]+", "I TIME"),
    (r"containerd://[0-9a-f]{64}", "CONTAINER"),
    (r"\b10\.(?:244|99)\.\d+\.\d+", "ADDRESS"),
    (r"(run-[\w-]*?-\d)-[a-z0-9]{5}\b", r"\1-SUFFIX"),
    (r"kube-api-access-\w+", "TOKEN"),
    (r"sha256:[0-9a-f]{64}", "DIGEST"),
    (r"^[0-9a-f]{64}$", "DIGEST"),
    (r"--> [0-9a-f]{12}", "--> LAYER"),
    (r"(temp\.builder\.openshift\.io/[^:]*):[0-9a-f]{8}", r"\1:TAG"),
)
_OWN = ("resourceVersion", "duration", "durationMilliseconds", "message", "logSnippet", "size", "Size")


def alike(value: Any, keep: tuple[str, ...] = ("message",)) -> Any:
    """A document without what is another each time."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in _OWN or k in keep}
        return {key: alike(item, keep) for key, item in kept.items()}
    if isinstance(value, list):
        return [alike(item, keep) for item in value]
    if isinstance(value, str):
        for pattern, word in _SAME:
            value = re.sub(pattern, word, value, flags=re.MULTILINE)
    return value


def watched(kind: str, name: str) -> list[Document]:
    """What was recorded of an object, in order."""
    lines = (RECORDED / f"watch-{kind}.jsonl").read_text().splitlines()
    objects = [event["object"] for event in map(json.loads, lines) if event["type"] != "DELETED"]
    return [each for each in objects if each["metadata"]["name"] == name]


def summary(pod: Document | None) -> str:
    """A state of a pod in one line."""
    if pod is None:
        return "gone"
    status = pod["status"]
    said = [":".join(filter(None, (status["phase"], status.get("reason"))))]
    for listed in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(listed) or ():
            ((kind, state),) = container["state"].items()
            said.append(":".join([kind, *(str(state[key]) for key in ("reason", "exitCode") if key in state)]))
    for condition in status.get("conditions") or ():
        sign = "+" if condition["status"] == "True" else "-"
        said.append(":".join(filter(None, (f"{sign}{SHORT[condition['type']]}", condition.get("reason")))))
    metadata = pod["metadata"]
    marks = {"tracked": "finalizers" in metadata, "deleted": "deletionTimestamp" in metadata}
    return " ".join(said + [mark for mark, there in marks.items() if there])


SHORT = {
    "PodReadyToStartContainers": "network",
    "Initialized": "init",
    "Ready": "ready",
    "ContainersReady": "containers",
    "PodScheduled": "node",
    "DisruptionTarget": "disrupted",
}
NOT_READY = "-ready:ContainersNotReady -containers:ContainersNotReady +node tracked"
ON_ITS_NODE = [
    "Pending tracked",
    "Pending +node tracked",
    f"Pending waiting:PodInitializing waiting:PodInitializing -network -init:ContainersNotInitialized {NOT_READY}",
    f"Pending terminated:Completed:0 waiting:PodInitializing +network +init {NOT_READY}",
]
RUNS = [*ON_ITS_NODE, "Running terminated:Completed:0 running +network +init +ready +containers +node tracked"]


def ends(phase: str, ended: str, init: str, reason: str) -> list[str]:
    """The last states of a pod that was over before it was seen to run."""
    both = f"-ready:{reason} -containers:{reason} +node"
    container = f"terminated:Completed:0 terminated:{ended}"
    last = f"{phase} {container} -network {init} {both}"
    return [f"Pending {container} +network {init} {both} tracked", f"{last} tracked", last]


UNREADY = "-ready:PodFailed -containers:PodFailed +node"
COMPLETED = ends("Succeeded", "Completed:0", "+init:PodCompleted", "PodCompleted")
PODS = {
    "ok": ON_ITS_NODE + COMPLETED,
    "exit3": ON_ITS_NODE + ends("Failed", "Error:3", "+init", "PodFailed"),
    "oom": ON_ITS_NODE + ends("Failed", "OOMKilled:137", "+init", "PodFailed"),
    "deadline": [
        *RUNS,
        f"{RUNS[-1]} deleted",
        f"{RUNS[-1]} deleted".replace(" tracked", ""),
        f"Failed terminated:Completed:0 terminated:Error:137 -network +init {UNREADY} deleted",
        "gone",
    ],
    "pod-deadline": [
        *RUNS,
        f"Running terminated:Completed:0 running +network +init {UNREADY} tracked",
        f"Failed:DeadlineExceeded terminated:Completed:0 terminated:Error:137 -network +init {UNREADY} tracked",
        f"Failed:DeadlineExceeded terminated:Completed:0 terminated:Error:137 -network +init {UNREADY}",
    ],
    "unschedulable": ["Pending tracked", "Pending -node:Unschedulable tracked"],
    "nocpu": ["Pending tracked", "Pending -node:Unschedulable tracked"],
    "noimage": ON_ITS_NODE
    + 2
    * [
        f"Pending terminated:Completed:0 waiting:{reason} +network +init {NOT_READY}"
        for reason in ("ErrImagePull", "ImagePullBackOff")
    ],
}
"""What was recorded of the pods of each scene, in ``watch-pods.jsonl``."""

SHORTER: dict[str, Document] = {
    "deadline": {"activeDeadlineSeconds": 3, "terminationGracePeriodSeconds": 1},
    "pod-deadline": {"activeDeadlineSeconds": 3, "terminationGracePeriodSeconds": 1},
}
ENDS = {"ok": "Complete", "exit3": "Failed", "oom": "Failed", "deadline": "Failed", "pod-deadline": "Failed"}


def states(stage: Stage, job: str) -> list[str]:
    """All states that the only pod of a Job has been in."""
    names = [key for key in list(stage.seen) if key[0] == "Pod" and key[1].startswith(job)]
    said: list[str] = []
    for document in [document for name in names for document in stage.seen[name]]:
        if not said or said[-1] != summary(document):
            said.append(summary(document))
    return said


# -- jobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", PODS)
def test_a_job_and_its_pod_go_through_the_states_of_the_recorded_scene(stage: Stage, scene: str) -> None:
    stage.keep_image()
    if scene in SHORTER:
        stage.world.latencies.relist = 0.05  # they run for long enough to be seen
    if scene == "oom":
        stage.world.faults.plan("oom", f"run-{scene}-*")
    stage.job(scene, **SHORTER.get(scene, {}))
    if scene in ENDS:
        stage.until("Job", f"run-{scene}", ENDS[scene])
    eventually(lambda: states(stage, f"run-{scene}")[: len(PODS[scene])], PODS[scene])
    expected = [alike(job["status"]) for job in watched("jobs", f"run-{scene}")]
    eventually(lambda: [alike(job["status"]) for job in stage.seen["Job", f"run-{scene}"] if job], expected)
    if scene != "deadline":  # of which nothing is left
        (pod,) = recorded(f"pods-{scene}.json")["items"]
        assert alike(stage.one(f"run-{scene}")["metadata"]) == alike(pod["metadata"])


@pytest.mark.parametrize("scene", ["ok", "exit3", "oom", "nocpu", "unschedulable"])
def test_the_whole_pod_is_what_was_recorded(stage: Stage, scene: str) -> None:
    stage.keep_image()
    if scene == "oom":
        stage.world.faults.plan("oom", f"run-{scene}-*")
    stage.job(scene)
    eventually(lambda: states(stage, f"run-{scene}"), PODS[scene])
    (expected,) = recorded(f"pods-{scene}.json")["items"]
    found = stage.one(f"run-{scene}")
    assert alike(found["spec"]) == alike(expected["spec"])
    assert alike(found["status"]) == alike(expected["status"])


def test_the_batch_of_the_recorded_scene_ends_as_it_did(stage: Stage) -> None:
    stage.keep_image()
    stage.job("batch")
    ended = stage.until("Job", "run-batch", "Failed")
    assert alike(ended["status"]) == alike(recorded("job-batch.json")["status"])
    pods = stage.pods("run-batch")
    assert [alike(pod["status"]) for pod in pods] == [
        alike(pod["status"]) for pod in recorded("pods-batch.json")["items"]
    ]
    active = [(job or {})["status"].get("active", 0) for job in stage.seen["Job", "run-batch"]]
    assert max(active) == 2
    assert stage.store.log("Pod", pods[2]["metadata"]["name"], "inspect").content == b"2\n"


@pytest.mark.parametrize("scene", ["ok", "exit3", "nocpu", "unschedulable"])
def test_events_are_those_that_were_recorded(stage: Stage, scene: str) -> None:
    stage.keep_image()
    stage.job(scene)
    eventually(lambda: states(stage, f"run-{scene}"), PODS[scene])
    if scene in ENDS:
        stage.until("Job", f"run-{scene}", ENDS[scene])

    def said(events: list[Document]) -> set[str]:
        kept = [event for event in events if event["involvedObject"]["name"].startswith(f"run-{scene}")]
        fields = ("reason", "message", "type", "source", "reportingComponent", "action")
        told = [alike({name: event.get(name) for name in fields}) for event in kept]
        return {re.sub(r"in \d+ms \(\d+ms", "in TIME (TIME", json.dumps(each)) for each in told}

    assert said(stage.store.list("Event")) == said(recorded("events.json")["items"])


# -- builds -----------------------------------------------------------------------------------------------------------


def outline(build: Document) -> Document:
    """What a Build has come to."""
    kept = {key: value for key, value in build["status"].items() if key != "logSnippet"}
    return {"status": alike(kept), "output": build["spec"]["output"], "annotations": build["metadata"]["annotations"]}


def printed(log: str) -> str:
    """A log without what is another each time; how many layers an image has is not known here."""
    return re.sub(r"(Copying blob DIGEST\n)+", "", str(alike(log)))


@pytest.mark.parametrize("scene", ["abc", "bad", "nonode"])
def test_a_build_goes_through_the_states_of_the_recorded_scene(stage: Stage, scene: str) -> None:
    content = 'hello $HOME `id` "x"\n'
    stage.world.latencies.relist = 0.02
    stage.store.create("ConfigMap", {"metadata": {"name": STREAM}, "data": {"file-0": content}})
    name = stage.build(scene)
    assert name == f"environment-{scene}-1"
    wanted = [outline(build) for build in watched("builds", name)]

    def seen() -> list[Document]:
        return [outline(build) for build in stage.seen["Build", name] if build and "annotations" in build["metadata"]]

    eventually(seen, wanted)
    if scene == "nonode":
        return
    assert printed(stage.store.log("Build", name).content.decode()) == printed(
        (RECORDED / f"build-{scene}.log").read_text()
    )
    if scene == "bad":
        assert alike(stage.store.get("Build", name)["status"]["logSnippet"]) == alike(
            recorded("build-bad.json")["status"]["logSnippet"]
        )


@pytest.mark.parametrize("scene", ["abc", "bad", "nonode"])
def test_the_whole_pod_of_a_build_is_what_was_recorded(stage: Stage, scene: str) -> None:
    stage.store.create("ConfigMap", {"metadata": {"name": STREAM}, "data": {"file-0": "hello\n"}})
    name = f"{stage.build(scene)}-build"
    expected = recorded(f"build-pod-{scene}.json")
    eventually(
        lambda: ((stage.store.find("Pod", name) or {}).get("status") or {}).get("phase"), expected["status"]["phase"]
    )
    count = len(expected["status"]["conditions"])
    eventually(lambda: len(stage.store.get("Pod", name)["status"].get("conditions") or ()), count)
    found = stage.store.get("Pod", name)
    for pod in (found, expected):
        for container in pod["spec"]["initContainers"] + pod["spec"]["containers"]:
            (variable,) = [each for each in container["env"] if each["name"] == "BUILD"]
            assert json.loads(variable.pop("value"))["metadata"]["name"] == name.removesuffix("-build")
    assert alike(found["spec"]) == alike(expected["spec"])
    assert alike(found["metadata"]) == alike(expected["metadata"])
    assert alike(found["status"], ()) == alike(expected["status"], ())


def test_a_built_image_is_what_was_recorded_and_its_tag_names_it(stage: Stage) -> None:
    stage.store.create("ConfigMap", {"metadata": {"name": STREAM}, "data": {"file-0": "hello\n"}})
    build = stage.until("Build", stage.build("abc"), "Complete")
    stream = stage.store.get("ImageStream", STREAM)
    assert alike(stream["status"]) == alike(recorded("imagestream.json")["status"])
    (tag,) = stream["status"]["tags"]
    assert tag["items"][0]["image"] == build["status"]["output"]["to"]["imageDigest"]
    image = stage.store.get("Image", tag["items"][0]["image"])
    expected = recorded("imagestreamtag.json")["image"]
    assert image["dockerImageMetadata"]["Config"]["Env"] == expected["dockerImageMetadata"]["Config"]["Env"]
    assert set(image["dockerImageMetadata"]) == set(expected["dockerImageMetadata"])
    assert image["dockerImageReference"] == tag["items"][0]["dockerImageReference"]
