"""How it is decided whether callers are asked, and that the service does not start where it is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from typer.testing import CliRunner

from amun.auth import configuration
from amun.auth.api_keys import KeyFile, new_key
from amun.auth.configuration import Undecided
from amun.cli import app
from amun.processes.supervisor import environment
from amun.settings import Settings
from tests.conftest import ROOT
from tests.support.service_with_keys import Guarded

OPEN = "0.0.0.0"


@pytest.fixture(autouse=True)
def _nowhere_near_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "KUBECONFIG", "AMUN_AUTH", "AMUN_API_KEYS", "AMUN_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{new_key('alice')[1]}\n")
    return path


def decided(**given: Any) -> str:
    try:
        return configuration.mode(Settings(**given))
    except Undecided:
        return "refused"


IN_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
KUBECONFIG = {"KUBECONFIG": "/kubeconfig"}


@pytest.mark.parametrize(
    ("given", "around", "expected"),
    [
        ({}, {}, "none"),
        ({}, IN_CLUSTER, "none"),
        ({"host": "::1"}, {}, "none"),
        ({"host": "[::1]"}, {}, "none"),
        ({"host": "localhost"}, {}, "none"),
        ({"host": "127.1.2.3"}, {}, "none"),
        ({"host": OPEN}, {}, "refused"),
        ({"host": ""}, {}, "refused"),
        ({"host": "::"}, {}, "refused"),
        ({"host": "127.1"}, {}, "refused"),
        ({"host": "192.168.0.1"}, {}, "refused"),
        ({"host": "localhost.example.org"}, {}, "refused"),
        ({"host": "::ffff:192.0.2.1"}, {}, "refused"),
        ({"host": OPEN, "auth": "none"}, {}, "none"),
        ({"host": OPEN, "auth": "none"}, IN_CLUSTER, "none"),
        ({"host": OPEN, "api_keys": "/keys"}, {}, "keys"),
        ({"host": OPEN, "api_keys": "/keys"}, IN_CLUSTER, "token"),
        ({"host": OPEN, "api_keys": "/keys", "engine": "podman"}, IN_CLUSTER, "keys"),
        ({"host": OPEN, "engine": "podman"}, IN_CLUSTER, "refused"),
        ({"host": OPEN}, IN_CLUSTER, "token"),
        ({"host": OPEN}, KUBECONFIG, "token"),
        ({"host": OPEN, "kubeconfig": "/kubeconfig"}, {}, "token"),
        ({"host": OPEN, "kube_context": "here"}, {}, "token"),
        ({"host": OPEN, "engine": "openshift"}, {}, "token"),
        ({"host": OPEN, "engine": "openshift", "auth": "keys"}, {}, "keys"),
        ({"api_keys": "/keys"}, {}, "none"),
        ({"auth": "keys"}, {}, "keys"),
        ({"auth": "token"}, {}, "token"),
        ({"auth": "basic"}, {}, "refused"),
        ({"auth": ""}, {}, "refused"),
        ({"auth": "None"}, {}, "refused"),
    ],
)
def test_callers_are_asked_wherever_others_can_reach_the_service(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], around: dict[str, str], expected: str
) -> None:
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    assert decided(**given) == expected


def test_the_refusal_says_in_one_sentence_what_to_set() -> None:
    with pytest.raises(Undecided) as raised:
        configuration.mode(Settings(host=OPEN))
    sentence = str(raised.value)
    assert sentence.startswith("AMUN_HOST is 0.0.0.0, which others can reach")
    for name in ("AMUN_API_KEYS", "amun key", "AMUN_AUTH", "token", "AMUN_AUTH=none"):
        assert name in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"auth": "basic"}, "AMUN_AUTH is 'basic'; there are: auto, none, token, keys."),
        ({"auth": "keys"}, "AMUN_AUTH is keys: set AMUN_API_KEYS"),
        ({"auth": "keys", "api_keys": "/none"}, "AMUN_API_KEYS cannot be used: /none cannot be read: No such file"),
        ({"auth": "token", "auth_access": "all"}, "AMUN_AUTH_ACCESS cannot be used: 'all' is not a verb"),
        ({"auth": "token", "auth_access": ""}, "AMUN_AUTH_ACCESS cannot be used"),
        ({"auth": "token", "auth_admin_access": "x"}, "AMUN_AUTH_ADMIN_ACCESS cannot be used"),
    ],
)
def test_what_is_set_wrongly_is_named(given: dict[str, Any], message: str) -> None:
    for ask in (configuration.check, configuration.reviewer):
        with pytest.raises(Undecided) as raised:
            ask(Settings(**given))
        assert message in str(raised.value)


def test_nobody_being_asked_is_logged_where_it_was_said_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    log = mock.Mock()
    monkeypatch.setattr(configuration, "logger", log)
    assert configuration.reviewer(Settings()) is None
    assert log.mock_calls == []
    assert configuration.reviewer(Settings(auth="none", host=OPEN)) is None
    log.warning.assert_called_once_with("nobody is asked who they are (AMUN_AUTH=none)", host=OPEN)


def test_keys_are_what_reviews_where_there_are_keys(keys: Path) -> None:
    assert isinstance(configuration.reviewer(Settings(host=OPEN, api_keys=keys)), KeyFile)


def test_names_that_see_all_are_given_with_commas_between(tmp_path: Path) -> None:
    key, entry = new_key("alice")
    (tmp_path / "keys").write_text(str(entry))
    reviewer = configuration.reviewer(Settings(auth="keys", api_keys=tmp_path / "keys", auth_admins="bob, alice,"))
    assert reviewer is not None
    assert reviewer.review(key).admin


# -- the parts that are started ---------------------------------------------------------------------------------------


def test_amun_serve_says_so_and_starts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMUN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("amun.processes.supervisor.serve", pytest.fail)
    result = CliRunner().invoke(app, ["serve", "--host", OPEN], env={"COLUMNS": "1000"})
    assert result.exit_code == 2
    assert "AMUN_HOST is 0.0.0.0, which others can reach" in result.stderr
    assert not (tmp_path / "state").exists()


def gunicorn(tmp_path: Path, *options: str, **settings: object) -> subprocess.CompletedProcess[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"state_dir": tmp_path / "state", "port": port, "engine": "podman", **settings}
    variables = {f"AMUN_{name.upper()}": str(value) for name, value in given.items()}
    options = tuple(option.replace("PORT", str(port)) for option in options)
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:amun.web.gunicorn_conf",
        *options,
        "app:application",
    ]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False
    )


def test_gunicorn_by_itself_does_not_start_either(tmp_path: Path) -> None:
    ended = gunicorn(tmp_path, host=OPEN)
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[-1].startswith("AMUN_HOST is 0.0.0.0, which others can reach")
    assert "Booting worker" not in ended.stderr


def test_gunicorn_listening_elsewhere_than_it_was_decided_by_does_not_start(tmp_path: Path) -> None:
    ended = gunicorn(tmp_path, "--bind", "127.0.0.1:PORT", "--bind", "0.0.0.0:0")
    assert ended.returncode != 0
    assert ended.stderr.splitlines()[-1] == (
        "AMUN_HOST is 127.0.0.1, but the API listens on 0.0.0.0: set AMUN_HOST to that."
    )
    assert "Booting worker" not in ended.stderr


def test_listening_elsewhere_is_fine_where_callers_are_asked_or_that_was_said_aloud() -> None:
    for given in ({"auth": "keys"}, {"auth": "token"}, {"auth": "none"}):
        configuration.check_listening(Settings(**given), [OPEN])
    configuration.check_listening(Settings(), ["127.0.0.1", "::1"])
    configuration.check_listening(Settings(), [])


def test_settings_that_are_not_set_are_not_passed_on_as_something(tmp_path: Path, monkeypatch: Any) -> None:
    passed = environment(Settings(state_dir=tmp_path))
    assert "AMUN_API_KEYS" not in passed
    assert "AMUN_REQUEST_RATE" not in passed
    given = {name.removeprefix("AMUN_").lower(): value for name, value in passed.items() if name.startswith("AMUN_")}
    assert Settings(**given) == Settings(state_dir=tmp_path)
    monkeypatch.setenv("AMUN_API_KEYS", "")
    assert Settings().api_keys is None


# -- pages from elsewhere ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "site", "status"),
    [
        ("POST", "/api/v1/inspect/inspection-0123456789abcdef/cancel", "cross-site", 403),
        ("POST", "/api/v1/inspect/inspection-0123456789abcdef/cancel", "same-site", 403),
        ("DELETE", "/api/v1/inspect/inspection-0123456789abcdef", "cross-site", 403),
        ("POST", "/api/v1/inspect/inspection-0123456789abcdef/cancel", "same-origin", 404),
        ("POST", "/api/v1/inspect/inspection-0123456789abcdef/cancel", "none", 404),
        ("GET", "/api/v1/version", "cross-site", 200),
        ("GET", "/", "cross-site", 200),
    ],
)
def test_where_nobody_is_asked_no_page_from_elsewhere_acts_by_the_browser_of_this_machine(
    tmp_path: Path, method: str, path: str, site: str, status: int
) -> None:
    guarded = Guarded(tmp_path, auth="auto")
    assert guarded.ask(None, method, path, headers={"Sec-Fetch-Site": site}).status_code == status


def test_where_callers_are_asked_their_credential_is_what_counts(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    made = guarded.submit("alice")
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert guarded.ask("alice", "DELETE", f"/api/v1/inspect/{made}", headers=headers).status_code == 202
