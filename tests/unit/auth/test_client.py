"""The client and the command as callers who are asked who they are, and told to come back later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from requests_mock import ANY, Mocker
from typer.testing import CliRunner, Result

from amun.cli import app
from amun.client import Client, ClientError

URL = "http://127.0.0.1:8080"
API = f"{URL}/api/v1"
ID = "inspection-test-0123456789abcdef"
HARDWARE = {"hardware": [], "parameters": {}}
BUSY = {"error": "Too many requests: one caller may make 3 a minute.", "parameters": {}}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMUN_URL", "AMUN_TOKEN", "AMUN_TOKEN_FILE", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were slept, in no time."""
    slept: list[float] = []
    monkeypatch.setattr("amun.client.client.time.sleep", slept.append)
    return slept


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("from-file\n")
    return path


def amun(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "1000"})


def sent(mock: Mocker) -> str | None:
    header: str | None = mock.last_request.headers.get("Authorization")
    return header


# -- the token --------------------------------------------------------------------------------------------------------


def test_a_token_in_a_file_is_read_for_each_request(requests_mock: Mocker, file: Path) -> None:
    requests_mock.get(f"{API}/hardware", json=HARDWARE)
    client = Client(URL, token_file=file)
    client.hardware()
    assert sent(requests_mock) == "Bearer from-file"
    file.write_text("renewed")
    client.hardware()
    assert sent(requests_mock) == "Bearer renewed"
    Client(URL, "given", token_file=file).hardware()
    assert sent(requests_mock) == "Bearer given"
    Client(URL).hardware()
    assert sent(requests_mock) is None


def test_the_command_takes_the_token_from_wherever_it_is_nearest(
    requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path
) -> None:
    requests_mock.get(f"{API}/hardware", json=HARDWARE)

    def token(*arguments: str) -> str | None:
        assert amun(*arguments).exit_code == 0
        return sent(requests_mock)

    assert token("hardware") is None
    monkeypatch.setenv("AMUN_TOKEN_FILE", str(file))
    assert token("hardware") == "Bearer from-file"
    other = tmp_path / "other"
    other.write_text("other")
    assert token("--token-file", str(other), "hardware") == "Bearer other"
    monkeypatch.setenv("AMUN_TOKEN", "from-variable\n")
    assert token("hardware") == "Bearer from-variable"
    assert token("--token", "before", "hardware") == "Bearer before"
    assert token("--token", "before", "hardware", "--token", "behind") == "Bearer behind"


@pytest.mark.parametrize("content", [b"", b"\n", b"two tokens", b"a\nb", "tokén".encode(), None])
def test_a_file_without_a_token_is_said_to_be_so_and_nothing_is_sent(
    requests_mock: Mocker, tmp_path: Path, content: bytes | None
) -> None:
    requests_mock.get(f"{API}/hardware", json=HARDWARE)
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    refused = amun("--token-file", str(path), "hardware")
    assert refused.exit_code == 2
    assert str(path) in refused.stderr
    assert "tok" not in refused.stderr.replace("token", "")
    with pytest.raises(ClientError, match=str(path)):
        Client(URL, token_file=path).hardware()
    assert requests_mock.call_count == 0


@pytest.mark.parametrize("token", ["two tokens", "secret\nX-Owner: root", "sécret", "  "])
def test_what_cannot_be_a_token_is_not_sent_and_not_shown(requests_mock: Mocker, token: str) -> None:
    requests_mock.get(f"{API}/hardware", json=HARDWARE)
    refused = amun("--token", token, "hardware")
    assert refused.exit_code == 2
    assert "not one token" in refused.stderr
    assert "secret" not in refused.output
    with pytest.raises(ClientError) as raised:
        Client(URL, token).hardware()
    assert token not in str(raised.value)
    assert requests_mock.call_count == 0


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "hint", "code"),
    [
        (401, "A credential is missing.", "--token, AMUN_TOKEN, or a file that AMUN_TOKEN_FILE names", 2),
        (403, "carol may not use this service.", "Whoever runs the service gives that right", 2),
        (429, "Too many requests.", "try again in a while", 3),
    ],
)
def test_refusals_are_said_clearly(
    requests_mock: Mocker, naps: list[float], status: int, error: str, hint: str, code: int
) -> None:
    headers = {"Retry-After": "3600"}
    requests_mock.get(f"{API}/hardware", status_code=status, json={"error": error, "parameters": {}}, headers=headers)
    refused = amun("hardware", "--json")
    assert refused.exit_code == code
    assert error in refused.stderr
    assert hint in refused.stderr
    assert "amun serve" not in refused.stderr
    assert json.loads(refused.stdout)["status"] == status
    assert naps == []


# -- too much at once -------------------------------------------------------------------------------------------------


def busy(*after: str | None) -> list[dict[str, object]]:
    """Answers to who has asked too much, each with its Retry-After."""
    headers: list[dict[str, str]] = [{} if seconds is None else {"Retry-After": seconds} for seconds in after]
    return [{"status_code": 429, "json": BUSY, "headers": each} for each in headers]


@pytest.mark.parametrize("method", ["hardware", "submit", "cancel", "delete", "status"])
def test_the_client_waits_as_long_as_it_is_told_and_asks_again_whatever_it_was(
    requests_mock: Mocker, naps: list[float], method: str
) -> None:
    """A request that was refused so has done nothing, so that also those are sent again that are not otherwise."""
    requests_mock.register_uri(ANY, url_of(method), [*busy("7", "11"), {"json": {"inspection_id": ID}}])
    arguments = {"hardware": [], "submit": [{"base": "b"}]}.get(method, [ID])
    getattr(Client(URL), method)(*arguments)
    assert naps == [7, 11]
    assert requests_mock.call_count == 3
    if method == "submit":
        assert len({request.headers["Idempotency-Key"] for request in requests_mock.request_history}) == 1


def url_of(method: str) -> str:
    paths = {"hardware": "hardware", "submit": "inspect", "delete": f"inspect/{ID}"}
    return f"{API}/{paths.get(method, f'inspect/{ID}/{method}')}"


@pytest.mark.parametrize(
    ("after", "patience", "waits"),
    [
        (["60", "60"], 60, [60]),
        (["61"], 60, []),
        (["86400"], 60, []),
        (["20", "20", "20", "20"], 60, [20, 20, 20]),
        (["0"] * 4, 3, [1, 1, 1]),
        ([None] * 3, 10, [5, 5]),
        (["Mon, 23 Nov 2026 12:00:00 GMT", "-5", "soon", "1e9"], 15, [5, 5, 5]),
    ],
)
def test_it_does_not_wait_for_ever(
    requests_mock: Mocker, naps: list[float], after: list[str | None], patience: float, waits: list[float]
) -> None:
    requests_mock.get(f"{API}/hardware", busy(*after))
    with pytest.raises(ClientError) as raised:
        Client(URL, patience=patience).hardware()
    assert naps == waits
    assert (raised.value.status, raised.value.error) == (429, BUSY["error"])
    assert raised.value.unavailable


def test_a_log_is_read_on_after_a_wait(requests_mock: Mocker, naps: list[float]) -> None:
    requests_mock.get(f"{API}/inspect/{ID}/build/log", [*busy("2"), {"content": b"log"}])
    assert b"".join(Client(URL).build_log(ID)) == b"log"
    assert naps == [2]


# -- whose they are ---------------------------------------------------------------------------------------------------


def test_the_list_says_whose_inspections_are_where_they_are_somebodys(requests_mock: Mocker) -> None:
    items = [{"inspection_id": ID, "phase": "queued", "owner": owner} for owner in ("alice\x1b[2J", None)]
    requests_mock.get(f"{API}/inspect", json={"inspections": [ID, ID], "items": items, "total": 2})
    heading, first, second = (line.split() for line in amun("list").stdout.splitlines() if line.strip(" ─"))
    assert [row[-1] for row in (heading, first, second)] == ["owner", "alice", "-"]
    requests_mock.get(f"{API}/inspect", json={"inspections": [ID], "items": items[1:], "total": 1})
    assert "owner" not in amun("list").stdout
