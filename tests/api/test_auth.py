"""A service that asks who you are, as a user starts it: where others reach it, two workers, keys in a file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from amun.auth.api_keys import new_key
from amun.client import Client, ClientError
from tests.conftest import ROOT, Service, environment_of, specification, wait_until

from .conftest import SCRIPT, SLEEPER, UNKNOWN, assert_error

pytestmark = [pytest.mark.podman, pytest.mark.slow]

NAMES = ("alice", "bob", "root")


class Asking:
    """The service and its callers."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "keys"
        self.keys = {}
        for name in NAMES:
            key, entry = new_key(name, admin=name == "root")
            self.keys[name] = key
            with self.file.open("a") as file:
                file.write(f"{entry}\n")
        settings = {"host": "0.0.0.0", "api_keys": self.file, "workers": 2, "max_runs": 2, "grace": 1}
        self.service = Service(directory / "state", **settings)
        self.service.token = self.keys["root"]
        self.url = self.service.url

    def client(self, who: str) -> Client:
        return Client(self.url, self.keys[who])

    def get(self, who: str | None, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.keys[who]}"} if who else {}
        return requests.get(f"{self.url}{path}", headers=headers, timeout=30, **options)

    def amun(self, *arguments: str, stdin: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "AMUN_URL": self.url, **variables}
        command = [sys.executable, "-m", "amun", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
        )

    def raw(self, request: bytes) -> int:
        """The status of the answer to bytes just as they are; 0 if there is none."""
        with socket.create_connection(("127.0.0.1", self.service.port), 10) as connection:
            connection.sendall(request)
            answer = b""
            while b"\r\n" not in answer and (received := connection.recv(4096)):
                answer += received
        return int(answer.split()[1]) if answer else 0


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Asking]:
    made = Asking(tmp_path_factory.mktemp("asking"))
    try:
        made.service.start()
        yield made
    finally:
        made.service.finish()


@pytest.fixture(scope="module")
def alices(asking: Asking, base: str) -> str:
    """An inspection of alice's that is over."""
    document = {**environment_of(base, "asking"), "script": SCRIPT, "batch_size": 2}
    inspection_id: str = asking.client("alice").submit(document)["inspection_id"]
    assert asking.service.wait(inspection_id)["phase"] == "succeeded"
    return inspection_id


def test_an_inspection_goes_from_submission_to_report_for_its_owner(asking: Asking, alices: str) -> None:
    alice = asking.client("alice")
    assert alice.result(alices, 1)["result"]["stdout"] == {"item": 1, "batch_size": 2}
    assert b"".join(alice.item_log(alices, 1, follow=True)).endswith(b"}\n")
    assert b"STEP 1/" in b"".join(alice.build_log(alices, follow=True))
    assert alice.detail(alices)["owner"] == "alice"


def test_for_another_caller_it_is_not_there_and_who_sees_all_sees_whose_it_is(asking: Asking, alices: str) -> None:
    bob, root = asking.client("bob"), asking.client("root")
    for ask in (bob.status, bob.detail, bob.specification, bob.result, bob.cancel, bob.delete):
        with pytest.raises(ClientError, match=f"There is no inspection '{alices}'"):
            ask(alices)
    for log in (bob.build_log(alices, follow=True), bob.item_log(alices, 0, follow=True), bob.item_log(alices, 1)):
        with pytest.raises(ClientError, match="There is no inspection"):
            list(log)
    assert alices not in bob.list()["inspections"]
    seen = {item["inspection_id"]: item["owner"] for item in root.list()["items"]}
    assert seen[alices] == "alice"
    assert root.status(alices)["phase"] == "succeeded"


def test_a_log_is_followed_live_by_its_owner_and_ends_with_who_cancels_it(asking: Asking, base: str) -> None:
    alice, bob = asking.client("alice"), asking.client("bob")
    inspection_id = alice.submit(specification(base, SLEEPER))["inspection_id"]
    lines = alice.item_log(inspection_id, follow=True)
    assert next(lines) == b"awake\n"
    with pytest.raises(ClientError):
        bob.cancel(inspection_id)
    alice.cancel(inspection_id)
    assert list(lines) == []
    assert asking.service.wait(inspection_id)["phase"] == "cancelled"


@pytest.mark.parametrize("path", ["/liveness", "/readiness", "/metrics", "/api/v1/ui/", "/api/v1/openapi.json"])
def test_probes_metrics_and_the_description_need_no_key(asking: Asking, path: str) -> None:
    wait_until(lambda: asking.get(None, path).status_code == 200)


def test_a_request_without_a_key_is_told_what_is_missing(asking: Asking) -> None:
    refused = asking.get(None, "/api/v1/inspect")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.headers["X-Amun-Version"]
    assert "Authorization: Bearer" in assert_error(refused)["error"]


def test_a_refused_body_is_not_read(asking: Asking) -> None:
    """Whoever is not known must not make the service keep what they send."""
    head = (
        b"POST /api/v1/inspect HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n"
    )
    assert asking.raw(head) == 401


# -- what comes over a wire -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        b"Authorization: Bearer KEY\r\nAuthorization: Bearer KEY",
        b"Authorization: Bearer wrong\r\nauthorization: Bearer KEY",
        b"Authorization: Bearer KEY\r\nX-API-Key: KEY",
        b"Authorization: Bearer KEY\r\n ,x",
        b"Authorization: Bearer\r\n KEY",
        b"Authorization : Bearer KEY",
        b"Authorization: Bearer KEY\xff",
        b"Authorization: Bearer \xc3\xa9KEY",
        b"Authorization: Bearer KEY\x00",
        b"Authorization: Bearer KEY, Bearer KEY",
        b"X-Authorization: Bearer KEY",
        b"Authorization: Bearer " + b"x" * 10_000,
        b"Authorization: Bearer " + b"x" * 200_000,
        b"X-API-Key: " + b"x" * 10_000,
        b"Authorization: Basic KEY",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ],
)
def test_headers_that_two_might_read_differently_let_nobody_in(asking: Asking, lines: bytes) -> None:
    key = asking.keys["alice"].encode()
    request = b"GET /api/v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\nLINES\r\n\r\n"
    try:
        status = asking.raw(request.replace(b"LINES", lines.replace(b"KEY", key)))
    except ConnectionError:  # it did not even wait for the end of it
        status = 0
    assert status in (0, 400, 401, 431)


@pytest.mark.parametrize(
    "line", [b"Authorization: Bearer KEY", b"AUTHORIZATION:bearer KEY  ", b"x-api-key: KEY", b"X-Api-Key:\tKEY"]
)
def test_headers_that_are_well_formed_let_their_owner_in(asking: Asking, line: bytes) -> None:
    header = line.replace(b"KEY", asking.keys["alice"].encode())
    assert asking.raw(b"GET /api/v1/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n") == 200


@pytest.mark.parametrize(
    "target",
    [
        b"/api/v1/ui/../inspect",
        b"/api/v1/ui/%2e%2e/inspect",
        b"/api/v1/ui/..%2finspect",
        b"/liveness/../api/v1/inspect",
        b"/liveness%00/api/v1/inspect",
        b"/liveness?/../api/v1/inspect",
        b"http://x/api/v1/inspect",
        b"//api/v1/inspect",
        b"/api/v1/inspect;/liveness",
        b"/api/v1/inspect#/liveness",
        b"*",
    ],
)
def test_no_target_leads_past_the_door(asking: Asking, target: bytes) -> None:
    status = asking.raw(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    expected = (200,) if target.startswith(b"/liveness?") else (400, 401, 404)
    assert status in expected


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_comes_in_with_a_token_from_wherever(asking: Asking, base: str, tmp_path: Path) -> None:
    document = f'{{"base": "{base}", "script": "echo done"}}'
    followed = asking.amun("submit", "--follow", "-", stdin=document, AMUN_TOKEN=asking.keys["alice"])
    assert (followed.returncode, "done" in followed.stdout) == (0, True), followed.stderr
    (tmp_path / "token").write_text(asking.keys["bob"] + "\n")
    listed = asking.amun("list", AMUN_TOKEN_FILE=str(tmp_path / "token"))
    assert (listed.returncode, listed.stdout) == (0, "No inspections.\n")
    refused = asking.amun("list")
    assert refused.returncode == 2
    assert "A credential is missing" in refused.stderr
    assert "AMUN_TOKEN_FILE" in refused.stderr
    wrong = asking.amun("status", UNKNOWN, "--token", "amun_wrong")
    assert (wrong.returncode, "This API key is not known here." in wrong.stderr) == (2, True)


# -- keys come and go -------------------------------------------------------------------------------------------------


def test_a_key_that_is_taken_back_is_refused_by_every_worker_and_its_inspections_stay(
    asking: Asking, alices: str
) -> None:
    """The last test of the module: alice gets a new key for it."""
    before = asking.file.read_text()
    renewed, entry = new_key("alice")
    asking.file.write_text("\n".join([*before.splitlines()[1:], str(entry)]))
    assert {asking.get("alice", "/api/v1/version").status_code for _ in range(20)} == {401}
    asking.keys["alice"] = renewed
    assert {asking.get("alice", "/api/v1/version").status_code for _ in range(20)} == {200}
    assert asking.client("alice").status(alices)["phase"] == "succeeded"
