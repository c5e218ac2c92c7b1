"""Passwords in URLs: nobody is shown them, and the build has them until it has ended."""

from __future__ import annotations

import json
import netrc
import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.environments import logins
from amun.errors import InvalidSpecification
from amun.model.login import Login
from amun.validation.problems import json_path
from tests.support.service_with_keys import DOCUMENT, Guarded

SHA = "sha256:" + "0" * 64
SECRET = "s3cr3t-Pass%w0rd"


def locked(url: str, **more: Any) -> dict[str, Any]:
    sources = [{"name": "own", "url": url, "verify_ssl": True}]
    package = {"version": "==1", "hashes": [SHA], "index": "own"}
    return {
        "requirements": {"source": sources, "packages": {"a": "*", **more}},
        "requirements_locked": {"_meta": {"sources": sources}, "default": {"a": package}},
    }


WITH = quote(SECRET, safe="")
PLACES: dict[str, dict[str, Any]] = {
    "pep508": {"python_packages": [f"a @ https://user:{WITH}@host.example/a.whl"]},
    "vcs": {"python_packages": [f"a @ git+https://user:{WITH}@host.example/a.git@main ; os_name == 'posix'"]},
    "token": {"python_packages": [f"a @ git+https://{WITH}@host.example/a.git"]},
    "source": {"python": locked(f"https://user:{WITH}@host.example:8443/simple")},
    "entry": {"python": locked("https://host.example/", b={"git": f"https://user:{WITH}@host.example/b.git"})},
    "file": {"python": locked("https://host.example/", b={"file": f"HTTPS://u%40corp:{WITH}@HOST.example/b.tgz"})},
}


@pytest.mark.parametrize("fields", PLACES.values(), ids=PLACES)
def test_a_password_is_in_no_answer_and_in_one_place_of_the_state_only(tmp_path: Path, fields: dict[str, Any]) -> None:
    guarded = Guarded(tmp_path)
    document = {**DOCUMENT, **fields}
    answers = [
        guarded.ask("alice", "POST", "/api/v1/inspect", json=document),
        guarded.ask("alice", "POST", "/api/v1/inspect?dry_run=true", json=document),
        guarded.ask("alice", "POST", "/api/v1/_debug/generate-dockerfile", json=document),
        guarded.ask("alice", "POST", "/api/v1/inspect", json={**document, "unknown": 1, "packages": ["!"]}),
    ]
    assert [answer.status_code for answer in answers] == [202, 200, 200, 400]
    made = answers[0].json()["inspection_id"]
    paths = ("", f"/{made}", f"/{made}/specification")
    answers += [guarded.ask("alice", "GET", f"/api/v1/inspect{path}") for path in paths]
    answers.append(guarded.ask("alice", "GET", f"/inspections/{made}"))
    for answer in answers:
        assert SECRET not in answer.text
        assert WITH not in answer.text
    assert "host.example" in answers[-2].text.lower()

    holding = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and holds(path)]
    assert {path.parent.name for path in holding} == {"logins"}
    for path in holding:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def holds(path: Path) -> bool:
    content = path.read_bytes().decode(errors="replace")
    return SECRET in content or WITH in content


def test_an_environment_with_a_password_is_its_owners(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)

    def environment(who: str, fields: dict[str, Any]) -> str:
        answer = guarded.ask(who, "POST", "/api/v1/inspect?dry_run=true", json={**DOCUMENT, **fields})
        digest: str = answer.json()["environment"]
        return digest

    private, public = PLACES["pep508"], {"python_packages": ["a @ https://host.example/a.whl"]}
    assert environment("alice", private) == environment("alice", private)
    assert len({environment(who, private) for who in ("alice", "bob")} | {environment("alice", public)}) == 3
    assert environment("alice", public) == environment("bob", public)


def test_a_script_at_a_url_with_a_password_is_fetched_with_it_and_kept_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Guarded(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr("amun.application.script_source.read", lambda text, _settings: asked.append(text) or b"true")
    url = f"https://user:{WITH}@host.example/x"
    made = guarded.submit("alice", script=url)
    assert asked == [url]
    kept = guarded.ask("alice", "GET", f"/api/v1/inspect/{made}/specification").json()["specification"]
    assert kept["script"] == "https://host.example/x"


def refused(document: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidSpecification) as caught:
        logins.split(document, json_path)
    return [problem.path for problem in caught.value.details]


def test_one_host_is_asked_with_one_user_and_password() -> None:
    same = [f"a{number} @ https://u:p@host.example:{number}/x" for number in (1, 2)]
    kept, found = logins.split({"python_packages": same}, json_path)
    assert (kept["python_packages"][1], found) == ("a2 @ https://host.example:2/x", (Login("host.example", "u", "p"),))
    others = ["a @ https://u:p@host.example/x", "b @ https://u:q@HOST.example:1/x", "c @ https://u:p@other.example/x"]
    assert refused({"python_packages": others}) == ["python_packages[1]"]
    assert refused({"python_packages": others[:1], "python": locked("https://v:p@host.example/")}) == [
        "python.requirements.source[0].url",
        "python.requirements_locked._meta.sources[0].url",
    ]


@pytest.mark.parametrize("password", ["a%20b", "a%22b", "a%27b", "a%5Cb", "a%0Ab", "%23a", "%C3%A9", "%00"])
def test_what_a_netrc_file_cannot_hold_is_refused(password: str) -> None:
    assert refused({"python_packages": [f"a @ https://u:{password}@h.example/"]}) == ["python_packages[0]"]
    assert refused({"python_packages": [f"a @ https://{password}:p@h.example/"]}) == ["python_packages[0]"]
    assert refused({"python_packages": ["a @ https://:p@h.example/"]}) == ["python_packages[0]"]
    assert refused({"python_packages": [r"a @ https://u:\p@h.example/"]}) == ["python_packages[0]"]
    assert refused({"python_packages": [r"a @ https://u\x:p@h.example/"]}) == ["python_packages[0]"]


@pytest.mark.parametrize(
    "text", ["a @ https://h.example/x@y", "a @ https://@h.example/", "a @ git+ssh://git@h.example/x", "a", "a @ x"]
)
def test_what_is_asked_without_a_password_has_none(text: str) -> None:
    kept, found = logins.split({"python_packages": [text], "files": [{"content": "https://u:p@h.example/"}]}, json_path)
    assert found == ()
    assert kept["python_packages"] == [text.replace("https://@", "https://")]
    assert kept["files"] == [{"content": "https://u:p@h.example/"}]  # a file arrives as it was sent


FIT = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'\\"), min_size=1).filter(
    lambda text: not text.startswith("#")
)


@given(FIT, FIT)
def test_a_netrc_file_says_what_was_split_off(tmp_path_factory: Any, user: str, password: str) -> None:
    url = f"https://{quote(user, safe='')}:{quote(password, safe='')}@host.example/x"
    kept, found = logins.split({"python_packages": [f"a @ {url}"]}, json_path)
    assert kept == {"python_packages": ["a @ https://host.example/x"]}
    file = tmp_path_factory.mktemp("netrc") / "netrc"
    file.write_text(logins.netrc(found))
    assert netrc.netrc(str(file)).authenticators("host.example") == (user, "", password)


def test_echoes_are_hidden_wherever_they_are(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    for fields in (
        {"base": f"https://u:{WITH}@h/x"},
        {"packages": [f"https://u:{WITH}@h/x"]},
        {f"https://u:{WITH}@h": 1},
    ):
        answer = guarded.ask("alice", "POST", "/api/v1/inspect", json={**DOCUMENT, **fields})
        assert answer.status_code == 400
        assert WITH not in json.dumps(answer.json())


def test_the_state_is_nobody_elses_to_read(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    made = guarded.submit("alice", environment=[{"name": "A", "value": "b"}])
    state = tmp_path / "state"
    for directory, _, names in os.walk(state):
        for path in (directory, *(os.path.join(directory, name) for name in names)):
            os.chmod(path, os.stat(path).st_mode | 0o044 | (0o011 if os.path.isdir(path) else 0))
    from amun.engines.podman.state import files

    files.tighten(state)
    mount, asked_with = state / "inspections" / made / "mount", state / "build-environment"
    for path in [state, *state.rglob("*")]:
        shared = {mount, asked_with} & {path, path.parent}  # users of runs and builds read there
        assert shared or not path.stat().st_mode & 0o077, path
    assert mount.stat().st_mode & 0o055 == 0o055


@pytest.mark.parametrize(
    "text",
    [
        "a @ https://u:{}@h/x", "a @ HTTPS://{}@h", "git+ssh://u:{}@h", "ftp://u:{}@h/x", "https:/u:{}@h", "ssh:///u:{}@h",
        "https://u:a/{}@h/x", "https://u:{}/@h@x", r"https://u:\\{}@h/x", r"https://u:a\"{}@h/x",
        "u:{}@host/x", "u:{}@host.example:5000/x/y:1", "x@ssh://u:{}@h/ bad", "https://u:\N{SNOWMAN}{}@h/x",
    ],
)  # fmt: skip
def test_no_refusal_repeats_a_password(text: str) -> None:
    said = logins.hidden(json.dumps({"base": text.format(WITH), "more": ["x"]}))
    assert WITH not in said
    assert json.loads(said)["more"] == ["x"]


@pytest.mark.parametrize(
    "text",
    [
        "debian:12@sha256:0123", "host.example:5000/a/b:1@sha256:0123", "git+https://h.example/x@v1", "a:b", "a@b",
        "https://h.example:8443/x@y", "https://h.example/a:b@c", "echo user:name@host/x", "git@github.com:a/b",
    ],
)  # fmt: skip
def test_what_is_no_password_is_repeated(text: str) -> None:
    assert json.loads(logins.hidden(json.dumps([text, {text: text}]))) == [text, {text: text}]


@given(st.recursive(st.text('a:/@\\"# 1\u2603', max_size=40), st.lists))
def test_what_is_hidden_leaves_json(value: Any) -> None:
    json.loads(logins.hidden(json.dumps(value)))


def test_what_is_kept_for_an_idempotency_key_tells_nothing_of_a_password(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    made = {
        guarded.ask(
            "alice", "POST", "/api/v1/inspect", headers={"Idempotency-Key": "k"},
            json={**DOCUMENT, "python_packages": [f"a @ https://user:{password}@host.example/a.whl"]},
        ).json()["inspection_id"]
        for password in ("one", "two")
    }  # fmt: skip
    assert len(made) == 1
