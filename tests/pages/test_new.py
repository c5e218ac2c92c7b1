"""The editor of a specification, and signing in, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Tab
from .scripted import ScriptedEngine, Served, keys, scene

pytestmark = pytest.mark.slow


def document(page: Any) -> Any:
    return json.loads(page.locator("#document").input_value())


def test_fields_and_document_say_the_same_whichever_is_changed(served: Served, tab: Callable[..., Tab]) -> None:
    page = tab(served.url).open("/new?example=c-program")
    assert page.get_by_label("Packages", exact=True).input_value() == "gcc\nlibc6-dev"
    page.get_by_label("Base image").fill("debian:12")
    page.get_by_label("Packages", exact=True).fill("gcc\n\n make \n")
    page.get_by_label("Items").fill("20")
    page.get_by_label("Warm-up").fill("2")
    page.get_by_label("CPU").fill("")
    page.get_by_label("Memory").fill("")
    found = document(page)
    assert (found["base"], found["packages"], found["batch_size"], found["warmup"]) == (
        "debian:12",
        ["gcc", "make"],
        20,
        2,
    )
    assert "run" not in found
    page.locator("#document").fill('{"base": "alpine", "run": {"requests": {"cpu": "2"}}, "warmup": 3}')
    assert page.get_by_label("Base image").input_value() == "alpine"
    assert page.get_by_label("CPU").input_value() == "2"
    assert page.get_by_label("Warm-up").input_value() == "3"
    page.locator("#document").fill("{")
    assert "This is no JSON" in page.locator("#e-document").inner_text()


def test_what_is_wrong_is_said_beside_the_field_it_is_in(served: Served, tab: Callable[..., Tab]) -> None:
    page = tab(served.url).open("/new")
    wrong = {
        "base": "de bian",
        "python_packages": ["numpy", "=="],
        "batch_size": 0,
        "batc_size": 1,
        "run": {"requests": {"memory": "much"}},
        "files": [{"path": "..", "content": ""}],
    }
    page.locator("#document").fill(json.dumps(wrong))
    page.get_by_role("button", name="Check").click()
    page.locator("#e-memory").wait_for()
    for name, says in (
        ("base", "image reference"),
        ("python", "python_packages[1]"),
        ("batch", "from 1 to 1000"),
        ("memory", "quantity"),
    ):
        assert says in page.locator(f"#e-{name}").inner_text()
        assert page.locator(f"#f-{name}").get_attribute("aria-invalid") == "true"
        assert f"e-{name}" in page.locator(f"#f-{name}").get_attribute("aria-describedby")
    others = page.locator("#others").inner_text()
    assert "did you mean" in others
    assert "files[0].path" in others
    assert page.evaluate("document.activeElement.id") == "f-base"
    assert page.get_by_role("button", name="Submit").is_disabled()
    page.get_by_label("Memory").fill("1Gi")
    assert page.locator("#e-memory").is_hidden()


def test_a_dry_run_comes_first_and_whatever_is_changed_after_it_is_checked_again(
    served: Served, engine: ScriptedEngine, tab: Callable[..., Tab]
) -> None:
    before = set(engine.scenes)
    page = tab(served.url).open("/new")
    submit = page.get_by_role("button", name="Submit")
    assert submit.is_disabled()
    page.get_by_label("Base image").fill("alpine:3")
    page.get_by_label("Identifier").fill("by-hand")
    page.get_by_role("button", name="Check").click()
    page.get_by_text("The environment will be built").wait_for()
    assert set(engine.scenes) == before
    page.get_by_label("Items").fill("3")
    assert submit.is_disabled()
    page.get_by_role("button", name="Check").click()
    page.locator("#submit:not([disabled])").wait_for()
    page.keyboard.press("Enter")  # the focus is on it
    page.wait_for_url("**/inspections/inspection-by-hand-*")
    (made,) = set(engine.scenes) - before
    assert engine.scenes[made].observation.inspection.specification.batch_size == 3
    assert page.locator("#standing .queued").count() == 1
    page.get_by_role("link", name="Submit again").click()
    assert document(page)["identifier"] == "by-hand"
    assert document(page)["batch_size"] == 3


def test_hardware_that_there_is_not_is_said_by_the_dry_run(served: Served, tab: Callable[..., Tab]) -> None:
    page = tab(served.url).open("/new")
    page.locator("#document").fill('{"base": "debian:12", "script": "true", "run": {"requests": {"cpu": "64"}}}')
    page.get_by_role("button", name="Check").click()
    page.locator("#said", has_text="64").wait_for()
    assert page.get_by_role("button", name="Submit").is_disabled()


def test_a_person_signs_in_with_a_token_sees_what_it_may_see_and_signs_out(
    tab: Callable[..., Tab], tmp_path: Path
) -> None:
    from dataclasses import replace

    known = keys(tmp_path / "keys", "alice", "bob")
    scenes = [scene(1, "hers", "running"), scene(2, "his")]
    for each, owner in zip(scenes, ("alice", "bob"), strict=True):
        each.observation = replace(each.observation, inspection=replace(each.observation.inspection, owner=owner))
    engine = ScriptedEngine(scenes)
    with Served(engine, auth="keys", api_keys=tmp_path / "keys", state_dir=tmp_path / "state") as guarded:
        opened = tab(guarded.url)
        page = opened.open(f"/inspections/{scenes[0].id}")
        page.wait_for_url("**/sign-in?next=*")
        page.get_by_label("Token").fill("amun_wrong")
        page.get_by_role("button", name="Sign in").click()
        assert "not known here" in page.get_by_role("alert").inner_text()
        page.get_by_label("Token").fill(known["alice"])
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/inspections/{scenes[0].id}")
        page.get_by_text("hello from item 0").wait_for()  # scripts of the page are known, too
        assert page.evaluate("document.cookie") == ""
        (cookie,) = opened.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["expires"]) == (True, "Strict", -1)
        page.get_by_role("button", name="Cancel").click()
        page.locator("#standing .cancelled").wait_for()
        page.get_by_role("link", name="Amun").click()
        assert page.locator("tbody tr").count() == 1
        assert opened.open(f"/inspections/{scenes[1].id}").get_by_text("There is no inspection").count() == 1
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        opened.open("/")
        page.wait_for_url("**/sign-in?next=*")


def test_a_page_from_elsewhere_gets_nothing_out_of_a_visitors_cookie(tab: Callable[..., Tab], tmp_path: Path) -> None:
    """Another service on the same host shares its cookies, so that only what the browser says of the origin helps."""
    from dataclasses import replace

    known = keys(tmp_path / "keys", "alice")
    made = scene(1, "hers", "running")
    made.observation = replace(made.observation, inspection=replace(made.observation.inspection, owner="alice"))
    engine = ScriptedEngine([made])
    given: dict[str, Any] = {"auth": "keys", "api_keys": tmp_path / "keys", "state_dir": tmp_path / "state"}
    with Served(engine, **given) as guarded, Served(ScriptedEngine(), auth="none") as elsewhere:
        opened = tab(guarded.url)
        page = opened.open("/sign-in")
        page.get_by_label("Token").fill(known["alice"])
        page.keyboard.press("Enter")
        page.wait_for_url(guarded.url + "/")
        page.route(
            f"{elsewhere.url}/evil", lambda route: route.fulfill(content_type="text/html", body="<title>x</title>")
        )
        page.goto(f"{elsewhere.url}/evil")
        page.evaluate(
            """async ([url, id]) => {
              const sent = {mode: "no-cors", credentials: "include"};
              const go = (path, options) => fetch(url + path, {...sent, ...options}).catch(() => {});
              await go(`/api/v1/inspect/${id}/cancel`, {method: "POST"});
              await go("/api/v1/inspect", {method: "POST", body: '{"base": "debian:12"}'});
              await go("/sign-out", {method: "POST"});
            }""",
            [guarded.url, made.id],
        )
        assert made.observation.cancelled_at is None
        assert len(engine.scenes) == 1
        assert len(opened.context.cookies()) == 1
        opened.wrong.clear()  # that it asked another origin is what it is about
