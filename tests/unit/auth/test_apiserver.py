"""Tokens, reviewed by an API server by HTTP: the service with AMUN_AUTH=token, as its settings make it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.auth import configuration
from amun.auth.configuration import Undecided
from amun.settings import Settings
from tests.cluster.apiserver import ApiServer
from tests.support.service_with_keys import Guarded

SERVICE = "system:serviceaccount:amun:amun-api"
REVIEWS = [
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
]
"""All that the service itself needs for it, in the whole cluster."""


OF_THE_CLUSTER = {"auth", "kubeconfig", "cluster_timeout"}


def jobs(*verbs: str) -> dict[str, Any]:
    return {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": list(verbs)}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        namespace = server.store.namespace
        server.rights.add(SERVICE, REVIEWS)
        server.rights.add("alice", [jobs("create")], namespace)
        server.rights.add("bob", [jobs("create", "get", "list", "watch")], namespace)
        server.rights.add("root", [jobs("create", "delete")], namespace)
        server.rights.add("carol", [jobs("create")], "elsewhere")
        server.rights.add("dave", [jobs("get", "list")], namespace, groups=["readers"])
        yield server


@pytest.fixture
def guarded(tmp_path: Path, server: ApiServer) -> Guarded:
    return of(server, tmp_path)


def of(server: ApiServer, tmp_path: Path, **settings: Any) -> Guarded:
    kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", SERVICE)
    given = {"auth": "token", "kubeconfig": str(kubeconfig), "cluster_timeout": 2, **settings}
    made = Guarded(tmp_path, **given)
    made.keys = {user.name: user.token for user in server.rights.users.values()}
    return made


def test_the_cluster_says_who_comes_in_and_who_sees_all(guarded: Guarded) -> None:
    statuses = {who: guarded.ask(who, "GET", "/api/v1/inspect").status_code for who in guarded.keys}
    assert statuses["alice"] == statuses["bob"] == statuses["root"] == 200
    assert statuses["carol"] == statuses["dave"] == statuses[SERVICE] == 403
    assert guarded.ask("sha256~nobody", "GET", "/api/v1/inspect").status_code == 401
    assert guarded.ask(None, "GET", "/api/v1/inspect").status_code == 401
    made = guarded.submit("alice")
    detail = [guarded.ask(who, "GET", f"/api/v1/inspect/{made}") for who in ("alice", "bob", "root")]
    assert [answer.status_code for answer in detail] == [200, 404, 200]
    assert detail[2].json()["owner"] == "alice"


def test_a_caller_costs_three_requests_and_then_none(guarded: Guarded, server: ApiServer) -> None:
    for _ in range(5):
        guarded.ask("alice", "GET", "/api/v1/version")
    assert server.requests.count(verb="create", resource="tokenreviews") == 1
    assert server.requests.count(verb="create", resource="subjectaccessreviews") == 2


def test_a_right_may_be_one_that_only_amun_knows(tmp_path: Path, server: ApiServer) -> None:
    rule = {"apiGroups": ["amun"], "resources": ["inspections"], "verbs": ["create"]}
    server.rights.add("carol", [rule], server.store.namespace)
    guarded = of(server, tmp_path, auth_access="create inspections.amun", auth_admin_access="", auth_admins="carol")
    assert guarded.ask("carol", "GET", "/api/v1/version").status_code == 200
    refused = guarded.ask("root", "GET", "/api/v1/version")
    assert refused.status_code == 403
    assert "`create inspections.amun` in the namespace amun-inspection" in refused.json()["error"]
    made = guarded.submit("carol")
    assert guarded.ask("carol", "GET", "/api/v1/inspect").json()["inspections"] == [made]


def test_what_is_taken_back_goes_on_for_no_longer_than_it_is_remembered(tmp_path: Path, server: ApiServer) -> None:
    guarded = of(server, tmp_path, auth_cache=0)
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 200
    server.rights.users["alice"].rules.clear()
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 403
    token = server.rights.users.pop("alice").token
    assert guarded.ask(token, "GET", "/api/v1/version").status_code == 401


def test_a_service_that_may_not_review_lets_nobody_in(guarded: Guarded, server: ApiServer) -> None:
    server.rights.users[SERVICE].rules.clear()
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 503
    server.rights.add(SERVICE, REVIEWS[:1])
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 503
    server.rights.add(SERVICE, REVIEWS[1:])
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 200


def test_readiness_says_which_right_to_review_is_missing(tmp_path: Path, server: ApiServer) -> None:
    guarded = of(server, tmp_path)
    assert guarded.ask(None, "GET", "/readiness").status_code == 200
    server.rights.users[SERVICE].rules.clear()
    server.rights.add(SERVICE, REVIEWS[:1])
    waiting = Guarded(tmp_path / "other", **guarded.settings.model_dump(include=OF_THE_CLUSTER))
    refused = waiting.ask(None, "GET", "/readiness")
    assert refused.status_code == 503
    assert "may not create subjectaccessreviews.authorization.k8s.io" in refused.json()["error"]
    assert "tokenreviews" not in refused.json()["error"]


def test_with_the_api_server_gone_only_those_who_are_remembered_come_in(guarded: Guarded, server: ApiServer) -> None:
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 200
    server.stop()
    assert guarded.ask("alice", "GET", "/api/v1/version").status_code == 200
    assert guarded.ask("bob", "GET", "/api/v1/version").status_code == 503
    assert guarded.ask(None, "GET", "/api/v1/version").status_code == 401
    assert guarded.ask(None, "GET", "/liveness").status_code == 200
    server.start()
    assert guarded.ask("bob", "GET", "/api/v1/version").status_code == 200


def test_without_a_way_to_a_cluster_it_is_said_that_tokens_cannot_be_reviewed(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, auth="token", kubeconfig=str(tmp_path / "none"))
    with pytest.raises(Undecided, match="Tokens cannot be reviewed: There is no way to a cluster"):
        configuration.reviewer(settings)
