"""`dry_run` says what the submission says, whatever it is that is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_with_keys import DOCUMENT, Guarded

INSPECT = "/api/v1/inspect"

REFUSED: list[Any] = [
    None,
    [1],
    {"script": "true"},
    *(
        {**DOCUMENT, **more}
        for more in (
            {"base": "containers-storage:x"},
            {"base": "scratch"},
            {"base": "localhost/amun/environment:a"},
            {"batc_size": 1},
            {"script": "http://127.0.0.1:1/x"},
            {"script": "http://169.254.169.254/x"},
            {"script": "ftp://a/x"},
            {"script": "http://user:password@127.0.0.1/x"},
            {"script": "a\0"},
            {"identifier": "A_B"},
            {"files": [{"path": "/proc/x", "content": ""}]},
            {"python": {"requirements": {"packages": {}}}},
            {"python_packages": ["a @ https://user:pass\\word@example.org/x"]},
            {"batch_size": 1000, "warmup": 5},
        )
    ),
]

INFEASIBLE: list[dict[str, Any]] = [
    {"run": {"requests": {"cpu": "4000"}}},
    {"build": {"requests": {"memory": "900Ti"}}},
]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path / "guarded")
    yield made
    assert made.ask("root", "GET", INSPECT).json()["total"] == 0


@pytest.mark.parametrize("document", REFUSED, ids=lambda document: str(document)[-40:])
def test_it_refuses_what_the_submission_refuses_in_the_same_words(guarded: Guarded, document: Any) -> None:
    submitted, tried = (
        guarded.ask("root", "POST", INSPECT, json=document, params=query) for query in ({}, {"dry_run": "true"})
    )
    assert submitted.status_code == tried.status_code == 400
    assert submitted.json()["error"] == tried.json()["error"]
    assert submitted.json().get("details") == tried.json().get("details")


@pytest.mark.parametrize("more", INFEASIBLE, ids=str)
def test_it_says_why_nothing_here_can_serve_it(guarded: Guarded, more: dict[str, Any]) -> None:
    document = {**DOCUMENT, **more}
    submitted = guarded.ask("root", "POST", INSPECT, json=document)
    tried = guarded.ask("root", "POST", INSPECT, json=document, params={"dry_run": "true"})
    assert (submitted.status_code, tried.status_code) == (422, 200)
    assert (tried.json()["feasible"], tried.json()["message"]) == (False, submitted.json()["error"])
