"""Who may do what on the API server of the tests, and how one gets in, by the clients that Amun uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import openshift.dynamic
import pytest
import requests
from kubernetes.config.incluster_config import InClusterConfigLoader

from tests.cluster.apiserver import ApiServer
from tests.cluster.objects.kinds import ALL

NAMESPACE = "amun-inspection"
AMUN = f"system:serviceaccount:{NAMESPACE}:amun"
RULES = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": ["build.openshift.io"], "resources": ["buildconfigs/instantiate"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["keys"]},
]
DOCKER = {"source": {"dockerfile": "FROM x"}, "strategy": {"dockerStrategy": {}}}
OUTPUT = {"output": {"to": {"kind": "ImageStreamTag", "name": "env:latest"}}}
BUILD_CONFIG = {"metadata": {"name": "env", "labels": {"app": "amun"}}, "spec": {**DOCKER, **OUTPUT}}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.rights.add(AMUN, RULES, NAMESPACE)
        yield server


def client(server: ApiServer, directory: Path, user: str = "admin") -> kubernetes.client.ApiClient:
    return kubernetes.config.new_client_from_config(str(server.kubeconfig(directory / "config", user)))


def dynamic(server: ApiServer, directory: Path, user: str = "admin") -> openshift.dynamic.DynamicClient:
    return openshift.dynamic.DynamicClient(client(server, directory, user), cache_file=str(directory / "discovery"))


def status(call: Any, *arguments: Any, **more: Any) -> int:
    """With which status a call of the client library ends."""
    try:
        call(*arguments, **more)
    except kubernetes.client.ApiException as exc:
        return int(exc.status)
    return 200


def test_rules_are_of_verbs_resources_and_names(server: ApiServer, tmp_path: Path) -> None:
    core = kubernetes.client.CoreV1Api(client(server, tmp_path, AMUN))
    assert status(core.list_namespaced_config_map, NAMESPACE) == 200
    assert status(core.list_namespaced_config_map, NAMESPACE, watch=True) == 403
    assert status(core.delete_namespaced_config_map, "a", NAMESPACE) == 403
    assert status(core.read_namespaced_pod, "a", NAMESPACE) == 403
    assert status(core.read_namespaced_pod_log, "a", NAMESPACE) == 404
    assert status(core.read_namespaced_secret, "keys", NAMESPACE) == 404
    assert status(core.read_namespaced_secret, "other", NAMESPACE) == 403
    assert status(core.list_namespaced_config_map, "default") == 403
    assert status(core.list_node) == 403


def test_nobody_in_particular_may_see_the_version(server: ApiServer) -> None:
    assert requests.get(f"{server.url}/version", timeout=10).json()["minor"] == "31"
    refused = requests.get(f"{server.url}/api/v1/nodes", timeout=10)
    assert refused.status_code == 403
    assert 'User "system:anonymous" cannot list resource "nodes"' in refused.json()["message"]


def test_what_one_may_do_can_be_asked(server: ApiServer, tmp_path: Path) -> None:
    api = kubernetes.client.AuthorizationV1Api(client(server, tmp_path, AMUN))

    def may(**attributes: str) -> bool:
        spec = {"resourceAttributes": {"namespace": NAMESPACE, **attributes}}
        return bool(api.create_self_subject_access_review({"spec": spec}).status.allowed)

    assert may(verb="create", group="", resource="configmaps")
    assert may(verb="create", group="build.openshift.io", resource="buildconfigs", subresource="instantiate")
    assert not may(verb="create", group="build.openshift.io", resource="buildconfigs")
    assert not may(verb="delete", group="", resource="configmaps")


def test_from_within_the_cluster(tmp_path: Path) -> None:
    with ApiServer(tls=True) as server:
        server.rights.add(AMUN, RULES, NAMESPACE)
        environment = server.in_cluster(tmp_path, AMUN)
        loader = InClusterConfigLoader(str(tmp_path / "token"), str(tmp_path / "ca.crt"), environ=environment)
        configuration = kubernetes.client.Configuration()
        loader.load_and_set(configuration)
        core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration))
        assert core.list_namespaced_config_map(NAMESPACE).items == []
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{server.url}/version", timeout=10)


@pytest.mark.parametrize("kind", [kind.name for kind in ALL])
def test_dynamic_clients_find_and_use_every_kind(server: ApiServer, tmp_path: Path, kind: str) -> None:
    found = next(entry for entry in ALL if entry.name == kind)
    resource = dynamic(server, tmp_path).resources.get(api_version=found.api_version, kind=kind)
    spec = {"Job": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}}}
    spec |= {"Pod": {"containers": [{"name": "a", "image": "b"}]}, "BuildConfig": DOCKER, "Build": DOCKER}
    body = {"metadata": {"name": "x", "labels": {"app": "amun"}}, **({"spec": spec[kind]} if kind in spec else {})}
    where = {"namespace": NAMESPACE} if found.namespaced else {}
    made = resource.create(body=body, **where)
    assert made.metadata.uid
    assert [item.metadata.name for item in resource.get(label_selector="app=amun", **where).items] == ["x"]
    patch = {"metadata": {"labels": {"more": "1"}}}
    resource.patch(body=patch, name="x", content_type="application/merge-patch+json", **where)
    resource.patch(body=patch, name="x", content_type="application/strategic-merge-patch+json", **where)
    events = resource.watch(timeout=1, **where)
    assert next(event for event in events if event["object"].metadata.name == "x")["type"] == "ADDED"
    whole = resource.get(name="x", **where).to_dict()
    assert whole["metadata"]["labels"]["more"] == "1"
    assert resource.replace(body=whole, **where).metadata.uid == made.metadata.uid
    resource.delete(name="x", **where)
    assert server.store.find(kind, "x") is None


def test_a_build_is_started_of_a_build_config(server: ApiServer, tmp_path: Path) -> None:
    configs = dynamic(server, tmp_path).resources.get(api_version="build.openshift.io/v1", kind="BuildConfig")
    configs.create(body=BUILD_CONFIG, namespace=NAMESPACE)
    request = {"kind": "BuildRequest", "apiVersion": "build.openshift.io/v1", "metadata": {"name": "env"}}
    build = configs.instantiate.create(name="env", namespace=NAMESPACE, body={**request, "lastVersion": 0})
    assert (build.metadata.name, build.status.phase, build.status.config.name) == ("env-1", "New", "env")
    assert build.metadata.labels["openshift.io/build-config.name"] == "env"
    with pytest.raises(kubernetes.client.ApiException) as exc:
        configs.instantiate.create(name="env", namespace=NAMESPACE, body={**request, "lastVersion": 0})
    assert exc.value.status == 400  # not 409: as the real one
    assert b"the LastVersion(1) on build config amun-inspection/env does not match" in exc.value.body.encode()
    configs.instantiate.create(name="env", namespace=NAMESPACE, body=request)
    assert [build["metadata"]["name"] for build in server.store.list("Build")] == ["env-1", "env-2"]
    configs.delete(name="env", namespace=NAMESPACE)
    assert server.store.list("Build") == []


def test_the_digest_of_an_image_is_looked_up(server: ApiServer, tmp_path: Path) -> None:
    server.store.digests["debian:12"] = "sha256:1"
    imports = dynamic(server, tmp_path).resources.get(api_version="image.openshift.io/v1", kind="ImageStreamImport")
    images = [{"from": {"kind": "DockerImage", "name": name}} for name in ("debian:12", "nothing:1")]
    body = {"metadata": {"name": "look"}, "spec": {"import": False, "images": images}}
    found, missing = imports.create(body=body, namespace=NAMESPACE).status.images
    assert (found.status.status, found.image.metadata.name) == ("Success", "sha256:1")
    assert (missing.status.status, missing.status.reason) == ("Failure", "NotFound")


def test_a_cluster_without_openshift(tmp_path: Path) -> None:
    with ApiServer(without=("build.openshift.io", "image.openshift.io")) as server:
        resources = dynamic(server, tmp_path).resources
        assert resources.get(api_version="batch/v1", kind="Job").name == "jobs"
        with pytest.raises(openshift.dynamic.exceptions.ResourceNotFoundError):
            resources.get(api_version="build.openshift.io/v1", kind="Build")
        headers = {"Authorization": f"Bearer {server.admin.token}"}
        path = f"/apis/build.openshift.io/v1/namespaces/{NAMESPACE}/builds"
        assert requests.get(server.url + path, headers=headers, timeout=10).status_code == 404
