"""However large or slow what a stranger sends is: answers stay small, and nobody else waits."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from amun.application import script_source
from amun.errors import InvalidSpecification
from amun.validation import problems as validation
from amun.validation.problems import problems
from amun.web import connexion_validation
from amun.web.script_fetching import EACH, THREADS
from tests.support.service_with_keys import DOCUMENT, Guarded

LARGE = 300 * 1024


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path)


def nested(depth: int, what: str = "[]") -> Any:
    return (
        json.loads(what[0] * depth + what[1] * depth)
        if what == "[]"
        else json.loads('{"a":' * depth + "0" + "}" * depth)
    )


def test_of_many_problems_the_first_hundred_are_named_and_the_rest_is_counted(guarded: Guarded) -> None:
    document = {**DOCUMENT, **{f"unknown{number:05}": 1 for number in range(30_000)}}
    answer = guarded.ask("alice", "POST", "/api/v1/inspect", json=document)
    told = answer.json()
    assert answer.status_code == 400
    assert [each["path"] for each in told["details"]] == [f"unknown{number:05}" for number in range(100)]
    assert told["details_omitted"] == 29_900
    assert "and 29980 more" in told["error"]
    assert told["parameters"] == {}
    assert len(answer.content) < 20_000


def test_where_all_are_named_nothing_is_omitted_and_the_document_comes_back(guarded: Guarded) -> None:
    document = {**DOCUMENT, **{f"unknown{number:05}": 1 for number in range(100)}}
    told = guarded.ask("alice", "POST", "/api/v1/inspect", json=document).json()
    assert len(told["details"]) == 100
    assert "details_omitted" not in told
    assert told["parameters"] == document


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"packages": ["!"] * 1001}, {"packages": "must have at most 1000 elements"}),
        ({"packages": ["!"] * 200_000}, {"packages": "must have at most 1000 elements"}),
        ({"files": [{"path": "a", "content": ""}] * 1001}, {"files": "must have at most 1000 elements"}),
        ({"environment": [{}] * 1001}, {"environment": "must have at most 1000 elements"}),
        ({"metrics": [{"path": "a"}] * 201}, {"metrics": "must have at most 200 elements"}),
        ({f"k{number}": 1 for number in range(100_000)}, {"": "must have at most 100000 values in all"}),
        ({"constraints": [[]] * 100_000}, {"": "must have at most 100000 values in all"}),
        ({"constraints": nested(65)}, {"constraints": "must not be nested deeper than 64 levels"}),
        ({"send_messages": nested(500, "{}")}, {"send_messages": "must not be nested deeper than 64 levels"}),
        ({"base": "a" * 100_000}, {"base": "must have at most 4096 characters"}),
        (
            {"python_packages": ["a; " + "'a' == 'a' and " * 200 + "'a' == 'a'"] * 100},
            {"python_packages": "must have at most 200000 characters of requirements or markers together"},
        ),
    ],
)
def test_of_what_is_too_much_that_alone_is_said(fields: dict[str, Any], expected: dict[str, str]) -> None:
    assert {each.path: each.message for each in problems({**DOCUMENT, **fields})} == expected


@pytest.mark.parametrize(
    "text", ["[" * 2000, "a[" * 2000, "a; " + "(" * 2000, "a @ https://[", "a; " + "(" * 2000 + "x"]
)
def test_brackets_in_brackets_are_no_requirement(guarded: Guarded, text: str) -> None:
    for field in ({"python_packages": [text]}, {"python": lock(markers=text)}):
        answer = guarded.ask("alice", "POST", "/api/v1/inspect", json={**DOCUMENT, **field})
        assert answer.status_code == 400
        (path,) = [each["path"] for each in answer.json()["details"]]
        assert path in ("python_packages[0]", "python.requirements_locked.default.a.markers")


def lock(**fields: Any) -> dict[str, Any]:
    package = {"version": "==1", "hashes": ["sha256:" + "0" * 64], **fields}
    return {"requirements": {"packages": {"a": "*"}}, "requirements_locked": {"default": {"a": package}}}


def test_a_lock_of_two_thousand_packages_is_taken() -> None:
    package = {
        "version": "==1",
        "hashes": [f"sha256:{number:064x}" for number in range(30)],
        "markers": "os_name == 'nt'",
    }
    locked = {"default": {f"package-{number}": package for number in range(2000)}}
    assert problems({**DOCUMENT, "python": {"requirements": {"packages": {}}, "requirements_locked": locked}}) == []


def test_paths_in_answers_are_short() -> None:
    value: Any = "\0"
    for _ in range(60):
        value = {"k" * 80: value}
    (problem,) = problems({**DOCUMENT, "constraints": value})
    assert len(problem.path) <= validation.PATH_MAX + 1


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * 100_000, b'{"base":' + b"9" * 5000 + b"}", b"\xff", b"{", b""]
)
def test_what_is_no_json_is_said_to_be_none(guarded: Guarded, body: bytes) -> None:
    for charset in ("", "; charset=utf-8", "; charset=punycode", "; charset=idna", "; charset=none"):
        headers = {"Content-Type": f"application/json{charset}"}
        answer = guarded.ask("alice", "POST", "/api/v1/inspect", content=body, headers=headers)
        assert answer.status_code == 400, charset
        assert len(answer.content) < 1000


@pytest.mark.parametrize(
    "path",
    [
        "//api/v1/inspect/inspection-0123456789abcdef",
        "///api/v1/version",
        f"/api/v1/inspect/inspection-0123456789abcdef/job/{'9' * 5000}/result",
        f"/api/v1/inspect/{'x' * 5000}/status",
        "/api/v1//version",
        "//",
        "//evil.example/api/v1/version",
        "/api/v1/inspect//",
        "/api//v1/inspect/inspection-0123456789abcdef/status",
        "/api/v1/inspect/inspection-0123456789abcdef/job/\u0663/log",
        "/api/v1/inspect/inspection-0123456789abcdef/job/1\n/log",
    ],
)
def test_a_path_that_only_some_routes_would_know_leads_nowhere(guarded: Guarded, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        key = [(b"authorization", f"Bearer {guarded.keys['root']}".encode())]
        answer = guarded.raw(path, key, method, raw_path=b"")
        assert answer.status in (404, 405), method
        assert set(json.loads(answer.body)) == {"error", "parameters"}


def test_what_is_sent_back_of_a_long_request_is_short(guarded: Guarded) -> None:
    for path in ("/api/v1/inspect/" + "a" * 100_000, "/api/v1/inspect?phase=" + "a" * 100_000, "/" + "a" * 100_000):
        answer = guarded.raw(path.partition("?")[0], query_string=path.partition("?")[2].encode())
        assert len(answer.body) < 1000


# -- nobody else waits ------------------------------------------------------------------------------------------------


def together(guarded: Guarded, work: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Do something with the service as a client that asks several things at once."""

    async def run() -> None:
        headers = {"Authorization": f"Bearer {guarded.keys['alice']}"}
        transport = httpx.ASGITransport(guarded.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            await asyncio.wait_for(work(client), 60)

    asyncio.run(run())


@pytest.mark.parametrize("size", [connexion_validation.SMALL, LARGE])
def test_while_a_document_is_checked_others_are_answered(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    answered = threading.Event()

    def slow(document: Any, name: str) -> Any:
        assert answered.wait(30), "the event loop is held up"
        return problems(document, name)

    monkeypatch.setattr(connexion_validation, "problems", slow)

    async def work(client: httpx.AsyncClient) -> None:
        document = {**DOCUMENT, "constraints": "x" * size}
        posted = [asyncio.create_task(client.post("/api/v1/inspect", json=document)) for _ in range(20)]
        for _ in range(5):
            assert (await client.get("/api/v1/inspect")).status_code == 200
        answered.set()
        assert [each.status_code for each in await asyncio.gather(*posted)] == [202] * 20

    together(guarded, work)


def test_ordinary_documents_do_not_wait_for_large_ones(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def slow(document: Any, name: str) -> Any:
        assert len(document["constraints"]) < LARGE or answered.wait(30), "the ordinary one waits"
        return problems(document, name)

    monkeypatch.setattr(connexion_validation, "problems", slow)

    async def work(client: httpx.AsyncClient) -> None:
        def post(size: int) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(client.post("/api/v1/inspect", json={**DOCUMENT, "constraints": "x" * size}))

        large = [post(LARGE) for _ in range(20)]
        assert (await post(2 * connexion_validation.SMALL)).status_code == 202
        answered.set()
        assert {each.status_code for each in await asyncio.gather(*large)} == {202}

    together(guarded, work)


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_however_many_scripts_are_slow_others_are_answered(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    answered = threading.Event()
    lock, now, most = threading.Lock(), [0], [0]

    def slow(text: str, _settings: object) -> bytes:
        if text == DOCUMENT["script"]:
            return b"true"
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        assert answered.wait(30), "nobody else is answered"
        with lock:
            now[0] -= 1
        return b"true"

    monkeypatch.setattr(script_source, "read", slow)
    monkeypatch.setattr(script_source, "check", slow)

    async def work(client: httpx.AsyncClient) -> None:
        document = {**DOCUMENT, "script": "http://slow.example/x"}
        posted = [asyncio.create_task(client.post(f"/api/v1/inspect{query}", json=document)) for _ in range(60)]
        await asyncio.sleep(0.1)
        others = {"Authorization": f"Bearer {guarded.keys['bob']}"}
        assert (await client.get("/api/v1/inspect")).status_code == 200
        assert (await client.post("/api/v1/inspect", json=DOCUMENT)).status_code == 202
        bobs = asyncio.create_task(client.post(f"/api/v1/inspect{query}", json=document, headers=others))
        while most[0] < EACH + 1:
            await asyncio.sleep(0.01)
        answered.set()
        assert {each.status_code for each in await asyncio.gather(bobs, *posted)} == {200 if query else 202}
        assert most[0] == EACH + 1 < THREADS

    together(guarded, work)


def test_a_script_that_cannot_be_fetched_is_refused_as_ever(guarded: Guarded) -> None:
    for text in ("http://127.0.0.1/x", "ftp://example.org/x"):
        told = guarded.ask("alice", "POST", "/api/v1/inspect", json={**DOCUMENT, "script": text})
        assert told.status_code == 400
        assert [each["path"] for each in told.json()["details"]] == ["script"]
        with pytest.raises(InvalidSpecification):
            script_source.read(text, guarded.settings)
