"""Tokens of a cluster: what it says of them is what goes, for a short time; what it does not say lets nobody in."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from amun.auth.callers import Caller
from amun.auth.permission import Access
from amun.auth.review_cache import MAX, Remembering
from amun.auth.token_review import ClusterReviewer
from amun.engines.kubernetes import kinds
from amun.engines.kubernetes.api_client import Refused
from amun.errors import EngineUnavailable, Forbidden, Unauthenticated
from amun.web import authentication
from tests.support.service_with_keys import Guarded

RECORDED = Path(__file__).parents[2] / "cluster" / "recorded" / "exchanges.json"
CREATE = Access.parse("create jobs.batch")
DELETE = Access.parse("delete jobs.batch")

USERS = {
    "t-alice": {"username": "alice", "uid": "1", "groups": ["system:authenticated"]},
    "t-bob": {
        "username": "system:serviceaccount:other:bob",
        "uid": "2",
        "groups": ["scheduling"],
        "extra": {"a": ["b"]},
    },
    "t-root": {"username": "root", "uid": "3", "groups": ["system:authenticated", "sre"]},
    "t-nobody": {"username": "carol", "uid": "4"},
}
RIGHTS = {
    "alice": ["create"],
    "system:serviceaccount:other:bob": ["create"],
    "root": ["create", "delete"],
    "carol": ["delete"],
}


class FakeCluster:
    """Answers reviews as the API server does; can be slow, or fail."""

    namespace = "amun-inspection"

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.failure: Exception | None = None
        self.before: Callable[[], None] = lambda: None

    def create(self, kind: Any, document: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append((kind.kind, document))
        self.before()
        if self.failure is not None:
            raise self.failure
        spec = document["spec"]
        if kind is kinds.TOKEN_REVIEWS:
            user = USERS.get(spec["token"])
            status = {"authenticated": True, "user": user} if user else {"user": {}, "error": "invalid bearer token"}
        else:
            allowed = spec["resourceAttributes"]["verb"] in RIGHTS[spec["user"]]
            status = {"allowed": allowed} if allowed else {"allowed": False}
        return {"kind": kind.kind, "spec": spec, "status": status}

    @property
    def reviews(self) -> int:
        return sum(kind == "TokenReview" for kind, _ in self.asked)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def reviewer(cluster: FakeCluster, **options: Any) -> ClusterReviewer:
    return ClusterReviewer(cluster, CREATE, **{"admin": DELETE, **options})


# -- what the cluster says --------------------------------------------------------------------------------------------


def test_the_owner_of_a_token_is_named_as_the_cluster_names_them(cluster: FakeCluster) -> None:
    asks = reviewer(cluster)
    assert asks.review("t-alice") == Caller("alice")
    assert asks.review("t-bob") == Caller("system:serviceaccount:other:bob")
    assert asks.review("t-root") == Caller("root", admin=True)


def test_who_lacks_the_right_is_told_which_one(cluster: FakeCluster) -> None:
    with pytest.raises(Forbidden, match=r"carol .* `create jobs.batch` in the namespace amun-inspection"):
        reviewer(cluster).review("t-nobody")


def test_everything_that_is_known_of_the_user_is_passed_on_to_the_question_what_they_may(cluster: FakeCluster) -> None:
    reviewer(cluster).review("t-bob")
    kind, document = cluster.asked[1]
    assert kind == "SubjectAccessReview"
    assert document == {
        "spec": {
            "user": "system:serviceaccount:other:bob",
            "uid": "2",
            "groups": ["scheduling"],
            "extra": {"a": ["b"]},
            "resourceAttributes": {
                "namespace": "amun-inspection",
                "verb": "create",
                "resource": "jobs",
                "group": "batch",
            },
        }
    }


def test_who_sees_all_may_be_named_too_by_name_or_group(cluster: FakeCluster) -> None:
    named = reviewer(cluster, admin=None, admins=["alice", "group:scheduling"])
    assert named.review("t-alice").admin
    assert named.review("t-bob").admin
    assert not named.review("t-root").admin  # without the right that would make them one
    assert not reviewer(cluster, admins=["group:alice", "scheduling"]).review("t-alice").admin
    assert not reviewer(cluster, admins=["group:alice", "scheduling"]).review("t-bob").admin


RECORDED_STATUS = {
    exchange["what"]: exchange["body"]["status"]
    for exchange in json.loads(RECORDED.read_text())
    if "review" in exchange["what"]
}


def test_what_a_real_server_answered_is_understood() -> None:
    status = {
        "TokenReview": RECORDED_STATUS["token review, valid"],
        "SubjectAccessReview": RECORDED_STATUS["subject access review"],
    }
    cluster = FakeCluster()
    cluster.create = lambda kind, document: {"status": status[kind.kind]}  # type: ignore[method-assign]
    with pytest.raises(Forbidden, match="system:serviceaccount:amun-inspection:viewer may not"):
        reviewer(cluster).review("x")
    status["TokenReview"] = RECORDED_STATUS["token review, not valid"]
    with pytest.raises(Unauthenticated):
        reviewer(cluster).review("x")


@pytest.mark.parametrize(
    "status",
    [
        {},
        None,
        [],
        "authenticated",
        {"authenticated": "true", "user": {"username": "alice"}},
        {"authenticated": 1, "user": {"username": "alice"}},
        {"authenticated": True},
        {"authenticated": True, "user": {}},
        {"authenticated": True, "user": {"username": ""}},
        {"authenticated": True, "user": "alice"},
        {"authenticated": False, "user": {"username": "alice"}},
    ],
)
def test_only_a_plain_yes_is_a_yes(status: Any) -> None:
    cluster = FakeCluster()
    cluster.create = lambda kind, document: {"status": status}  # type: ignore[method-assign]
    with pytest.raises(Unauthenticated):
        reviewer(cluster).review("x")


@pytest.mark.parametrize(
    "status", [{}, {"allowed": "yes"}, {"allowed": 1}, {"allowed": False}, {"denied": False}, None]
)
def test_only_a_plain_right_is_a_right(status: Any) -> None:
    cluster, whole = FakeCluster(), FakeCluster()

    def create(kind: Any, document: Mapping[str, Any]) -> dict[str, Any]:
        return whole.create(kind, document) if kind is kinds.TOKEN_REVIEWS else {"status": status}

    cluster.create = create  # type: ignore[method-assign]
    with pytest.raises(Forbidden):
        reviewer(cluster).review("t-root")


@pytest.mark.parametrize(
    "failure",
    [EngineUnavailable("no route"), Refused("forbidden", 403), RuntimeError("token t-alice"), KeyError()],
)
def test_while_the_cluster_cannot_be_asked_nobody_comes_in_and_nothing_is_told_of_the_token(
    tmp_path: Path, cluster: FakeCluster, failure: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    guarded = Guarded(tmp_path, Remembering(reviewer(cluster), 60), log_level="DEBUG")
    cluster.failure = failure
    refused = guarded.ask("t-alice", "GET", "/api/v1/version")
    assert refused.status_code == 503
    assert refused.json() == {
        "error": "The cluster cannot be asked now who the caller is, and what they may do.",
        "parameters": {},
    }
    logged = capsys.readouterr().err
    assert "review failed" in logged
    assert "t-alice" not in logged
    cluster.failure = None
    assert guarded.ask("t-alice", "GET", "/api/v1/version").status_code == 200


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_defect_on_the_way_does_not_log_the_token(
    tmp_path: Path, cluster: FakeCluster, capsys: pytest.CaptureFixture[str], style: str
) -> None:
    asks = reviewer(cluster)
    guarded = Guarded(tmp_path, asks, log_level="DEBUG", log_format=style)
    with mock.patch.object(asks, "review", side_effect=RuntimeError("a defect")):
        assert guarded.ask("t-alice", "GET", "/api/v1/version").status_code == 500
    logged = capsys.readouterr().err
    assert "a defect" in logged
    assert "t-alice" not in logged


# -- what is remembered -----------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_review_is_remembered_for_its_time_and_not_longer(cluster: FakeCluster) -> None:
    clock = Clock()
    remembering = Remembering(reviewer(cluster), 60, clock)
    assert remembering.recall("t-alice") is None
    assert remembering.review("t-alice") == remembering.recall("t-alice") == Caller("alice")
    clock.now += 59
    assert remembering.review("t-alice").name == "alice"
    assert cluster.reviews == 1
    clock.now += 2
    assert remembering.recall("t-alice") is None
    remembering.review("t-alice")
    assert cluster.reviews == 2


def test_refusals_are_remembered_as_what_they_were(cluster: FakeCluster) -> None:
    clock = Clock()
    remembering = Remembering(reviewer(cluster), 60, clock)
    for token, kind in (("wrong", Unauthenticated), ("t-nobody", Forbidden)):
        for ask in (remembering.review, remembering.recall, remembering.review):
            with pytest.raises(kind):
                ask(token)
    assert cluster.reviews == 2
    clock.now += 61
    assert remembering.recall("wrong") is None


def test_with_no_time_to_remember_the_cluster_is_asked_each_time(cluster: FakeCluster) -> None:
    remembering = Remembering(reviewer(cluster), 0)
    for _ in range(3):
        remembering.review("t-alice")
    assert remembering.recall("t-alice") is None
    assert cluster.reviews == 3


def test_that_the_cluster_was_out_of_reach_is_not_remembered(cluster: FakeCluster) -> None:
    remembering = Remembering(reviewer(cluster), 60)
    cluster.failure = EngineUnavailable("no route")
    with pytest.raises(EngineUnavailable):
        remembering.review("t-alice")
    cluster.failure = None
    assert remembering.review("t-alice").name == "alice"


def test_tokens_are_kept_by_their_digest_only(cluster: FakeCluster) -> None:
    remembering = Remembering(reviewer(cluster), 60)
    remembering.review("t-alice")
    kept = [key for memory in (remembering._good, remembering._bad) for key in memory]
    assert [len(key) for key in kept] == [32]
    assert "t-alice" not in repr(vars(remembering._good))


def test_many_wrong_tokens_do_not_push_out_a_good_one_nor_fill_the_memory(cluster: FakeCluster) -> None:
    remembering = Remembering(reviewer(cluster), 60)
    remembering.review("t-alice")
    for number in range(MAX + 10):
        with pytest.raises(Unauthenticated):
            remembering.review(f"wrong{number}")
    assert remembering.recall("t-alice") is not None
    assert len(remembering._bad) == MAX


def test_many_requests_with_one_token_are_one_review(cluster: FakeCluster) -> None:
    remembering = Remembering(reviewer(cluster), 60)
    cluster.before = lambda: time.sleep(0.05)
    with ThreadPoolExecutor(20) as threads:
        callers = list(threads.map(lambda _: remembering.review("t-alice"), range(20)))
    assert callers == [Caller("alice")] * 20
    assert cluster.reviews == 1


# -- at the door ------------------------------------------------------------------------------------------------------


def test_while_reviews_are_slow_those_who_are_known_do_not_wait(tmp_path: Path, cluster: FakeCluster) -> None:
    guarded = Guarded(tmp_path, Remembering(reviewer(cluster), 60))
    assert guarded.ask("t-alice", "GET", "/api/v1/version").status_code == 200
    slow = threading.Event()
    cluster.before = lambda: slow.wait(20) and None
    with guarded.client as client, ThreadPoolExecutor(authentication.REVIEWS + 2) as callers:

        def ask(token: str) -> int:
            return int(client.get("/api/v1/version", headers={"Authorization": f"Bearer {token}"}).status_code)

        unknown = [callers.submit(ask, f"wrong{number}") for number in range(authentication.REVIEWS)]
        started = time.monotonic()
        assert ask("t-alice") == 200
        assert time.monotonic() - started < 5
        slow.set()
        assert [answer.result() for answer in unknown] == [401] * authentication.REVIEWS


def test_an_address_that_comes_with_many_wrong_tokens_has_to_wait_and_others_have_not(
    tmp_path: Path, cluster: FakeCluster
) -> None:
    guarded = Guarded(tmp_path, Remembering(reviewer(cluster), 60))

    def ask(token: str, address: str) -> Any:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        return guarded.raw("/api/v1/version", headers, client=(address, 1))

    assert ask("t-alice", "192.0.2.7").status == 200
    answers = [ask(f"wrong{number}", "192.0.2.7") for number in range(40)]
    assert [answer.status for answer in answers] == [401] * 30 + [429] * 10
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert cluster.reviews == 31
    assert ask("t-alice", "192.0.2.7").status == 200  # remembered
    assert ask("t-root", "192.0.2.7").status == 429
    assert ask("t-root", "192.0.2.8").status == 200
    assert [ask("wrong0", "192.0.2.8").status for _ in range(40)] == [401] * 40  # remembered, too


# -- rights as they are written ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "access"),
    [
        ("create jobs.batch", Access("create", "jobs", "batch")),
        (" list  pods ", Access("list", "pods")),
        ("get pods/log", Access("get", "pods", "", "log")),
        ("create inspections.amun.example.org", Access("create", "inspections", "amun.example.org")),
        ("update builds.build.openshift.io/clone", Access("update", "builds", "build.openshift.io", "clone")),
    ],
)
def test_a_right_is_a_verb_and_a_resource_with_its_group(text: str, access: Access) -> None:
    assert Access.parse(text) == access
    assert Access.parse(str(access)) == access


@pytest.mark.parametrize(
    "text", ["", "create", "jobs.batch", "* jobs", "create *", "create jobs batch", "create jobs/"]
)
def test_what_is_no_right_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a verb and a resource"):
        Access.parse(text)
