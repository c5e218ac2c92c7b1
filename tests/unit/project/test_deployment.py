"""The manifests that deploy Amun, file by file: valid, complete, in agreement with each other and with the code."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

from amun.auth.token_review import NEEDED
from amun.engines.kubernetes import names, rights
from amun.engines.kubernetes.rights import Right
from amun.engines.podman.host import routes
from amun.settings import Settings
from amun.telemetry import metrics
from tests.support import deployment_manifests
from tests.support.deployment_manifests import (
    ROOT,
    TREE,
    Document,
    base,
    component,
    documents,
    granted_by,
    objects,
    of,
    problems,
)

TOLD = r"AMUN_[A-Z_]+[A-Z]"
SETTINGS = {f"AMUN_{name.upper()}" for name in Settings.model_fields}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
EXAMPLES = {"secret.example.yaml"}


def title(value: Any) -> str | None:
    if isinstance(value, Path):
        return str(value.relative_to(TREE))
    return f"{value['kind']}-{value['metadata']['name']}" if isinstance(value, dict) and "metadata" in value else None


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", deployment_manifests.kustomizations(), ids=title)
def test_a_kustomization_is_one_and_names_what_is_there(path: Path) -> None:
    (kustomization,) = documents(path)
    assert problems(kustomization) == []
    for name in named(kustomization):
        place = path.parent / name
        assert (place / "kustomization.yaml").is_file() if place.is_dir() else place.is_file(), name


def named(kustomization: Document) -> Iterator[str]:
    """The files and directories that a kustomization is made of."""
    yield from kustomization.get("resources", ())
    yield from kustomization.get("components", ())
    yield from (patch["path"] for patch in kustomization.get("patches", ()))
    for generator in kustomization.get("secretGenerator", ()):
        yield from generator.get("envs", ())


def test_every_file_belongs_to_a_kustomization() -> None:
    belonging = {
        (path.parent / name).resolve()
        for path in deployment_manifests.kustomizations()
        for name in named(*documents(path))
    }
    loose = {path for path in deployment_manifests.files() if path.name not in {"kustomization.yaml"} | EXAMPLES}
    assert loose - belonging == set()


def test_every_overlay_and_component_is_documented() -> None:
    page = (ROOT / "docs/cluster.rst").read_text()
    for place in [*(TREE / "overlays").iterdir(), *(TREE / "components").iterdir()]:
        assert f"``{place.parent.name}/{place.name}``" in page


@pytest.mark.parametrize("document", objects(), ids=title)
def test_an_object_is_what_a_strict_server_takes(document: Document) -> None:
    assert problems(document) == []


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ({"kind": "Deployment", "apiVersion": "apps/v1", "spec": {"replica": 1}}, "replica"),
        ({"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "rules": [{"verb": []}]}, "rules[0].verb"),
        ({"kind": "PodDisruptionBudget", "apiVersion": "policy/v1", "spec": {"selector": "x"}}, "spec.selector"),
        ({"kind": "Route", "apiVersion": "route.openshift.io/v1", "spec": {"tls": {"mode": ""}}}, "spec.tls.mode"),
        ({"kind": "Route", "apiVersion": "route.openshift.io/v1", "spec": {"to": {"weight": "1"}}}, "spec.to.weight"),
        ({"kind": "Ingress", "apiVersion": "extensions/v1beta1"}, "no schema"),
    ],
)
def test_what_no_server_takes_is_noticed(document: Document, wrong: str) -> None:
    assert wrong in " ".join(problems(document))


# -- settings and secrets ---------------------------------------------------------------------------------------------


def test_only_settings_that_exist_are_named() -> None:
    for path in deployment_manifests.files():
        assert set(re.findall(TOLD, path.read_text())) <= SETTINGS, path


def test_the_settings_of_the_base_are_understood() -> None:
    lines = (TREE / "base/service/settings.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = deployment_manifests.understood(given)
    assert (settings.engine, settings.auth) == ("openshift", "token")


NOT_TOLD = {"automountServiceAccountToken", "topologyKey", "AMUN_API_KEYS", "key", "secretName"}
"""What looks like a secret, and is a switch, a path or a name."""


def test_no_secret_is_told() -> None:
    looks = re.compile(r"([\w-]*(?:password|secret|token|key)\w*)[:=] *(\S+)", re.IGNORECASE)
    for path in deployment_manifests.files():
        told = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
        for name, value in looks.findall(told):
            assert name in NOT_TOLD or value == '""', (path, name)


# -- rights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "needed"), [("amun-api", rights.API), ("amun-controller", rights.CONTROLLER)])
def test_roles_grant_what_the_engine_needs_and_nothing_else(name: str, needed: list[Right]) -> None:
    assert granted_by(of(base(), "Role")[name]) == {*needed, *rights.BASES}


def test_cluster_roles_grant_reading_nodes_and_reviews_and_nothing_else() -> None:
    (nodes,) = of(component("nodes"), "ClusterRole").values()
    (reviews,) = of(component("reviews"), "ClusterRole").values()
    assert granted_by(nodes) == set(rights.NODES)
    assert granted_by(reviews) == set(NEEDED)


def test_there_are_no_other_roles_and_no_wildcards() -> None:
    roles = [document for document in objects() if document["kind"] in ("Role", "ClusterRole")]
    assert sorted(role["metadata"]["name"] for role in roles) == [
        "amun-admin", "amun-api", "amun-controller", "amun-nodes", "amun-reviews", "amun-user",
    ]  # fmt: skip
    for role in roles:
        assert all("*" not in right.verb + right.group + right.resource for right in granted_by(role))


def test_the_rights_of_callers_are_those_that_are_asked_for() -> None:
    roles = of(component("callers"), "Role")
    (kustomization,) = documents(TREE / "components/callers/kustomization.yaml")
    told = dict(line.split("=") for line in kustomization["secretGenerator"][0]["literals"])
    may_use, sees_all = ({str(right) for right in granted_by(roles[name])} for name in ("amun-user", "amun-admin"))
    assert may_use == {told["AMUN_AUTH_ACCESS"]}
    assert sees_all == {told["AMUN_AUTH_ACCESS"], told["AMUN_AUTH_ADMIN_ACCESS"]}


def test_bindings_bind_accounts_and_roles_that_exist() -> None:
    accounts = of(base(), "ServiceAccount")
    for found in (base(), component("nodes"), component("reviews")):
        for kind in ("RoleBinding", "ClusterRoleBinding"):
            for binding in of(found, kind).values():
                assert binding["roleRef"]["name"] in of(found, binding["roleRef"]["kind"])
                assert {subject["name"] for subject in binding["subjects"]} <= set(accounts)


# -- pods -------------------------------------------------------------------------------------------------------------


def pods() -> list[Any]:
    return [pytest.param(each, id=name) for name, each in of(base(), "Deployment").items()]


def pod_of(each: Document) -> Any:
    return each["spec"]["template"]["spec"]


def container_of(each: Document) -> Any:
    (container,) = pod_of(each)["containers"]
    return container


@pytest.mark.parametrize("each", pods())
def test_pods_keep_to_the_restricted_standard(each: Document) -> None:
    pod, container = pod_of(each), container_of(each)
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)


@pytest.mark.parametrize("each", pods())
def test_what_the_image_writes_to_is_there(each: Document) -> None:
    mounted = {mount["mountPath"]: mount["name"] for mount in container_of(each)["volumeMounts"]}
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod_of(each)["volumes"]}
    assert set(mounted.values()) == set(volumes)
    place = re.search(r"PROMETHEUS_MULTIPROC_DIR=(\S+)", DOCKERFILE)
    assert place is not None
    assert volumes[mounted[str(Path(place[1]).parent)]]["medium"] == "Memory"
    for home in re.findall(r"(?:HOME|AMUN_STATE_DIR)=(\S+)", DOCKERFILE):
        assert "medium" not in volumes[mounted["/" + home.split("/")[1]]]


@pytest.mark.parametrize("each", pods())
def test_pods_say_what_they_need_and_may_have(each: Document) -> None:
    resources = container_of(each)["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}


@pytest.mark.parametrize("each", pods())
def test_pods_are_looked_after_at_ports_that_they_have(each: Document) -> None:
    container = container_of(each)
    ports = {port["name"] for port in container["ports"]}
    asked = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {get["port"] for get in asked.values()} == ports
    assert {probe: get["path"] for probe, get in asked.items()} == {
        "startupProbe": "/liveness",
        "livenessProbe": "/liveness",
        "readinessProbe": "/readiness",
    }


def test_ports_are_those_of_settings_and_image() -> None:
    env = (TREE / "base/service/settings.env").read_text()
    found = of(base(), "Deployment")
    port = {name: container_of(each)["ports"][0]["containerPort"] for name, each in found.items()}
    assert f"AMUN_PORT={port['amun-api']} " in DOCKERFILE
    assert f"AMUN_CONTROLLER_PORT={port['amun-controller']}\n" in env
    assert f"EXPOSE {port['amun-api']} {port['amun-controller']}\n" in DOCKERFILE


def test_both_run_one_image_by_the_accounts_that_are_theirs() -> None:
    found = of(base(), "Deployment")
    assert {container_of(each)["image"] for each in found.values()} == {"amun:latest"}
    assert {name: pod_of(each)["serviceAccountName"] for name, each in found.items()} == {n: n for n in found}
    assert set(found) == set(of(base(), "ServiceAccount"))


@pytest.mark.parametrize("each", pods())
def test_no_service_sets_a_setting(each: Document) -> None:
    """Kubernetes would give each pod variables named after the services of its namespace: ``AMUN_PORT``."""
    assert pod_of(each)["enableServiceLinks"] is False
    for name in of(base(), "Service"):
        prefix = name.upper().replace("-", "_")
        assert {f"{prefix}_PORT", f"{prefix}_SERVICE_HOST"}.isdisjoint(SETTINGS)


def test_the_liveness_of_the_controller_is_left_to_its_loop() -> None:
    """What the loop may take is a setting; the probe adds a minute, not its own idea of it."""
    probe = container_of(of(base(), "Deployment")["amun-controller"])["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] <= 60 < Settings().controller_stall


# -- selectors --------------------------------------------------------------------------------------------------------


def labels() -> dict[str, dict[str, str]]:
    """Labels of the pods of each Deployment."""
    return {name: each["spec"]["template"]["metadata"]["labels"] for name, each in of(base(), "Deployment").items()}


def selected(selector: dict[str, str]) -> set[str]:
    return {name for name, given in labels().items() if selector.items() <= given.items()}


def test_deployments_select_their_own_pods() -> None:
    for name, each in of(base(), "Deployment").items():
        assert selected(each["spec"]["selector"]["matchLabels"]) == {name}
        for constraint in pod_of(each).get("topologySpreadConstraints", ()):
            assert selected(constraint["labelSelector"]["matchLabels"]) == {name}


def test_services_lead_to_ports_of_one_deployment() -> None:
    found = of(base(), "Deployment")
    for name, service in of(base(), "Service").items():
        (target,) = selected(service["spec"]["selector"])
        assert name.startswith(target)
        ports = {port["name"] for port in container_of(found[target])["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} == ports


def test_the_budget_is_the_apis_and_lets_nodes_be_drained() -> None:
    (budget,) = of(base(), "PodDisruptionBudget").values()
    assert selected(budget["spec"]["selector"]["matchLabels"]) == {"amun-api"}
    assert budget["spec"]["minAvailable"] < of(base(), "Deployment")["amun-api"]["spec"]["replicas"]


def test_of_the_service_only_the_api_can_be_reached_from_everywhere() -> None:
    policies = of(base(), "NetworkPolicy")
    for name in labels():
        policy = policies[name]["spec"]
        assert selected(policy["podSelector"]["matchLabels"]) == {name}
        assert policy["policyTypes"] == ["Ingress"]
        (rule,) = policy["ingress"]
        assert {port["port"] for port in rule["ports"]} == {
            port["name"] for port in container_of(of(base(), "Deployment")[name])["ports"]
        }
        assert ("from" in rule) == (name != "amun-api")


def test_runs_and_builds_can_be_reached_by_nobody() -> None:
    policies = of(base(), "NetworkPolicy")
    runs, builds = policies["amun-runs"]["spec"], policies["amun-builds"]["spec"]
    assert runs == {"podSelector": {"matchLabels": {names.APP: "amun"}}, "policyTypes": ["Ingress"]}
    (expression,) = builds["podSelector"]["matchExpressions"]
    assert expression == {"key": names.BUILD, "operator": "Exists"}
    assert (builds["policyTypes"], "ingress" in builds) == (["Ingress"], False)


def test_runs_whose_egress_is_closed_reach_nothing() -> None:
    policy = of(base(), "NetworkPolicy")["amun-runs-closed"]["spec"]
    assert policy == {
        "podSelector": {"matchLabels": {names.APP: "amun", names.EGRESS: "closed"}},
        "policyTypes": ["Egress"],
    }


@pytest.mark.parametrize("name", ["amun-runs-open", "amun-builds-open"])
def test_what_the_platform_keeps_for_its_machines_is_out_of_reach(name: str) -> None:
    policy = of(base(), "NetworkPolicy")[name]["spec"]
    (rule,) = policy["egress"]
    excepted = [network for peer in rule["to"] if "ipBlock" in peer for network in peer["ipBlock"]["except"]]
    assert excepted == [f"{address}/{bits}" for address, bits in routes.PLATFORM]
    blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
    assert [block["cidr"] for block in blocks] == ["0.0.0.0/0", "::/0"]
    for block in blocks:
        whole = ipaddress.ip_network(block["cidr"])
        assert all(ipaddress.ip_network(network).version == whole.version for network in block["except"])
    assert policy["policyTypes"] == ["Egress"]


def test_it_opens_nothing_to_runs_whose_egress_is_closed() -> None:
    selector = of(base(), "NetworkPolicy")["amun-runs-open"]["spec"]["podSelector"]
    assert {"key": names.EGRESS, "operator": "NotIn", "values": ["closed"]} in selector["matchExpressions"]
    assert {"key": names.APP, "operator": "In", "values": ["amun"]} in selector["matchExpressions"]


def test_nothing_of_the_service_passes_for_an_inspection() -> None:
    """The engine takes what is labelled ``app: amun`` for its own."""
    for document in objects():
        assert names.APP not in (document["metadata"].get("labels") or {})
    assert all(names.APP not in given for given in labels().values())


# -- monitoring -------------------------------------------------------------------------------------------------------


def test_both_services_are_scraped() -> None:
    (monitor,) = of(component("monitoring"), "ServiceMonitor").values()
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [each for each in of(base(), "Service").values() if wanted <= each["metadata"]["labels"].items()]
    ports = {port["name"] for each in services for port in each["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} == ports
    assert len(services) == len(of(base(), "Deployment"))


def test_alerts_go_by_metrics_that_there_are() -> None:
    counted = {family.name for family in prometheus_client.REGISTRY.collect()} | {
        f"{family.name}_total" for family in prometheus_client.REGISTRY.collect()
    }
    asked = {"amun_queue", "amun_controller_silent_seconds"}  # made at each scrape, see test_vitals.py
    assert metrics.ITEMS is not None
    rules = of(component("monitoring"), "PrometheusRule")["amun"]["spec"]["groups"][0]["rules"]
    for rule in rules:
        named = set(re.findall(r"\bamun_\w+", rule["expr"]))
        assert named
        assert named <= counted | asked


def test_the_documentation_says_what_to_do_about_each_alert() -> None:
    page = (ROOT / "docs/cluster.rst").read_text()
    for rule in of(component("monitoring"), "PrometheusRule")["amun"]["spec"]["groups"][0]["rules"]:
        assert f"``{rule['alert']}`` (alert)\n" in page


# -- the image of the service -----------------------------------------------------------------------------------------


def test_the_image_is_built_by_this_dockerfile_from_a_base_that_can_be_chosen() -> None:
    (build,) = of(component("image"), "BuildConfig").values()
    strategy = build["spec"]["strategy"]["dockerStrategy"]
    assert (ROOT / strategy["dockerfilePath"]).is_file()
    arguments = {argument["name"]: argument["value"] for argument in strategy["buildArgs"]}
    assert f"ARG BASE={arguments['BASE']}\n" in DOCKERFILE
    stream, _, tag = build["spec"]["output"]["to"]["name"].partition(":")
    assert stream in of(component("image"), "ImageStream")
    assert {container_of(each)["image"] for each in of(base(), "Deployment").values()} == {f"{stream}:{tag}"}


def test_the_image_holds_all_that_the_service_loads_and_runs_as_nobody_in_particular() -> None:
    copied = set(re.findall(r"^COPY (?:--from=\S+ )?(\S+)", DOCKERFILE, re.MULTILINE))
    assert {"app.py", "openapi", "templates", "examples", "amun", "Pipfile.lock"} <= copied
    sent = (ROOT / ".dockerignore").read_text().split()
    assert {f"!{name}" for name in copied if not name.startswith("/")} <= set(sent)
    *_, last = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    user, _, group = last.partition(":")
    assert (user.isdecimal() and int(user) > 0, group) == (True, "0")


def test_the_tree_is_yaml_that_needs_no_guessing() -> None:
    """No duplicate keys, which parsers take for the last or the first of them."""
    for path in deployment_manifests.files():
        if path.suffix == ".yaml":
            for node in yaml.compose_all(path.read_text()):
                assert list(duplicates(node)) == [], path


def duplicates(node: yaml.Node) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        yield from {key for key in keys if keys.count(key) > 1}
    children = node.value if isinstance(node.value, list) else []
    for child in children:
        for each in child if isinstance(child, tuple) else (child,):
            yield from duplicates(each)
