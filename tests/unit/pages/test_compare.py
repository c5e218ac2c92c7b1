"""The page that compares: what it asks the API, and what it says where there is no answer."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from amun.composition import create_app
from amun.pages import words
from amun.settings import Settings
from tests.pages.scripted import HWINFO, Scene, ScriptedEngine, report, scene

pytestmark = pytest.mark.slow


def reports(factor: float, model: int = 85, count: int = 8, disturbed: int = 0) -> list[dict[str, Any]]:
    made = []
    for item in range(count):
        value = factor * (1 + item / 100)
        hwinfo = {**HWINFO, "cpu_info": {**HWINFO["cpu_info"], "model": model}}
        quality = "disturbed" if item < disturbed else "clean"
        made.append(report({"elapsed_s": value}, value, hwinfo=hwinfo, quality=quality))
    return made


def scenes() -> list[Scene]:
    declared = {"metrics": [{"path": "elapsed_s", "better": "lower"}]}
    return [
        scene(5, "waits", "queued"),
        scene(4, "elsewhere", reports=reports(1.0, model=1), **declared),
        scene(3, "disturbed", reports=reports(1.0, disturbed=3), **declared),
        scene(2, "slow", reports=reports(2.0), python_packages=["numpy==2.4.6"], **declared),
        scene(1, "fast", reports=reports(1.0), **declared),
    ]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = Settings(state_dir=tmp_path_factory.mktemp("state"), engine="podman", auth="none", log_level="CRITICAL")
    return create_app(settings, ScriptedEngine(scenes())).test_client(
        base_url="http://localhost", follow_redirects=False
    )


def names(*identifiers: str) -> list[str]:
    return [each.id for wanted in identifiers for each in scenes() if f"-{wanted}-" in each.id]


def address(*identifiers: str, **more: str) -> str:
    asked = [
        *(f"inspection={name}" for name in names(*identifiers)),
        *(f"{key}={value}" for key, value in more.items()),
    ]
    return f"/compare?{'&'.join(asked)}"


def text(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html.partition("<main")[2])))


def test_the_verdict_is_that_of_the_api(client: Any) -> None:
    page = client.get(address("fast", "slow"))
    asked = client.post("/api/v1/compare", json={"inspections": names("fast", "slow")}).json()
    assert page.status_code == 200
    assert asked["verdict"] in text(page.text)
    assert "Comparison by elapsed_s" in text(page.text)
    for differing in ("numpy", "python_packages"):
        assert differing in text(page.text)
    (plot,) = (json.loads(unescape(found)) for found in re.findall(r'data-plot="([^"]+)"', page.text))
    assert [(group["label"], len(group["values"])) for group in plot["groups"]] == [("A", 8), ("B", 8)]


def test_the_same_one_twice_is_one(client: Any) -> None:
    assert "Pick two to ten" in client.get(address("fast", "fast")).text
    assert client.get(address("fast", "fast", "slow")).status_code == 200


def test_unlike_hardware_is_refused_with_what_differs_and_a_way_to_go_on(client: Any) -> None:
    page = client.get(address("fast", "elsewhere"))
    assert page.status_code == 422
    assert "cpu_info.model" in page.text
    (onwards,) = re.findall(r'href="([^"]+allow_unlike=true)"', page.text)
    page = client.get(unescape(onwards))
    assert page.status_code == 200
    assert "The hardware is not alike" in page.text
    assert "cpu_info.model" in page.text


def test_disturbed_runs_are_left_out_where_that_is_asked_for(client: Any) -> None:
    whole, clean = (client.get(address("fast", "disturbed", **more)) for more in ({}, {"clean": "true"}))
    assert "8 of 8 runs counted, 3 disturbed" in text(whole.text)
    assert "5 of 8 runs counted, 3 disturbed (3 left out)" in text(clean.text)
    assert 'value="true" checked' in clean.text


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (address("fast", "waits"), 409, "waits"),
        (address("fast") + "&inspection=inspection-0123456789abcdef", 404, "There is no inspection"),
        (address("fast") + "&inspection=%3Cb%3E", 404, "There is no inspection"),
        ("/compare?" + "&".join(f"inspection=inspection-{number:016x}" for number in range(11)), 400, ""),
    ],
)
def test_what_cannot_be_compared_is_said(client: Any, path: str, status: int, says: str) -> None:
    page = client.get(path)
    assert page.status_code in ((status, 400) if "%3C" in path else (status,))
    assert says in page.text
    assert "<b>" not in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("item", "state"),
    [
        ({"state": "waiting"}, ("pending", "waiting")),
        ({"state": "running"}, ("running", "running")),
        ({"state": "terminated", "exit_code": 0}, ("succeeded", "succeeded")),
        ({"state": "terminated", "exit_code": 0, "outcome": "error"}, ("error", "error")),
        ({"state": "terminated", "exit_code": None}, ("failed", "failed")),
        ({"state": "terminated", "reason": "NotStarted"}, ("cancelled", "not started")),
        ({"state": "terminated", "reason": "Cancelled", "outcome": "error"}, ("cancelled", "cancelled")),
    ],
)
def test_where_an_item_stands(item: dict[str, Any], state: tuple[str, str]) -> None:
    assert words.state(item) == state
