"""The list in a real browser: it keeps itself up to date, leaves the reader alone, and carries 10 000 inspections."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.support.service_with_keys import DOCUMENT, StillEngine

from .conftest import Tab
from .scripted import ScriptedEngine, Served, at, scene

pytestmark = pytest.mark.slow


HASTE = """
document.querySelector('[data-live]').dataset.live = '0.2';
document.dispatchEvent(new Event('visibilitychange'));
"""
"""Has a page look again at once, and five times a second from then on."""


def finish(engine: ScriptedEngine, inspection_id: str) -> None:
    """Have an inspection that runs succeed."""
    found = engine.scenes[inspection_id]
    done = scene(int(inspection_id[-16:], 16), found.observation.inspection.specification.identifier, "succeeded")
    found.observation = replace(found.observation, items=done.observation.items, finished_at=at(50))


def test_it_shows_what_is_newest_first(served: Served, tab: Callable[..., Tab]) -> None:
    page = tab(served.url).open("/")
    rows = page.locator("tbody tr")
    assert rows.count() == 7
    assert [text.split()[0] for text in rows.locator("td.name").all_inner_texts()][:3] == [
        "queued",
        "numpy-2",
        "numpy-1",
    ]
    text = rows.nth(1).inner_text()
    assert all(part in text for part in ("succeeded", "debian:12", "12/12", "30 s", "built", "2026-11-18 11:06"))
    assert "there is no package named 'nmupy'" in rows.nth(4).inner_text()


def test_it_updates_by_itself_and_leaves_focus_picks_and_scrolling_where_they_are(
    served: Served, engine: ScriptedEngine, staged: Callable[..., None], tab: Callable[..., Tab]
) -> None:
    staged(*[scene(number, f"one-{number}", "running" if number == 30 else "succeeded") for number in range(30, 0, -1)])
    page = tab(served.url, viewport={"width": 1000, "height": 500}).open("/")
    row = page.locator(f"#inspection-one-3-{3:016x}")
    row.get_by_role("checkbox").check()
    row.get_by_role("link").focus()
    before = page.evaluate("scrollY")
    assert before > 0
    page.evaluate(HASTE)
    engine.put(scene(31, "brand-new", "queued"))
    finish(engine, f"inspection-one-30-{30:016x}")
    page.locator(f"#inspection-brand-new-{31:016x}").wait_for()
    page.locator(f"#inspection-one-30-{30:016x} .succeeded").wait_for()
    assert row.get_by_role("checkbox").is_checked()
    assert page.evaluate("document.activeElement.getAttribute('href')") == f"/inspections/inspection-one-3-{3:016x}"
    assert page.locator("input:checked").count() == 1
    assert abs(page.evaluate("scrollY") - before) <= 60  # a row came above, and the reader's stays in view
    said = page.locator("#news")
    assert "brand-new: queued" in said.inner_text()
    assert said.get_attribute("aria-live") == "polite"


def test_it_asks_for_nothing_while_nobody_looks(
    served: Served, staged: Callable[..., None], tab: Callable[..., Tab]
) -> None:
    staged(scene(1, "one", "running"))
    page = tab(served.url).open("/")
    asked: list[str] = []
    page.on(
        "request",
        lambda request: (
            asked.append(request.url) if request.is_navigation_request() or request.resource_type == "fetch" else None
        ),
    )
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    page.evaluate(hide % "true" + HASTE)
    page.wait_for_timeout(700)
    assert asked == []
    page.evaluate(hide % "false" + HASTE)
    page.wait_for_timeout(300)
    assert asked


def test_it_is_filtered_and_paged_by_addresses(
    served: Served, staged: Callable[..., None], tab: Callable[..., Tab]
) -> None:
    staged(
        *[
            scene(number, "even" if number % 2 == 0 else "odd", "failed" if number % 3 == 0 else "succeeded")
            for number in range(120, 0, -1)
        ]
    )
    page = tab(served.url).open("/")
    assert page.locator("tbody tr").count() == 50
    assert "120 in all, page 1 of 3" in page.locator(".paging").inner_text()
    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**/?page=2")
    page.get_by_label("Identifier").fill("odd")
    page.get_by_label("Phase").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**/?phase=failed&identifier=odd")
    assert page.locator("tbody tr").count() == 20
    assert set(page.locator("tbody .phase").all_inner_texts()) == {"failed"}
    page.get_by_role("link", name="Show all").click()
    assert page.locator("tbody tr").count() == 50


def test_those_that_are_picked_are_compared(served: Served, tab: Callable[..., Tab]) -> None:
    page = tab(served.url).open("/")
    button = page.get_by_role("button", name="Compare those picked")
    assert button.is_disabled()
    for identifier in ("numpy-2", "numpy-1"):
        page.get_by_role("checkbox", name=f"Compare {identifier}").check()
    assert page.locator("#picked").inner_text() == "2 picked."
    button.click()
    assert "B" in page.locator(".verdict").inner_text()
    assert page.locator("table.legend tbody tr").count() == 2
    assert page.locator("table.pairs tbody tr").count() >= 1


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> StillEngine:
    """The embedded engine with 10 000 inspections in its state directory: one that is submitted, and copies of it."""
    from amun.application.inspections import Inspections
    from amun.auth.callers import ANYBODY
    from amun.settings import Settings

    settings = Settings(state_dir=tmp_path_factory.mktemp("crowd"), engine="podman")
    engine = StillEngine(settings)
    first = Inspections(engine, settings, ANYBODY).submit({**DOCUMENT, "identifier": "one"})[0].id
    root = settings.state_dir
    record = (root / "inspections" / first / "record.json").read_text()
    order = next((root / "index").iterdir()).name
    for number in range(9_999):
        name = f"inspection-one-{number:016x}"
        copy = root / "inspections" / name
        (copy / "items").mkdir(parents=True)
        (copy / "record.json").write_text(record.replace(first, name))
        for index in ("index", "active"):
            (root / index / order.replace(first, name)).touch()
    return engine


def test_it_is_there_at_once_with_10_000_inspections_behind_it(crowd: StillEngine, tab: Callable[..., Tab]) -> None:
    with Served(crowd) as served:
        opened = tab(served.url)
        took = []
        for _ in range(3):
            begun = time.monotonic()
            page = opened.open("/")
            page.get_by_role("checkbox").first.check()
            took.append(time.monotonic() - begun)
        assert "10,000 in all, page 1 of 200" in page.locator(".paging").inner_text()
        print(f"usable after {min(took):.2f} s")
        assert min(took) < 5, took  # with other tests beside it; by itself it takes a fraction of that
        begun = time.monotonic()
        page.get_by_role("link", name="Older").click()
        page.wait_for_url("**/?page=2")
        assert time.monotonic() - begun < 5
