"""The overlays as `oc apply -k` sends them: rendered by a real kustomize, where there is one."""

from __future__ import annotations

import json
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from amun.auth import configuration
from tests.support import deployment_manifests
from tests.support.deployment_manifests import OVERLAYS, TREE, Document, of, problems

COMMAND = deployment_manifests.renderer()
pytestmark = pytest.mark.skipif(COMMAND is None, reason="there is no kustomize, kubectl or oc on this machine")

OF_THE_CLUSTER = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
ADDED = ("api-keys", "archive-s3", "callers", "monitoring")
"""Components that no overlay has by itself."""


@cache
def overlay(name: str) -> list[Document]:
    assert COMMAND is not None
    return deployment_manifests.render(COMMAND, TREE / "overlays" / name)


@pytest.fixture
def everything(tmp_path: Path) -> list[Document]:
    """An overlay of one's own, as docs/cluster.rst shows it: with all components, and settings of its own."""
    assert COMMAND is not None
    way = os.path.relpath(TREE, tmp_path)
    kustomization: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "amun",
        "resources": [f"{way}/overlays/openshift"],
        "components": [f"{way}/components/{name}" for name in ADDED],
        "secretGenerator": [
            {
                "name": "amun-settings",
                "namespace": "amun",
                "behavior": "merge",
                "literals": ["AMUN_ARCHIVE=s3://inspections/amun", "AMUN_RUN_EGRESS=closed"],
            }
        ],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return deployment_manifests.render(COMMAND, tmp_path)


def agree(found: list[Document]) -> None:
    """Objects name nothing that is not among them, but Secrets, which are made by hand."""
    there = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in found}
    for each in found:
        here = each["metadata"].get("namespace")
        for kind, namespace, name in references(each):
            place = None if kind in OF_THE_CLUSTER else namespace or here
            assert (kind, place, name) in there, (each["kind"], each["metadata"]["name"])


def references(each: Document) -> list[tuple[str, str | None, str]]:
    kind, spec = each["kind"], each.get("spec", {})
    if kind == "Deployment":
        pod = spec["template"]["spec"]
        sources = [source for container in pod["containers"] for source in container["envFrom"]]
        named = [each["secretRef"]["name"] for each in sources]
        settings = [("Secret", None, name) for name in named if name.startswith("amun-settings")]
        assert len(settings) == len(pod["containers"])
        return [("ServiceAccount", None, pod["serviceAccountName"]), *settings]
    if kind in ("RoleBinding", "ClusterRoleBinding"):
        accounts = [(subject["kind"], subject.get("namespace"), subject["name"]) for subject in each["subjects"]]
        return [(each["roleRef"]["kind"], None, each["roleRef"]["name"]), *accounts]
    if kind == "Route":
        return [("Service", None, spec["to"]["name"])]
    if kind == "BuildConfig":
        return [("ImageStream", None, spec["output"]["to"]["name"].partition(":")[0])]
    return []


def images(found: list[Document]) -> set[str]:
    return {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in of(found, "Deployment").values()}


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_what_a_strict_server_takes(name: str) -> None:
    for each in overlay(name):
        assert problems(each) == [], each["metadata"]["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_objects_agree(name: str) -> None:
    agree(overlay(name))


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_image_is_where_the_build_of_the_overlay_puts_it(name: str) -> None:
    (build,) = of(overlay(name), "BuildConfig").values()
    namespace, tag = build["metadata"]["namespace"], build["spec"]["output"]["to"]["name"]
    assert images(overlay(name)) == {f"image-registry.openshift-image-registry.svc:5000/{namespace}/{tag}"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_settings_are_understood_and_say_who_may_come_in(name: str) -> None:
    settings = deployment_manifests.understood(deployment_manifests.settings(overlay(name)))
    assert configuration.mode(settings) == ("none" if name == "test" else "token")


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_are_replaced_when_settings_change(name: str) -> None:
    (settings,) = of(overlay(name), "Secret")
    assert settings.startswith("amun-settings-")


@pytest.mark.parametrize("name", OVERLAYS)
def test_whoever_takes_over_the_api_does_not_configure_the_service(name: str) -> None:
    """What pods are made from is nothing that the API's Role may change: it makes Secrets and reads them, no more."""
    found = overlay(name)
    rules = [rule for rule in of(found, "Role")["amun-api"]["rules"] if "secrets" in rule["resources"]]
    assert [rule["verbs"] for rule in rules] == [["create", "get"]]
    assert not of(found, "ConfigMap")
    for deployed in of(found, "Deployment").values():
        assert "configMap" not in json.dumps(deployed)


def test_whoever_may_come_in_by_a_token_is_asked_by_an_api_that_may_ask() -> None:
    for name in ("openshift", "separate"):
        (subject,) = of(overlay(name), "ClusterRoleBinding")["amun-reviews"]["subjects"]
        deployed = of(overlay(name), "Deployment")["amun-api"]["metadata"]["namespace"]
        assert (subject["name"], subject["namespace"]) == ("amun-api", deployed)


def test_all_that_the_overlay_for_openshift_makes_is_in_its_namespace() -> None:
    (namespace,) = of(overlay("openshift"), "Namespace")
    for each in overlay("openshift"):
        assert each["kind"] in OF_THE_CLUSTER or each["metadata"]["namespace"] == namespace


@pytest.mark.parametrize("name", ["openshift", "test"])
def test_another_namespace_is_named_in_two_places(name: str, tmp_path: Path) -> None:
    """What docs/cluster.rst says is for everybody to change: everything else follows."""
    assert COMMAND is not None
    shutil.copytree(TREE, tmp_path / "openshift")
    changed = tmp_path / "openshift/overlays" / name / "kustomization.yaml"
    (kustomization,) = deployment_manifests.documents(changed)
    (image,) = kustomization["images"]
    image["newName"] = image["newName"].replace(f"/{kustomization['namespace']}/", "/elsewhere/")
    kustomization["namespace"] = "elsewhere"
    changed.write_text(yaml.safe_dump(kustomization))
    found = deployment_manifests.render(COMMAND, changed.parent)
    agree(found)
    for each in found:
        places = [each["metadata"].get("namespace"), *(one.get("namespace") for one in each.get("subjects", ()))]
        assert set(places) <= {None, "elsewhere"}
        assert None not in places[1:]
        assert each["kind"] in OF_THE_CLUSTER or places[0] == "elsewhere"
    assert set(of(found, "Namespace")) <= {"elsewhere"}
    assert images(found) == {"image-registry.openshift-image-registry.svc:5000/elsewhere/amun:latest"}


def test_the_route_is_encrypted_and_shows_who_asks() -> None:
    (route,) = of(overlay("openshift"), "Route").values()
    assert route["spec"]["tls"]["termination"] == "edge"
    assert route["metadata"]["annotations"]["haproxy.router.openshift.io/set-forwarded-headers"] == "replace"
    assert deployment_manifests.settings(overlay("openshift"))["FORWARDED_ALLOW_IPS"] == "*"
    service = of(overlay("openshift"), "Service")[route["spec"]["to"]["name"]]
    assert route["spec"]["port"]["targetPort"] in {port["name"] for port in service["spec"]["ports"]}


def test_an_api_that_asks_nobody_can_be_reached_by_nobody() -> None:
    found = overlay("test")
    assert "ingress" not in of(found, "NetworkPolicy")["amun-api"]["spec"]
    assert of(found, "Route") == {}


def test_the_overlay_for_tests_needs_no_administrator_and_holds_up_no_node() -> None:
    found = overlay("test")
    assert OF_THE_CLUSTER.isdisjoint(each["kind"] for each in found)
    assert of(found, "PodDisruptionBudget") == {}
    assert {each["spec"]["replicas"] for each in of(found, "Deployment").values()} == {1}


def test_inspections_of_their_own_namespace_have_the_rights_there() -> None:
    found = overlay("separate")
    inspections = deployment_manifests.settings(found)["AMUN_NAMESPACE"]
    for kind in ("Role", "RoleBinding"):
        assert {each["metadata"]["namespace"] for each in of(found, kind).values()} == {inspections}
    closed = of(found, "NetworkPolicy")["amun-runs-closed"]
    assert closed["metadata"]["namespace"] == inspections
    (deployed,) = {each["metadata"]["namespace"] for each in of(found, "Deployment").values()}
    assert deployed != inspections


def test_an_overlay_of_ones_own_takes_in_every_component(everything: list[Document]) -> None:
    agree(everything)
    for each in everything:
        assert problems(each) == [], each["metadata"]["name"]
    settings = deployment_manifests.understood(deployment_manifests.settings(everything))
    assert (settings.archive, settings.run_egress, configuration.mode(settings)) == (
        "s3://inspections/amun",
        "closed",
        "keys",
    )


def test_keys_and_credentials_come_from_secrets(everything: list[Document]) -> None:
    found = of(everything, "Deployment")
    api, controller = (found[name]["spec"]["template"]["spec"] for name in ("amun-api", "amun-controller"))
    for pod in (api, controller):
        settings_of, *others = [source["secretRef"]["name"] for source in pod["containers"][0]["envFrom"]]
        assert settings_of.startswith("amun-settings-")
        assert others == ["amun-archive"]
    (volume,) = (volume for volume in api["volumes"] if "secret" in volume)
    (mount,) = (mount for mount in api["containers"][0]["volumeMounts"] if mount["name"] == volume["name"])
    (item,) = volume["secret"]["items"]
    settings = deployment_manifests.understood(deployment_manifests.settings(everything))
    assert str(settings.api_keys) == f"{mount['mountPath']}/{item['path']}"
    assert not any("secret" in volume for volume in controller["volumes"])
