"""What requests may say to the API server of the tests: forms of bodies, options of deleting, dry runs, strictness."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.cluster import examples
from tests.cluster.apiserver import ApiServer
from tests.cluster.serving import builds

NAMESPACE = "amun-inspection"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
BATCH = f"/apis/batch/v1/namespaces/{NAMESPACE}"
MERGE = "application/merge-patch+json"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


def call(server: ApiServer, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    given = {"Authorization": f"Bearer {server.admin.token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    data = json.dumps(body) if body is not None and not isinstance(body, bytes) else body
    return requests.request(method, server.url + path, data=data, headers=given, timeout=10)


def job(server: ApiServer, name: str = "job") -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "run", "image": "i"}]}}
    return server.store.create("Job", {"metadata": {"name": name}, "spec": {"template": template}})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", f"{CORE}/configmaps", b"{", 400, "json parse error"),
        ("POST", f"{CORE}/configmaps", [], 400, "cannot unmarshal"),
        (
            "POST",
            f"{CORE}/configmaps",
            {"kind": "Job", "apiVersion": "batch/v1"},
            400,
            "cannot be handled as a ConfigMap",
        ),
        ("POST", f"{CORE}/configmaps", {"metadata": {"namespace": "other"}}, 400, "does not match the namespace sent"),
        ("POST", f"{CORE}/configmaps", {"data": {"a": 1}}, 400, "cannot unmarshal number"),
        ("POST", f"{CORE}/configmaps", {"data": {"a": "x" * 3_200_000}}, 413, "limit is 3145728"),
        ("POST", f"{CORE}/configmaps", {"metadata": {"name": "a"}, "binaryData": {"b": "="}}, 400, "binaryData"),
        (
            "POST",
            "/api/v1/namespaces/other/configmaps",
            {"metadata": {"name": "a"}},
            404,
            'namespaces "other" not found',
        ),
        ("PATCH", f"{CORE}/configmaps/a", {}, 415, "the body of the request was in an unknown format"),
        ("PUT", f"{CORE}/configmaps/nothing", {"metadata": {"name": "nothing"}}, 404, "not found"),
        ("PUT", f"{CORE}/configmaps/a", {"metadata": {"name": "b"}}, 400, "does not match the name on the URL"),
        ("GET", f"{CORE}/configmaps?limit=many", None, 400, "invalid syntax"),
        ("GET", f"{CORE}/configmaps?continue=x", None, 400, "continue key is not valid"),
        ("GET", f"{CORE}/configmaps?labelSelector=a+in+b", None, 400, "unable to parse requirement"),
        ("GET", f"{CORE}/nonsense", None, 404, "could not find the requested resource"),
        ("POST", f"{CORE}/configmaps/a", {}, 405, "does not allow this method"),
    ],
)
def test_what_makes_no_sense_is_refused(
    server: ApiServer, method: str, path: str, body: Any, status: int, said: str
) -> None:
    server.store.create("ConfigMap", {"metadata": {"name": "a"}})
    answer = call(server, method, path, body)
    assert (answer.status_code, said in answer.json()["message"]) == (status, True), answer.text


def test_a_dry_run_changes_nothing(server: ApiServer) -> None:
    before = server.store.create("ConfigMap", {"metadata": {"name": "a"}})
    made = call(server, "POST", f"{CORE}/configmaps?dryRun=All", {"metadata": {"name": "b"}})
    assert made.status_code == 201
    patched = call(server, "PATCH", f"{CORE}/configmaps/a?dryRun=All", {"data": {"k": "v"}}, Content_Type=MERGE)
    assert patched.json()["data"] == {"k": "v"}
    assert call(server, "DELETE", f"{CORE}/configmaps/a?dryRun=All").status_code == 200
    assert server.store.list("ConfigMap") == [before]


def test_strictness_of_patches(server: ApiServer) -> None:
    job(server)
    patch = {"spec": {"suspended": True}}
    refused = call(server, "PATCH", f"{BATCH}/jobs/job?fieldValidation=Strict", patch, Content_Type=MERGE)
    assert refused.status_code == 400
    assert 'strict decoding error: unknown field "spec.suspended"' in refused.json()["message"]
    warned = call(server, "PATCH", f"{BATCH}/jobs/job", patch, Content_Type=MERGE)
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.suspended\\""'
    assert "suspended" not in warned.json()["spec"]
    silent = call(server, "PATCH", f"{BATCH}/jobs/job?fieldValidation=Ignore", patch, Content_Type=MERGE)
    assert "Warning" not in silent.headers


def test_a_patch_that_changes_nothing_is_no_event(server: ApiServer) -> None:
    made = job(server)
    patched = call(server, "PATCH", f"{BATCH}/jobs/job", {"spec": {"suspend": False}}, Content_Type=MERGE).json()
    assert patched["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("body", "query", "pods"),
    [
        (None, "", ["pod"]),
        ({"propagationPolicy": "Orphan"}, "", ["pod"]),
        ({"propagationPolicy": "Background"}, "", []),
        ({"propagationPolicy": "Foreground"}, "", []),
        (None, "?propagationPolicy=Background", []),
    ],
)
def test_what_becomes_of_what_is_owned(server: ApiServer, body: Any, query: str, pods: list[str]) -> None:
    owner = job(server)
    reference = {"kind": "Job", "apiVersion": "batch/v1", "name": "job", "uid": owner["metadata"]["uid"]}
    spec = {"containers": [{"name": "run", "image": "i"}]}
    server.store.create("Pod", {"metadata": {"name": "pod", "ownerReferences": [reference]}, "spec": spec})
    assert call(server, "DELETE", f"{BATCH}/jobs/job{query}", body).status_code == 200
    assert [pod["metadata"]["name"] for pod in server.store.list("Pod")] == pods
    assert server.store.list("Job") == []


def test_a_pod_is_given_its_time_to_end(server: ApiServer) -> None:
    spec = {"containers": [{"name": "run", "image": "i"}], "nodeName": "node", "terminationGracePeriodSeconds": 5}
    server.store.create("Pod", {"metadata": {"name": "pod"}, "spec": spec})
    going = call(server, "DELETE", f"{CORE}/pods/pod").json()
    assert (going["kind"], going["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 5)
    assert call(server, "DELETE", f"{CORE}/pods/pod?gracePeriodSeconds=0").json()["kind"] == "Pod"
    assert server.store.list("Pod") == []


def test_many_are_deleted_at_once(server: ApiServer) -> None:
    for name in "abc":
        server.store.create("ConfigMap", {"metadata": {"name": name, "labels": {"half": str(name < "c")}}})
    answer = call(server, "DELETE", f"{CORE}/configmaps?labelSelector=half%3DTrue").json()
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a", "b"]
    assert [left["metadata"]["name"] for left in server.store.list("ConfigMap")] == ["c"]


def test_the_metadata_of_one(server: ApiServer) -> None:
    server.store.create("ConfigMap", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
    answer = call(server, "GET", f"{CORE}/configmaps/a", Accept=accept).json()
    assert (answer["kind"], "data" in answer) == ("PartialObjectMetadata", False)


def test_tags_are_those_of_the_stream(server: ApiServer) -> None:
    stream, recorded = examples.read("imagestream"), examples.read("imagestreamtag")
    server.store.restore(stream)
    image = {"kind": "Image", "apiVersion": "image.openshift.io/v1", **recorded["image"]}
    server.store.restore(image)
    path = f"/apis/image.openshift.io/v1/namespaces/{NAMESPACE}/imagestreamtags"
    answer = call(server, "GET", f"{path}/environment-abc:latest").json()
    assert examples.alike(answer) == examples.alike(recorded)
    reference = builds.push(server.store, "environment-abc", "other", "sha256:1")
    assert reference.endswith("/amun-inspection/environment-abc@sha256:1")
    assert call(server, "GET", f"{path}/environment-abc:other").json()["image"]["metadata"]["name"] == "sha256:1"
    assert call(server, "DELETE", f"{path}/environment-abc:other").status_code == 200
    assert call(server, "GET", f"{path}/environment-abc:other").json()["message"] == (
        'imagestreamtags.image.openshift.io "environment-abc:other" not found'
    )


def test_a_server_that_goes_wrong_itself_says_so() -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"), ApiServer() as server:  # noqa: PT012
        server.faults.run(lambda: 1 / 0, verb="list", resource="configmaps")
        assert call(server, "GET", f"{CORE}/configmaps").status_code == 500
