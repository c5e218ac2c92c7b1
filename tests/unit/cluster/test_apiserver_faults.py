"""What goes wrong with the API server of the tests when one says so, as the clients that Amun uses see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import requests
import urllib3

from tests.cluster.apiserver import ApiServer

NAMESPACE = "amun-inspection"
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


def call(server: ApiServer, method: str = "GET", name: str = "", **body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {server.admin.token}", "User-Agent": "amun/1"}
    url = f"{server.url}{PATH}/{name}".rstrip("/")
    return requests.request(method, url, json=body or None, headers=headers, timeout=10)


def create(server: ApiServer, name: str) -> requests.Response:
    return call(server, "POST", metadata={"name": name})


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (409, "Conflict"),
        (504, "Timeout"),
    ],
)
def test_the_next_requests_that_match_are_refused(server: ApiServer, status: int, reason: str) -> None:
    fault = server.faults.refuse(status, verb="create", resource="configmaps", times=2)
    answers = [create(server, "a") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 201]
    assert call(server).status_code == 200
    assert answers[0].json()["reason"] == reason
    assert fault.met == 2


def test_who_asks_too_much_is_told_when_to_come_back(server: ApiServer) -> None:
    server.faults.refuse(429, retry_after=7)
    assert call(server).headers["Retry-After"] == "7"


def test_what_is_refused_may_have_been_done(server: ApiServer) -> None:
    server.faults.refuse(500, verb="create", after=True)
    assert create(server, "a").status_code == 500
    assert create(server, "a").status_code == 409


@pytest.mark.parametrize("after", [False, True])
def test_connections_are_dropped_before_or_after_the_effect(server: ApiServer, after: bool) -> None:
    server.faults.drop(verb="create", after=after)
    with pytest.raises(requests.ConnectionError):
        create(server, "a")
    assert (server.store.find("ConfigMap", "a") is not None) is after
    assert [record.status for record in server.requests] == [0]


def test_for_a_time_all_are_late(server: ApiServer) -> None:
    server.faults.delay(0.5, verb="list", seconds=5)
    begun = time.monotonic()
    call(server)
    assert time.monotonic() - begun >= 0.5
    server.faults.clear()
    begun = time.monotonic()
    call(server)
    assert time.monotonic() - begun < 0.5


def test_something_happens_just_before(server: ApiServer) -> None:
    create(server, "a")
    server.faults.run(lambda: server.store.delete("ConfigMap", "a"), verb="get", resource="configmaps")
    assert call(server, name="a").status_code == 404


def test_a_server_that_is_down_comes_back_as_it_was(server: ApiServer) -> None:
    create(server, "a")
    session = requests.Session()
    headers = {"Authorization": f"Bearer {server.admin.token}"}
    session.get(server.url + PATH, headers=headers, timeout=10)
    with server.faults.down(), pytest.raises(requests.ConnectionError):
        session.get(server.url + PATH, headers=headers, timeout=10)
    listed = session.get(server.url + PATH, headers=headers, timeout=10).json()
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]


def test_a_restart_breaks_watches(server: ApiServer, tmp_path: Path) -> None:
    core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(server.kubeconfig(tmp_path / "c"))))
    restart = threading.Timer(0.2, server.faults.restart)
    restart.start()
    with pytest.raises(urllib3.exceptions.HTTPError):
        list(core.list_namespaced_config_map(NAMESPACE, watch=True, _preload_content=False).stream())
    restart.join()
    assert core.list_namespaced_config_map(NAMESPACE).items == []


def test_requests_are_recorded(server: ApiServer) -> None:
    create(server, "a")
    call(server)
    call(server, name="a")
    requests.get(f"{server.url}/version", timeout=10)
    assert server.requests.summary() == {
        "create configmaps": 1,
        "list configmaps": 1,
        "get configmaps": 1,
        "get /version": 1,
    }
    assert server.requests.count(verb="get|list", resource="configmaps", agent="amun/.*") == 2
    first = next(iter(server.requests))
    assert (first.user, first.agent, first.status, first.watch) == ("admin", "amun/1", 201, False)
    server.requests.clear()
    assert len(server.requests) == 0


def test_many_watches_and_many_requests(server: ApiServer) -> None:
    """A controller's caches, many of them, do not keep thousands of requests waiting."""
    headers = {"Authorization": f"Bearer {server.admin.token}"}
    url = f"{server.url}{PATH}"
    watches = [requests.get(f"{url}?watch=1", headers=headers, stream=True, timeout=30) for _ in range(30)]
    session = requests.Session()
    session.headers.update(headers)
    begun = time.monotonic()
    for number in range(500):
        assert session.post(url, json={"metadata": {"name": f"c-{number}"}}, timeout=10).status_code == 201
    assert time.monotonic() - begun < 30
    for watch in watches:
        lines = watch.iter_lines(chunk_size=65536)
        assert sum(1 for _, line in zip(range(500), lines, strict=False) if b'"ADDED"' in line) == 500
        watch.close()
