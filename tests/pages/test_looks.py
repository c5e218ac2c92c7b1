"""Every page in a real browser: contrast and names (axe), phone width, weight on the wire, keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import wait_until

from .conftest import Tab, batch
from .scripted import ScriptedEngine, Served, keys, scene

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = pytest.mark.slow

WEIGHT = 200_000
"""Bytes that a page may weigh on the wire, with all that comes with it."""


def name(number: int, identifier: str | None = None) -> str:
    return "inspection-" + (f"{identifier}-" if identifier else "") + f"{number:016x}"


PATHS = {
    "list": "/",
    "filtered to nothing": "/?identifier=nobody",
    "succeeded": f"/inspections/{name(8, 'numpy-2')}",
    "running": f"/inspections/{name(6, 'going')}",
    "build failed": f"/inspections/{name(5, 'broken')}",
    "queued": f"/inspections/{name(9, 'queued')}",
    "item": f"/inspections/{name(8, 'numpy-2')}/items/4",
    "comparison": f"/compare?inspection={name(8, 'numpy-2')}&inspection={name(7, 'numpy-1')}",
    "picking": "/compare",
    "new": "/new?example=numpy-matmul",
    "not found": "/inspections/none",
    "not to be compared": f"/compare?inspection={name(8, 'numpy-2')}&inspection={name(9, 'queued')}",
}


def violations(page: Any) -> list[Any]:
    """What axe finds on a page, in both schemes of colours."""
    found = []
    for scheme, options in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)
        results = axe.Axe().run(page, options={**options, "resultTypes": ["violations"]}).response
        assert len(results["passes"]) > (10 if not options else 0)
        found += [
            (scheme, each["id"], [node["target"] for node in each["nodes"]][:3]) for each in results["violations"]
        ]
    return found


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_axe_finds_nothing_in_light_nor_in_dark(served: Served, tab: Callable[..., Tab], path: str) -> None:
    page = tab(served.url).open(path)
    unfold(page)
    assert violations(page) == []


def test_the_form_to_sign_in_has_nothing_for_axe_either(
    tab: Callable[..., Tab], tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("keys")
    keys(directory / "keys", "alice")
    with Served(ScriptedEngine(), auth="keys", api_keys=directory / "keys", state_dir=directory) as guarded:
        page = tab(guarded.url).open("/")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("alert").wait_for()
        assert violations(page) == []


def test_no_page_is_wider_than_a_phone_nor_weighs_more_than_200_kb(served: Served, tab: Callable[..., Tab]) -> None:
    opened = tab(served.url, viewport={"width": 320, "height": 640})
    received = weigh(opened)
    wide, weights = {}, {}
    for what, path in PATHS.items():
        received.clear()
        page = opened.open(path)
        unfold(page)
        wide[what] = page.evaluate("document.documentElement.scrollWidth")
        weights[what] = sum(received)
    assert {what: width for what, width in wide.items() if width > 320} == {}
    assert min(weights.values()) > 4_000
    assert {what: weight for what, weight in weights.items() if weight > WEIGHT} == {}
    assert max(weights.values()) > 80_000  # the plots are among them


def weigh(opened: Tab) -> list[float]:
    """Bytes on the wire of all that a tab loads from now on, with the headers of the answers; nothing is cached."""
    session = opened.context.new_cdp_session(opened.page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    received: list[float] = []
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    return received


def test_the_largest_inspection_weighs_no_more(engine: ScriptedEngine, served: Served, tab: Callable[..., Tab]) -> None:
    engine.put(scene(40, "large", reports=batch(0.5, 1000)))
    opened = tab(served.url)
    received = weigh(opened)
    page = opened.open(f"/inspections/{name(40, 'large')}")
    page.wait_for_timeout(500)
    assert page.locator("table.runs tbody tr").count() == 1000
    assert page.locator("canvas").count() > 0
    assert sum(received) < WEIGHT


def test_plots_are_drawn_under_the_policy_and_every_plot_has_its_table(served: Served, tab: Callable[..., Tab]) -> None:
    for path in (PATHS["succeeded"], PATHS["comparison"]):
        page = tab(served.url).open(path)
        all_drawn = "[...document.querySelectorAll('canvas')].every(each => Chart.getChart(each))"
        wait_until(lambda page=page, all_drawn=all_drawn: page.evaluate(all_drawn), 5)
        drawn = page.locator("canvas[data-plot]")
        assert drawn.count() >= 1
        paths = [json.loads(each.get_attribute("data-plot"))["path"] for each in drawn.all()]
        told = page.locator("section table th[scope=row]").all_inner_texts()
        assert {one for one in paths if not any(text.startswith(one) for text in told)} == set()
        painted = "each => each.getContext('2d').getImageData(0, 0, each.width, each.height).data.some(Boolean)"
        assert drawn.first.evaluate(painted)


def test_without_javascript_lists_and_details_are_read(served: Served, tab: Callable[..., Tab]) -> None:
    page = tab(served.url, java_script_enabled=False).open("/")
    assert page.locator("tbody tr").count() == 7
    page.get_by_role("link", name="numpy-2").click()
    assert "Intel Xeon" in page.locator("#standing").inner_text()
    assert page.locator("table.runs tbody tr").count() == 12
    assert page.get_by_role("rowheader", name="elapsed_s").count() >= 1
    assert page.get_by_role("button", name="Delete").count() == 0
    page.goto(served.url + "/")
    boxes = page.locator("input[type=checkbox]")
    boxes.nth(1).check()
    boxes.nth(2).check()
    page.get_by_role("button", name="Compare").click()
    assert page.locator(".verdict").inner_text()


def test_the_keyboard_leads_everywhere(served: Served, tab: Callable[..., Tab]) -> None:
    page = tab(served.url).open("/")

    def focused() -> Any:
        return page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name")

    page.keyboard.press("Tab")
    assert focused() == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    seen = []
    for _ in range(8):
        page.keyboard.press("Tab")
        seen.append(focused())
    assert seen[0] == "New inspection"
    assert "inspection" in seen  # the first box
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
