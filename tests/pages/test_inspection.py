"""The page of one inspection in a real browser: live logs, buttons, and texts that mean no good."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.conftest import wait_until

from .conftest import Tab, batch
from .scripted import Scene, ScriptedEngine, Served, at, printed, report, scene

pytestmark = pytest.mark.slow


@pytest.fixture
def live(engine: ScriptedEngine) -> Scene:
    """An inspection that runs."""
    made = scene(20, "live", "running", batch_size=2)
    made.logs = {0: printed("one\ntwo\n")}
    engine.put(made)
    return made


def end(made: Scene) -> None:
    items = scene(20, "live", batch_size=2).observation.items
    made.observation = replace(made.observation, items=items, finished_at=at(60))


def lines(page: Any) -> Any:
    return page.locator(".lines > div")


def test_a_log_is_followed_while_it_grows_to_its_end(served: Served, tab: Callable[..., Tab], live: Scene) -> None:
    page = tab(served.url).open(f"/inspections/{live.id}")
    lines(page).nth(1).wait_for()
    assert lines(page).all_inner_texts() == ["one", "two"]
    live.logs[0] += printed("three\n")
    lines(page).nth(2).wait_for()
    assert page.locator(".logbar").inner_text().startswith("Live")
    live.reports = {0: report({"x": 1}), 1: report({"x": 2})}
    end(live)
    page.locator("#standing .succeeded").wait_for()
    page.get_by_text("This log has ended.").wait_for()
    wait_until(lambda: "succeeded" in page.locator("#news").inner_text(), 5)


def test_another_log_is_a_choice_away(served: Served, tab: Callable[..., Tab], live: Scene) -> None:
    page = tab(served.url).open(f"/inspections/{live.id}")
    page.get_by_label("Which log").select_option("the build")
    page.get_by_text("STEP 1/4: FROM debian:12").wait_for()
    assert page.get_by_role("region", name="Log of the build").count() == 1
    href = page.get_by_role("link", name="All of it").get_attribute("href")
    assert page.request.get(served.url + href).text() == "STEP 1/4: FROM debian:12\n"


def test_a_log_goes_on_where_it_was_when_the_connection_breaks(served: Served, tab: Callable[..., Tab]) -> None:
    made = tab(served.url)
    log, asked = "first\nsecond\nthird\n", []

    def answer(route: Any) -> None:
        asked.append(route.request.url.partition("?")[2])
        if len(asked) == 1:
            return route.abort()
        return route.fulfill(status=200, content_type="text/plain", body=log)

    made.page.route("**/job/0/log?**", answer)
    made.wrong.clear()
    page = made.open("/inspections/inspection-numpy-2-0000000000000008")
    lines(page).nth(2).wait_for(timeout=5000)
    assert asked == ["follow=true&offset=0"] * 2
    made.wrong[:] = [wrong for wrong in made.wrong if "ERR_FAILED" not in wrong]


def test_colours_are_kept_and_nothing_else_of_a_terminal_is_obeyed(
    served: Served, engine: ScriptedEngine, tab: Callable[..., Tab]
) -> None:
    made = scene(21, "colours")
    made.logs[0] = printed(
        "\x1b[32mgreen\x1b[0m \x1b[1;91mbold\x1b[22;39m plain\n"
        "\x1b[38;5;196mred\x1b[38;2;0;0;230mblue\x1b[m \x1b[41;31mhidden\x1b[0m\n"
        "\x1b]0;title\x07 \x1b[2J\x1b[1A \x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\n"
        "over\rwritten\r\n\u202eevil\u202c \u2066x\u2069\x00\x08\n"
        "\x1b[31mgoes on\nstill red\x1b[0m\n"
    )
    engine.put(made)
    page = tab(served.url).open(f"/inspections/{made.id}")
    page.get_by_text("still red").wait_for()
    classes = lines(page).locator("span").evaluate_all("all => all.map(each => [each.className, each.textContent])")
    assert ["f2", "green"] in classes
    assert ["b f9", "bold"] in classes
    assert ["f9", "red"] in classes or ["f1", "red"] in classes
    assert ["f4", "blue"] in classes
    assert ["g1", "hidden"] in classes
    assert ["f1", "still red"] in classes
    texts = lines(page).all_inner_texts()
    assert texts[2] == "␛]0;title[U+0007] ␛[2J␛[1A ␛]8;;javascript:alert(1)[U+0007]link␛]8;;[U+0007]"
    assert texts[3:6] == ["over", "written", "[U+202E]evil[U+202C] [U+2066]x[U+2069][U+0000][U+0008]"]
    assert page.locator(".lines a").count() == 0
    shown = page.locator(".lines .g1").evaluate(
        "each => [getComputedStyle(each).color, getComputedStyle(each).backgroundColor]"
    )
    assert shown[0] != shown[1]


@pytest.mark.parametrize("long", ["one line", "many lines"])
def test_10_mb_do_not_freeze_the_page(
    served: Served, engine: ScriptedEngine, tab: Callable[..., Tab], long: str
) -> None:
    made = scene(22, "large")
    text = (
        "x" * 10_000_000
        if long == "one line"
        else "".join(f"{number} of many lines, each of which says a little\n" for number in range(200_000))
    ) + "\nthe end\n"
    made.logs[0] = printed(text)
    made.reports[0] = report(stdout_text=text, stderr=text)
    engine.put(made)
    page = tab(served.url).open(f"/inspections/{made.id}")
    page.evaluate("""() => { window.longest = 0; let last = performance.now(); setInterval(() => {
        const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now; }, 20); }""")
    page.get_by_text("the end").wait_for(timeout=20_000)
    assert page.evaluate("window.longest") < 5000  # on a busy machine; by itself it is a fraction of that
    assert lines(page).count() <= 2000
    assert page.evaluate("document.querySelector('.lines').textContent.length") < 200_000
    if long == "one line":
        assert "9,996,000 more characters of this line" in lines(page).first.inner_text()
    else:
        assert "earlier lines are not shown here" in page.locator(".logbar").inner_text()
    item = page.context.request.get(f"{served.url}/inspections/{made.id}/items/0")
    assert len(item.body()) < 100_000
    assert "more characters are not shown here" in item.text()


def test_it_is_cancelled(served: Served, tab: Callable[..., Tab], live: Scene) -> None:
    page = tab(served.url).open(f"/inspections/{live.id}")
    page.get_by_role("button", name="Cancel").click()
    page.locator("#standing .cancelled").wait_for()
    assert live.observation.cancelled_at
    wait_until(lambda: page.get_by_role("button", name="Cancel").count() == 0, 5)


def test_it_is_deleted_when_that_is_confirmed(
    served: Served, engine: ScriptedEngine, tab: Callable[..., Tab], live: Scene
) -> None:
    page = tab(served.url).open(f"/inspections/{live.id}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    assert live.id in engine.scenes
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url(served.url + "/")
    assert live.id not in engine.scenes


def test_what_cannot_be_done_is_said(
    served: Served, engine: ScriptedEngine, tab: Callable[..., Tab], live: Scene
) -> None:
    page = tab(served.url).open(f"/inspections/{live.id}")
    page.locator(".lines").wait_for()
    engine.scenes.pop(live.id)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    assert "There is no inspection" in page.get_by_role("alert").inner_text()


def test_curl_lines_do_what_they_say_and_are_copied(served: Served, tab: Callable[..., Tab]) -> None:
    opened = tab(served.url)
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = opened.open("/inspections/inspection-numpy-2-0000000000000008")
    page.get_by_text("By curl").click()
    page.get_by_role("button", name="Copy: Phase, reason").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"curl -s {served.url}/api/v1/inspect/inspection-numpy-2-0000000000000008/status"
    assert page.locator("#curl code").count() == 9


SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"{SCRIPT}\"'><img src=x onerror=alert(2)>{{{{7*7}}}}\u202e\x1b[31m\u2066`${{alert(3)}}` javascript:alert(4)"


def hostile() -> Scene:
    """Every field that a caller, a script or an image controls, with a text that means no good."""
    reports = batch(0.5, 3)
    for each in reports:
        each.update(
            stdout={**each["stdout"], HOSTILE: 1.5, "b": {HOSTILE: [each["stdout"]["elapsed_s"]]}},
            stderr=HOSTILE * 50,
            stdout_text=HOSTILE * 50,
            hostname=HOSTILE,
            signal=HOSTILE,
            os_release={"pretty_name": HOSTILE},
            hwinfo={"cpu_info": {"brand_raw": HOSTILE, "count": 2}, "memory": None, "gpus": [{"product": HOSTILE}]},
            runtime_environment={"python_version": HOSTILE},
            quality="disturbed",
            reasons=[{"reason": HOSTILE, "message": HOSTILE}],
        )
    made = scene(
        23,
        "hostile",
        reports=reports,
        script=HOSTILE,
        files=[{"path": "/srv/<b>x", "content": HOSTILE}],
        environment=[{"name": "A", "value": HOSTILE}],
        metrics=[{"path": "elapsed_s", "unit": "<i>'\""}],
        constraints={HOSTILE: HOSTILE},
    )
    items = tuple(replace(each, reason=HOSTILE, message=HOSTILE, node=HOSTILE) for each in made.observation.items)
    build = replace(made.observation.build, reason=HOSTILE, message=HOSTILE)
    inspection = replace(made.observation.inspection, owner=HOSTILE)
    made.observation = replace(made.observation, items=items, build=build, inspection=inspection, defect=HOSTILE)
    made.build_log = HOSTILE.encode() + b"\xff\xfe\n"
    made.logs = {item: printed(HOSTILE + "\n") for item in range(3)}
    return made


def test_what_callers_write_is_text_wherever_it_is_shown(
    served: Served, engine: ScriptedEngine, tab: Callable[..., Tab]
) -> None:
    made = hostile()
    engine.put(made)
    opened = tab(served.url)
    path = f"/inspections/{made.id}"
    other = "inspection-numpy-2-0000000000000008"
    quoted = "%3Cscript%3Ealert(1)%3C/script%3E"
    for where in (
        "/",
        path,
        f"{path}/items/0",
        f"/new?from={made.id}",
        "/compare",
        f"/compare?inspection={made.id}&inspection={other}",
        f"/compare?inspection={made.id}&inspection={other}&allow_unlike=true",
        f"/compare?inspection={quoted}&inspection={quoted}2",
        f"/?identifier={quoted}",
        f"/inspections/{quoted}",
        f"/new?example={quoted}",
    ):
        page = opened.open(where)
        page.wait_for_timeout(150)
        assert page.locator("img:not(.brand img), main script, [onerror]").count() == 0, where
        assert "\u202e" not in page.evaluate("document.documentElement.textContent"), where
        assert "49" not in page.title()
        for details in page.locator("details").all():
            details.evaluate("each => { each.open = true }")
    page = opened.open(path)
    page.get_by_label("Which log").select_option("the build")
    page.get_by_text("[U+202E]").first.wait_for()
    shown = page.locator("main").inner_text()
    assert SCRIPT in shown
    assert "{{7*7}}" in shown
    assert json.loads(opened.open(f"/new?from={made.id}").locator("#document").input_value())["script"] == HOSTILE


def test_declared_metrics_without_numbers_are_named_with_their_items(
    served: Served, engine: ScriptedEngine, tab: Callable[..., Tab]
) -> None:
    found = [report({"a": 1.0}) for _ in range(3)] + [report({"a": None}, not_finite=["a"]), report({"b": 2.0})]
    made = scene(31, "absent", reports=found, metrics=[{"path": path} for path in ("a", "<i>never</i>", "b")])
    engine.put(made)
    page = tab(served.url).open(f"/inspections/{made.id}")
    assert page.locator(".absent li").all_inner_texts() == [
        "a: not printed by item 4; not finite in item 3",
        "<i>never</i>: not printed by items 0, 1, 2, 3 and 4",
        "b: not printed by items 0, 1, 2 and 3",
    ]


def test_nothing_is_said_of_declared_metrics_that_all_have(
    served: Served, engine: ScriptedEngine, tab: Callable[..., Tab]
) -> None:
    made = scene(32, "present", reports=[report({"a": 1.0})] * 3, metrics=[{"path": "a"}])
    engine.put(made)
    page = tab(served.url).open(f"/inspections/{made.id}")
    assert page.locator("#metrics table").count() == 1
    assert page.locator(".absent").count() == 0
