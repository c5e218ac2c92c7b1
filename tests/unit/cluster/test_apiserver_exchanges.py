"""The API server of the tests, held against a real one: the same requests, the same answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.cluster import examples
from tests.cluster.apiserver import ApiServer
from tests.cluster.examples import alike
from tests.cluster.objects.store import Store
from tests.cluster.rules import schemas
from tests.cluster.serving import builds

EXCHANGES = {exchange["what"]: exchange for exchange in examples.read("exchanges")}
VIEWER = "system:serviceaccount:amun-inspection:viewer"
BY_A_VIEWER = ("create without the right", "list without the right", "self subject access review")
BY_A_CONTROLLER = ("a cancelled build",)  # what became of an object later: not the server's doing
OBJECTS = [
    "imagestream",
    "buildconfig-bad",
    "build-bad",
    "build-nonode",
    "build-pod-bad",
    *(f"job-{name}" for name in ("ok", "exit3", "batch", "oom", "deadline", "pod-deadline", "unschedulable", "nocpu")),
    "job-noimage",
    "pods-noimage",
    "pods-unschedulable",
]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.store.restore(examples.events("watch-jobs")[0]["object"])  # a job as it was when it was new
        for name in OBJECTS:
            examples.restore(server.store, examples.read(name))
        log = server.store.log("Build", "environment-bad-1")
        log.write(examples.text("build-bad.log"))
        log.close()
        server.rights.add(VIEWER, [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}])
        yield server


def ask(server: ApiServer, exchange: dict[str, Any], token: str | None = None) -> requests.Response:
    request, what = exchange["request"], exchange["what"]
    user = VIEWER if what in BY_A_VIEWER else "admin"
    headers = {"Authorization": f"Bearer {token or server.rights.users[user].token}"}
    if request["method"] == "PATCH":
        headers["Content-Type"] = "application/merge-patch+json"
    body = json.dumps(request.get("body")) if request.get("body") else None
    url = server.url + request["path"]
    return requests.request(request["method"], url, data=body, headers=headers, timeout=10)


def said(response: requests.Response) -> Any:
    """The body: a document, the first event of a watch, or text."""
    kind = response.headers.get("Content-Type", "")
    return json.loads(response.text.splitlines()[0]) if kind == "application/json" else response.text


def hold(response: requests.Response, exchange: dict[str, Any]) -> None:
    """Hold an answer against the one that was recorded."""
    assert response.status_code == exchange["status"]
    for name, value in exchange.get("headers", {}).items():
        assert response.headers[name] == value
    assert alike(said(response)) == alike(exchange["body"])


SPECIAL = ("no such token", "a list with a limit", "config map over its size", "create over the quota", "quota")


@pytest.mark.parametrize(
    "what", [what for what in EXCHANGES if what not in SPECIAL + BY_A_CONTROLLER and "token review" not in what]
)
def test_the_answer_is_that_of_a_real_server(server: ApiServer, what: str) -> None:
    hold(ask(server, EXCHANGES[what]), EXCHANGES[what])


def test_a_token_nobody_has_is_refused(server: ApiServer) -> None:
    exchange = EXCHANGES["no such token"]
    hold(ask(server, exchange, "sha256~nobody"), exchange)


def test_a_page_of_a_list(server: ApiServer) -> None:
    exchange = EXCHANGES["a list with a limit"]
    response = ask(server, exchange)
    told, recorded = response.json(), exchange["body"]
    tokens = [document["metadata"].pop("continue") for document in (told, recorded)]
    starts = [json.loads(base64.b64decode(token + "=" * (-len(token) % 4)))["start"] for token in tokens]
    assert starts[0] == starts[1]
    assert alike(told) == alike(recorded)


def test_quotas(server: ApiServer) -> None:
    for what in ("quota", "create over the quota"):
        hold(ask(server, EXCHANGES[what]), EXCHANGES[what])


def test_the_most_that_a_config_map_holds(server: ApiServer) -> None:
    exchange = json.loads(json.dumps(EXCHANGES["config map over its size"]))
    exchange["request"]["body"] = {"metadata": {"name": "big"}, "data": {"a": "x" * 1_100_000}}
    hold(ask(server, exchange), exchange)
    exchange["request"]["body"]["data"]["a"] = "x" * 1024 * 1024
    assert ask(server, exchange).status_code == 201


@pytest.mark.parametrize(("what", "token"), [("token review, not valid", "nobody's"), ("token review, valid", "")])
def test_whose_a_token_is(server: ApiServer, what: str, token: str) -> None:
    exchange = json.loads(json.dumps(EXCHANGES[what]).replace("TOKEN", token or server.rights.users[VIEWER].token))
    exchange["request"]["body"] = {"spec": exchange["body"]["spec"]}
    hold(ask(server, exchange), exchange)


@pytest.mark.parametrize("name", ["abc", "bad", "nonode"])
def test_the_build_of_a_recorded_build_config_is_as_it_was(name: str) -> None:
    config = examples.read(f"buildconfig-{name}")
    store = Store()
    store.create("BuildConfig", {"metadata": config["metadata"], "spec": config["spec"]})
    request = {"triggeredBy": [{"message": "Build configuration change"}]}
    build = builds.instantiate(store, f"environment-{name}", store.namespace, request)
    added = (event["object"] for event in examples.events("watch-builds"))
    assert alike(build) == alike(next(one for one in added if one["metadata"]["name"] == f"environment-{name}-1"))
    assert store.get("BuildConfig", f"environment-{name}")["metadata"]["generation"] == 2
    assert alike(store.get("BuildConfig", f"environment-{name}")) == alike(config)


@pytest.mark.parametrize("document", examples.objects(), ids=lambda document: document["kind"])
def test_the_schemas_take_what_real_servers_sent(document: dict[str, Any]) -> None:
    if document["kind"] != "TokenReview":  # of which no schema was recorded
        assert schemas.problems(document) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"spec": {"affinity": {}}}, 'strict decoding error: unknown field "spec.affinity"'),
        (
            {"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"nmae": "b"}]}}}},
            'strict decoding error: unknown field "spec.template.spec.containers[1].nmae"',
        ),
        (
            {"spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}}}},
            schemas.NOT_A_QUANTITY,
        ),
        (
            {"spec": {"parallelism": "1"}},
            "json: cannot unmarshal string into Go struct field JobSpec.spec.parallelism of type int32",
        ),
        (
            {"spec": {"suspend": 1}},
            "json: cannot unmarshal number into Go struct field JobSpec.spec.suspend of type bool",
        ),
        (
            {"metadata": {"labels": {"a": 1}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels.a of type string",
        ),
    ],
)
def test_what_strict_validation_refuses(change: dict[str, Any], problem: str) -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, **change}
    assert schemas.problems(job) == [problem]
