"""By which names the service can be asked, and from which pages what changes something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from amun.errors import AmunError
from amun.processes.controller_status import Served, application
from amun.settings import Settings
from amun.web.allowed_hosts import Names
from tests.support.service_with_keys import DOCUMENT, Guarded, StillEngine

OURS = [
    "127.0.0.1",
    "127.0.0.1:8080",
    "127.9.9.9:1",
    "localhost",
    "LocalHost:8080",
    "localhost.",
    "localhost.:80",
    "localhost:",
    "[::1]",
    "[::1]:8080",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]:80",
    "amun.example",
    "AMUN.example.:443",
]
OTHERS = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil-localhost",
    "10.0.0.1",
    "[::2]",
    "0.0.0.0",
    "2130706433",
    "127.1",
    "sub.amun.example",
]
NONE = [
    "",
    "localhost evil",
    "evil@localhost",
    "localhost:x",
    "localhost:808080",
    "[::1",
    "::1",
    "localhost,evil",
    "a/b",
]


def status(names: Names, *hosts: str, path: str = "/api/v1/version") -> int:
    try:
        names.check(path, hosts)
    except AmunError as exc:
        return exc.status
    return 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [*((host, 200) for host in OURS), *((host, 421) for host in OTHERS), *((host, 400) for host in NONE)],
)
def test_on_loopback_the_service_is_asked_by_a_name_of_loopback_or_one_that_is_allowed(
    host: str, expected: int
) -> None:
    names = Names(Settings(allowed_hosts=" Amun.Example, other.example "))
    assert status(names, host) == expected
    for probe in ("/liveness", "/readiness"):
        assert status(names, host, path=probe) == 200
    assert status(names) == status(names, host, host) == 400


@pytest.mark.parametrize(("listed", "expected"), [("", 200), ("amun.example", 421), ("amun.example,evil.example", 200)])
def test_elsewhere_it_is_asked_by_any_name_until_some_are_listed(listed: str, expected: int) -> None:
    names = Names(Settings(host="0.0.0.0", allowed_hosts=listed))
    assert status(names, "evil.example") == expected
    assert status(names, "amun.example:8080") == 200


def test_metrics_are_read_by_an_address_and_by_no_name_from_elsewhere() -> None:
    for settings in (Settings(), Settings(host="0.0.0.0", allowed_hosts="amun.example")):
        assert status(Names(settings), "10.128.0.7:8080", path="/metrics") == 200
        assert status(Names(settings), "[fd00::7]:8080", path="/metrics") == 200
        assert status(Names(settings), "evil.example", path="/metrics") == 421


@pytest.fixture
def asked(tmp_path: Path) -> Guarded:
    """A service that asks nobody who they are."""
    return Guarded(tmp_path, auth="none")


@pytest.mark.parametrize("path", ["/", "/api/v1/version", "/api/v1/inspect", "/nothing", "/metrics", "/static/x/y"])
def test_whoever_asks_for_another_host_sees_nothing(asked: Guarded, path: str) -> None:
    for host in (b"evil.example", b"evil.example:8080"):
        answer = asked.raw(path, [(b"host", host)])
        assert (answer.status, set(json.loads(answer.body))) == (421, {"error", "parameters"})
    assert asked.raw(path, [(b"host", b"localhost"), (b"host", b"evil.example")]).status == 400
    assert asked.raw("/liveness", [(b"host", b"evil.example")]).status == 200


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("localhost:8080", None, 202),
        ("localhost:8080", "http://localhost:8080", 202),
        ("LOCALHOST:8080", "http://localhost:8080", 202),
        ("[::1]:8080", "http://[::1]:8080", 202),
        ("localhost", "http://localhost", 202),
        ("localhost:80", "http://localhost", 202),
        ("localhost:443", "https://localhost", 202),
        ("127.0.0.1:8080", "https://amun.example", 202),
        ("localhost:8080", "http://localhost:8081", 403),
        ("localhost:8080", "http://localhost", 403),
        ("localhost:8080", "http://127.0.0.1:8080", 403),
        ("localhost:8080", "http://evil.example", 403),
        ("localhost:8080", "http://localhost:8080.evil.example", 403),
        ("localhost:8080", "http://localhost:8080@evil.example", 403),
        ("localhost:8080", "null", 403),
        ("localhost:8080", "", 403),
        ("localhost:8080", "file://", 403),
        ("localhost:8080", "chrome-extension://localhost:8080", 403),
        ("localhost:8080", "http://[::1", 403),
    ],
)
def test_what_changes_something_is_asked_by_no_page_of_another_origin(
    asked: Guarded, host: str, origin: str | None, expected: int
) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    for who in (None, "alice"):
        assert asked.ask(who, "POST", "/api/v1/inspect", json=DOCUMENT, headers=headers).status_code == expected
        # What only reads is the browser's to keep from the page.
        assert asked.ask(who, "GET", "/api/v1/inspect", headers=headers).status_code == 200


def test_also_who_has_a_key_is_not_asked_to_change_something_by_a_page_from_elsewhere(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    foreign = {"Origin": "https://evil.example"}
    assert guarded.ask("alice", "POST", "/api/v1/inspect", json=DOCUMENT, headers=foreign).status_code == 403
    inspection_id = guarded.submit("alice")
    for method, path in (("DELETE", ""), ("POST", "/cancel")):
        answer = guarded.ask("alice", method, f"/api/v1/inspect/{inspection_id}{path}", headers=foreign)
        assert answer.status_code == 403


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The controller's own."""
    settings = Settings(state_dir=tmp_path, engine="podman")
    server = Served(application(StillEngine(settings), Names(settings), lambda: 0.0, stall=60), "127.0.0.1", 0)
    yield server.port
    server.stop()


def test_the_controllers_own_port_is_asked_by_the_same_names(port: int) -> None:
    def answered(path: str, host: str) -> int:
        return requests.get(f"http://127.0.0.1:{port}{path}", headers={"Host": host}, timeout=10).status_code

    assert answered("/metrics", f"localhost:{port}") == answered("/readiness", "evil.example") == 200
    assert answered("/metrics", "evil.example") == answered("/other", "evil.example") == 421
