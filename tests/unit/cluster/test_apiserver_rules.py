"""What objects must be like for the API server of the tests, what they are filled in with, and what may change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster import examples
from tests.cluster.errors import ApiError
from tests.cluster.objects.store import Store
from tests.cluster.rules import quantities

Document = dict[str, Any]

CONTAINER = {"name": "run", "image": "i@sha256:0", "command": ["true"]}


@pytest.fixture
def store() -> Store:
    return Store()


def job(name: str = "job", **spec: Any) -> Document:
    template = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


def pod(name: str = "pod", node: str | None = "node", **metadata: Any) -> Document:
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": [CONTAINER], "nodeName": node}}


def refusal(exc: pytest.ExceptionInfo[ApiError]) -> tuple[int, str]:
    return exc.value.code, str(exc.value)


def test_what_is_immutable_stays(store: Store) -> None:
    store.create("ConfigMap", {"metadata": {"name": "a"}, "data": {"k": "v"}, "immutable": True})
    store.patch("ConfigMap", "a", {"metadata": {"labels": {"amun/outcome": "succeeded"}}})
    for patch in ({"data": {"k": "w"}}, {"binaryData": {"b": "AA=="}}, {"immutable": False}):
        with pytest.raises(ApiError) as exc:
            store.patch("ConfigMap", "a", patch)
        assert exc.value.code == 422
        assert "field is immutable when `immutable` is set" in str(exc.value)


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"template": {"spec": {"containers": [{**CONTAINER, "image": "other"}]}}}, "spec.template"),
        ({"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
        ({"backoffLimitPerIndex": 3}, "spec.backoffLimitPerIndex"),
        ({"podFailurePolicy": None}, "spec.podFailurePolicy"),
        ({"completionMode": "NonIndexed"}, "spec.completionMode"),
        ({"completions": 5}, "spec.completions"),
    ],
)
def test_a_job_does_not_become_another(store: Store, patch: Document, field: str) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [0]}}
    spec = {"completions": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1}
    store.create("Job", job(**spec, podFailurePolicy={"rules": [rule]}))
    with pytest.raises(ApiError) as exc:
        store.patch("Job", "job", {"spec": patch})
    assert exc.value.code == 422
    assert field in [cause["field"] for cause in exc.value.document["details"]["causes"]]
    store.patch("Job", "job", {"spec": {"suspend": True, "parallelism": 0}})


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"podReplacementPolicy": "TerminatingOrFailed"},
            'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
        ),
        (
            {"template": {"spec": {"restartPolicy": "OnFailure", "containers": [CONTAINER]}}},
            'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when'
            " podFailurePolicy is specified",
        ),
        (
            {"completionMode": "NonIndexed"},
            "spec.backoffLimitPerIndex: Invalid value: 0: requires indexed completion mode",
        ),
        ({"maxFailedIndexes": 9}, "spec.maxFailedIndexes: Invalid value: 9: must be less than or equal to completions"),
        ({"completionMode": "Sometimes"}, 'spec.completionMode: Unsupported value: "Sometimes": supported values'),
    ],
)
def test_a_job_that_contradicts_itself_is_refused(store: Store, spec: Document, said: str) -> None:
    rule = {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [0]}}
    base = {"completionMode": "Indexed", "completions": 3, "backoffLimitPerIndex": 0}
    policy = {"podFailurePolicy": {"rules": [rule]}, "podReplacementPolicy": "Failed"}
    store.create("Job", job("good", **base, **policy))
    with pytest.raises(ApiError) as exc:
        store.create("Job", job(**{**base, **policy, **spec}))
    assert exc.value.code == 422
    assert said in str(exc.value)


def test_the_job_of_a_recorded_one_is_filled_in_as_it_was(store: Store) -> None:
    recorded = examples.read("job-batch")
    spec = recorded["spec"]
    container = {key: spec["template"]["spec"]["containers"][0][key] for key in ("name", "image", "command")}
    said = {key: spec[key] for key in ("parallelism", "completions", "backoffLimitPerIndex", "maxFailedIndexes")}
    template = {"metadata": {"labels": recorded["metadata"]["labels"]}, "spec": {"restartPolicy": "Never"}}
    template["spec"]["containers"] = [container]
    made = store.create(
        "Job", {"metadata": recorded["metadata"], "spec": {**said, "completionMode": "Indexed", "template": template}}
    )
    for document in (made, recorded):
        for key in ("volumes", "initContainers", "automountServiceAccountToken"):
            document["spec"]["template"]["spec"].pop(key, None)
        for key in ("volumeMounts", "resources"):
            document["spec"]["template"]["spec"]["containers"][0].pop(key, None)
    assert examples.alike(made["spec"]) == examples.alike(recorded["spec"])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"source": {}}, 'spec.source: Invalid value: "": must provide a value for at least one source input'),
        ({"source": {"dockerfile": "#" * 60_001}}, 'spec.source.dockerfile: Invalid value: "": must be smaller than'),
        ({"strategy": {}}, "must provide a value for exactly one of"),
        ({"output": {"to": {"kind": "ImageStreamTag", "name": "env"}}}, "must be in the form <name>:<tag>"),
        (
            {"source": {"dockerfile": "", "configMaps": [{"configMap": {"name": "a"}, "destinationDir": "/"}]}},
            "relative",
        ),
        ({"completionDeadlineSeconds": 0}, "must be a positive integer greater than 0"),
        ({"nodeSelector": {"a": "b c"}}, 'spec.nodeSelector[a]: Invalid value: "b c": must be a valid node selector'),
        ({"runPolicy": "Often"}, "run policy must Parallel, Serial, or SerialLatestOnly"),
    ],
)
def test_a_build_config_that_makes_no_sense_is_refused(store: Store, spec: Document, said: str) -> None:
    good = {"source": {"dockerfile": "#" * 60_000}, "strategy": {"dockerStrategy": {}}}
    store.create("BuildConfig", {"metadata": {"name": "good"}, "spec": good})
    with pytest.raises(ApiError) as exc:
        store.create("BuildConfig", {"metadata": {"name": "bad"}, "spec": {**good, **spec}})
    assert exc.value.code == 422
    assert said in str(exc.value)


def test_of_a_pod_a_deadline_may_be_set_and_little_else(store: Store) -> None:
    store.create("Pod", pod())
    store.patch("Pod", "pod", {"spec": {"activeDeadlineSeconds": 100}}, form="strategic")
    store.patch("Pod", "pod", {"spec": {"activeDeadlineSeconds": 1}}, form="strategic")
    for spec in ({"activeDeadlineSeconds": 2}, {"activeDeadlineSeconds": None}, {"nodeName": "other"}):
        with pytest.raises(ApiError) as exc:
            store.patch("Pod", "pod", {"spec": spec})
        assert exc.value.code == 422


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"name": "Bad"}, "a lowercase RFC 1123 subdomain must consist of"),
        ({"name": "a" * 254}, "must be no more than 253 characters"),
        ({}, "metadata.name: Required value: name or generateName is required"),
        ({"name": "a", "labels": {"k": "a b"}}, "a valid label must be an empty string or consist of"),
        ({"name": "a", "labels": {"k": "a" * 64}}, "must be no more than 63 characters"),
        ({"name": "a", "labels": {"a/b/c": "x"}}, "prefix part a lowercase RFC 1123 subdomain"),
        ({"name": "a", "annotations": {"k": "x" * 300_000}}, "Too long: must have at most 262144 bytes"),
        ({"name": "a", "ownerReferences": [{"kind": "Job", "name": "j"}]}, "uid must not be empty"),
    ],
)
def test_names_and_labels(store: Store, metadata: Document, said: str) -> None:
    with pytest.raises(ApiError) as exc:
        store.create("ConfigMap", {"metadata": metadata})
    assert exc.value.code == 422
    assert said in str(exc.value)


def test_an_indexed_job_whose_pods_could_have_no_names_is_refused(store: Store) -> None:
    spec = {"completionMode": "Indexed", "completions": 101}
    with pytest.raises(ApiError, match="will not able to create pod with invalid DNS label"):
        store.create("Job", job("a" * 60, **spec))
    store.create("Job", job("a" * 59, **spec))


def test_names_are_made_up(store: Store) -> None:
    made = store.create("Pod", {**pod(), "metadata": {"generateName": "a" * 70 + "-"}})
    assert len(made["metadata"]["name"]) == 63


@pytest.mark.parametrize(
    ("given", "answered"),
    [("0.5", "500m"), ("1.5Gi", "1536Mi"), ("1024Mi", "1Gi"), ("2", "2"), (0.1, "100m"), ("1e3", "1k"), ("512", "512")],
)
def test_quantities_are_answered_in_one_form(given: str | float, answered: str) -> None:
    assert quantities.canonical(given) == answered


def test_quotas_of_what_pods_ask_for(store: Store) -> None:
    hard = {"pods": "2", "limits.memory": "1Gi"}
    store.create("ResourceQuota", {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    with pytest.raises(ApiError) as exc:
        store.create("Pod", pod())
    assert refusal(exc) == (403, 'pods "pod" is forbidden: failed quota: q: must specify limits.memory for: run')
    limited = {**CONTAINER, "resources": {"limits": {"memory": "600Mi"}}}
    store.create("Pod", {"metadata": {"name": "first"}, "spec": {"containers": [limited]}})
    with pytest.raises(ApiError) as exc:
        store.create("Pod", {"metadata": {"name": "second"}, "spec": {"containers": [limited]}})
    numbers = "requested: limits.memory=600Mi, used: limits.memory=600Mi, limited: limits.memory=1Gi"
    assert refusal(exc) == (403, f'pods "second" is forbidden: exceeded quota: q, {numbers}')
    store.update("Pod", "first", lambda document: document["status"].update(phase="Succeeded"))
    store.create("Pod", {"metadata": {"name": "second"}, "spec": {"containers": [limited]}})
