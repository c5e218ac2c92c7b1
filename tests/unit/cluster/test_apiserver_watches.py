"""Watches and logs of the API server of the tests, read with the clients that Amun uses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import requests

from tests.cluster.apiserver import ApiServer

NAMESPACE = "amun-inspection"
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def core(server: ApiServer, tmp_path: Path) -> kubernetes.client.CoreV1Api:
    configuration = kubernetes.config.new_client_from_config(str(server.kubeconfig(tmp_path / "config")))
    return kubernetes.client.CoreV1Api(configuration)


class Reading:
    """A watch that is read in a thread."""

    def __init__(self, server: ApiServer, query: str = "", accept: str = "application/json", path: str = PATH) -> None:
        headers = {"Authorization": f"Bearer {server.admin.token}", "Accept": accept}
        url = f"{server.url}{path}?watch=true&{query}"
        self.response = requests.get(url, headers=headers, stream=True, timeout=10)
        self.events: list[dict[str, Any]] = []
        self.broken = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self.response.iter_lines(chunk_size=1):
                self.events.append(json.loads(line))
        except requests.RequestException:
            self.broken = True

    def said(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the first events, once there are so many."""
        wait(lambda: len(self.events) >= count)
        return [(event["type"], event["object"]["metadata"].get("name", "")) for event in self.events]

    def end(self) -> None:
        """Wait for the end of the watch."""
        self._thread.join(5)
        assert not self._thread.is_alive()


def wait(condition: Any, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def make(server: ApiServer, name: str, **labels: str) -> dict[str, Any]:
    return server.store.create("ConfigMap", {"metadata": {"name": name, "labels": labels}})


def test_what_exists_and_what_happens(server: ApiServer) -> None:
    make(server, "a")
    watch = Reading(server)
    make(server, "b")
    server.store.patch("ConfigMap", "a", {"data": {"k": "v"}})
    server.store.delete("ConfigMap", "b")
    assert watch.said(4) == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in watch.events]
    assert versions == sorted(versions)
    assert watch.events[2]["object"]["kind"] == "ConfigMap"


def test_who_goes_on_misses_nothing_and_sees_nothing_twice(server: ApiServer) -> None:
    seen = make(server, "a")["metadata"]["resourceVersion"]
    make(server, "b")
    watch = Reading(server, f"resourceVersion={seen}")
    assert watch.said(1) == [("ADDED", "b")]


def test_what_stops_to_match_is_gone_for_who_selects(server: ApiServer) -> None:
    make(server, "a", state="active")
    make(server, "other", state="finished")
    watch = Reading(server, "labelSelector=state%3Dactive")
    for state in ("finished", "active"):
        server.store.patch("ConfigMap", "a", {"metadata": {"labels": {"state": state}}})
    server.store.delete("ConfigMap", "a")
    assert watch.said(4) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a"), ("DELETED", "a")]
    assert watch.events[1]["object"]["metadata"]["labels"] == {"state": "active"}
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in watch.events]
    assert versions == sorted(versions)


def test_metadata_alone(server: ApiServer) -> None:
    make(server, "a")
    watch = Reading(server, accept=METADATA_ONLY.replace("MetadataList", "Metadata"))
    assert watch.said(1) == [("ADDED", "a")]
    assert watch.events[0]["object"]["kind"] == "PartialObjectMetadata"
    headers = {"Authorization": f"Bearer {server.admin.token}", "Accept": METADATA_ONLY}
    listed = requests.get(server.url + PATH, headers=headers, timeout=10).json()
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"][0].keys() == {"kind", "apiVersion", "metadata"}


def test_bookmarks_come_to_who_asks(server: ApiServer) -> None:
    server.bookmark_every = 0.05
    version = make(server, "a")["metadata"]["resourceVersion"]
    watch = Reading(server, f"allowWatchBookmarks=true&resourceVersion={version}")
    silent = Reading(server, f"resourceVersion={version}")
    server.store.create("Secret", {"metadata": {"name": "other"}})
    wait(lambda: watch.events and int(watch.events[-1]["object"]["metadata"]["resourceVersion"]) > int(version))
    assert {event["type"] for event in watch.events} == {"BOOKMARK"}
    assert watch.events[0]["object"]["kind"] == "ConfigMap"
    assert silent.events == []


def test_a_watch_ends_when_it_was_to_end(server: ApiServer) -> None:
    begun = time.monotonic()
    watch = Reading(server, "timeoutSeconds=1")
    watch.end()
    assert 0.9 < time.monotonic() - begun < 3
    assert not watch.broken


@pytest.mark.parametrize("clean", [True, False])
def test_watches_are_cut(server: ApiServer, clean: bool) -> None:
    watches = [Reading(server) for _ in range(20)]
    wait(lambda: server.connections.streams == 20)
    begun = time.monotonic()
    assert server.faults.cut_watches(clean) == 20
    for watch in watches:
        watch.end()
        assert watch.broken is not clean
    assert time.monotonic() - begun < 5
    wait(lambda: server.connections.streams == 0)


def test_a_watch_from_too_long_ago_is_told_so_in_the_stream(server: ApiServer) -> None:
    version = make(server, "a")["metadata"]["resourceVersion"]
    running = Reading(server, f"resourceVersion={version}")
    server.faults.expire_watches()
    late = Reading(server, f"resourceVersion={version}")
    for watch in (running, late):
        watch.end()
        error = watch.events[-1]
        assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert watch.response.status_code == 200
    fresh = Reading(server)
    assert fresh.said(1) == [("ADDED", "a")]


def test_or_by_the_status(server: ApiServer, core: kubernetes.client.CoreV1Api) -> None:
    version = make(server, "a")["metadata"]["resourceVersion"]
    server.faults.expire_watches(as_status=True)
    with pytest.raises(kubernetes.client.ApiException) as exc:
        core.list_namespaced_config_map(NAMESPACE, watch=True, resource_version=version)
    assert exc.value.status == 410


def test_the_history_that_is_kept_is_as_long_as_is_set(server: ApiServer) -> None:
    server.store.ledger.histories["ConfigMap"].limit = 10
    first = make(server, "first")["metadata"]["resourceVersion"]
    for number in range(12):
        make(server, f"more-{number}")
    watch = Reading(server, f"resourceVersion={first}")
    watch.end()
    assert watch.events[0]["object"]["code"] == 410


def test_pages_are_of_one_moment(server: ApiServer, core: kubernetes.client.CoreV1Api) -> None:
    for name in "abcde":
        make(server, name)
    page = core.list_namespaced_config_map(NAMESPACE, limit=2)
    assert page.metadata.remaining_item_count == 3
    make(server, "aa")
    server.store.delete("ConfigMap", "e")
    names = [item.metadata.name for item in page.items]
    while page.metadata._continue:
        page = core.list_namespaced_config_map(NAMESPACE, limit=2, _continue=page.metadata._continue)
        names += [item.metadata.name for item in page.items]
    assert names == list("abcde")
    first = core.list_namespaced_config_map(NAMESPACE, limit=2)
    server.faults.expire_watches()
    with pytest.raises(kubernetes.client.ApiException) as exc:
        core.list_namespaced_config_map(NAMESPACE, limit=2, _continue=first.metadata._continue)
    assert exc.value.status == 410


def test_a_log_is_followed_while_it_grows(server: ApiServer, core: kubernetes.client.CoreV1Api) -> None:
    running = {"name": "run", "state": {"running": {}}}
    spec = {"containers": [{"name": "run", "image": "i"}], "nodeName": "node"}
    server.store.create("Pod", {"metadata": {"name": "pod"}, "spec": spec})
    server.store.update("Pod", "pod", lambda pod: pod["status"].update(containerStatuses=[running]))
    log = server.store.log("Pod", "pod", "run")
    log.write(b"first\nsec")
    response = core.read_namespaced_pod_log("pod", NAMESPACE, follow=True, _preload_content=False)
    chunks = response.stream(1)
    assert b"".join(next(chunks) for _ in range(6)) == b"first\n"  # the rest is no line yet
    log.write(b"ond\n")
    assert b"".join(next(chunks) for _ in range(7)) == b"second\n"
    log.write("no newline")
    log.close()
    assert b"".join(chunks) == b"no newline"


def test_parts_of_a_log(server: ApiServer, core: kubernetes.client.CoreV1Api) -> None:
    times = iter([datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC) for second in range(3)])
    spec = {"containers": [{"name": "run", "image": "i"}], "nodeName": "node"}
    server.store.create("Pod", {"metadata": {"name": "pod"}, "spec": spec})
    statuses = [{"name": "run", "state": {"terminated": {"exitCode": 0}}}]
    server.store.update("Pod", "pod", lambda pod: pod["status"].update(containerStatuses=statuses))
    log = server.store.log("Pod", "pod", "run")
    log._clock = lambda: next(times)
    for line in (b"a\n", b"b\n", b"c\n"):
        log.write(line)

    def read(**options: Any) -> str:
        return str(core.read_namespaced_pod_log("pod", NAMESPACE, **options))

    assert read(tail_lines=1) == "c\n"
    assert read(timestamps=True, tail_lines=1) == "2026-01-01T00:00:02.000000000Z c\n"
    assert read(limit_bytes=3) == "a\nb"
    headers = {"Authorization": f"Bearer {server.admin.token}"}
    query = "sinceTime=2026-01-01T00:00:01Z"
    url = f"{server.url}/api/v1/namespaces/{NAMESPACE}/pods/pod/log?{query}"
    assert requests.get(url, headers=headers, timeout=10).text == "b\nc\n"


def test_a_log_of_a_build_waits_for_it(server: ApiServer) -> None:
    spec = {"source": {"dockerfile": "FROM x"}, "strategy": {"dockerStrategy": {}}}
    server.store.create("Build", {"metadata": {"name": "b-1"}, "spec": spec})
    url = f"{server.url}/apis/build.openshift.io/v1/namespaces/{NAMESPACE}/builds/b-1/log"
    headers = {"Authorization": f"Bearer {server.admin.token}"}
    server.build_log_patience = 0.1
    assert requests.get(url, headers=headers, timeout=10).status_code == 504
    server.build_log_patience = 10

    def begin() -> None:
        server.store.log("Build", "b-1").write("STEP 1\n")
        server.store.update("Build", "b-1", lambda build: build["status"].update(phase="Running"))

    threading.Timer(0.2, begin).start()
    assert requests.get(url, headers=headers, timeout=10).text == "STEP 1\n"
    server.store.update("Build", "b-1", lambda build: build["status"].update(phase="Cancelled"))
    refused = requests.get(url, headers=headers, timeout=10)
    assert (refused.status_code, refused.json()["message"]) == (400, "build b-1 was cancelled. No logs are available.")
