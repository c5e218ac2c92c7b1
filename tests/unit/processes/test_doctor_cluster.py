"""What `amun doctor` says of a cluster, on an API server in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.engines.podman.builds import environment as buildenvironment
from amun.processes import doctor
from tests.cluster.apiserver import ApiServer
from tests.support import deployment_manifests


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


def looked(
    server: ApiServer,
    user: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    index: str = "https://index.example/simple",
) -> tuple[int, dict[str, dict[str, Any]]]:
    """What it returns, and its checks by name, for a user with AMUN_AUTH=token, whose pip has an index."""
    monkeypatch.setattr(buildenvironment, "pip_config_list", lambda: f"global.index-url={index!r}\n")
    monkeypatch.setattr(buildenvironment, "find_proxies", lambda environment: {})
    monkeypatch.setenv("AMUN_KUBECONFIG", str(server.kubeconfig(place / "kubeconfig", user)))
    monkeypatch.setenv("AMUN_AUTH", "token")
    code = doctor.main(as_json=True)
    return code, {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}


def test_who_may_everything_can_work(
    server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, checks = looked(server, "admin", tmp_path, capsys, monkeypatch)
    assert (code, [name for name, check in checks.items() if not check["ok"]]) == (0, ["limits", "build logs"])
    assert "oc logs" in checks["build logs"]["why"]
    assert "4.10" in checks["build logs"]["why"]
    assert "AMUN_BUILD_PIDS_LIMIT" in checks["limits"]["why"]
    assert checks["cluster"]["chosen"] == server.url


def test_the_account_of_the_api_can_work_and_is_told_what_it_may_not(
    server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    role = deployment_manifests.of(deployment_manifests.base(), "Role")["amun-api"]
    server.rights.add("api", role["rules"], server.store.namespace)
    code, checks = looked(server, "api", tmp_path, capsys, monkeypatch)
    assert (code, checks["rights of the API"]["ok"]) == (0, True)
    assert "create jobs.batch" in checks["… the controller"]["why"]
    assert checks["… to read nodes"]["why"] == "This account may not list nodes."
    assert "create tokenreviews.authentication.k8s.io" in checks["… to review tokens"]["why"]


def test_who_may_not_look_up_base_images_is_told_that_their_triggers_run(
    server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = deployment_manifests.of(deployment_manifests.base(), "Role")["amun-controller"]["rules"]
    rules = [rule for rule in rules if rule["resources"] != ["imagestreamimports"]]
    server.rights.add("controller", rules, server.store.namespace)
    code, checks = looked(server, "controller", tmp_path, capsys, monkeypatch)
    found = checks["… to look up base images"]
    assert (code, found["ok"]) == (0, False)
    assert found["why"] == "This account may not create imagestreamimports.image.openshift.io."
    assert "ONBUILD" in found["remedy"]


def test_who_may_nothing_is_told_what_helps(
    server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.rights.add("nobody")
    code, checks = looked(server, "nobody", tmp_path, capsys, monkeypatch)
    assert (code, checks["rights of the API"]["ok"]) == (1, False)
    assert "openshift/base/inspections" in checks["rights of the API"]["remedy"]


def test_a_cluster_without_builds_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ApiServer(without=("build.openshift.io",)) as server:
        code, checks = looked(server, "admin", tmp_path, capsys, monkeypatch)
    assert (code, checks["builds"]["ok"]) == (1, False)


def test_a_cluster_out_of_reach_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMUN_ENGINE", "openshift")
    monkeypatch.setenv("AMUN_KUBECONFIG", str(tmp_path / "missing"))
    assert doctor.main() == 1
    said = capsys.readouterr().out
    assert "There is no way to a cluster" in said
    assert "The cluster cannot be used yet" in said


def test_a_password_that_builds_would_have_to_be_told_is_warned_of(
    server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = "https://ada:sesame@index.example/simple"
    code, checks = looked(server, "admin", tmp_path, capsys, monkeypatch, index)
    assert (code, checks["package index"]["ok"]) == (0, False)
    assert "index.example" in checks["package index"]["chosen"]
    assert "sesame" not in json.dumps(checks)
