"""The whole way in a real browser, with real containers: submission, live logs, results, comparison."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Service, environment_of

from .conftest import Tab

pytestmark = [pytest.mark.podman, pytest.mark.slow]

SCRIPT = """#!/usr/bin/env python3
import json, sys, time
print("\\033[32mbegun\\033[0m", file=sys.stderr, flush=True)
start = time.perf_counter()
time.sleep(SECONDS)
print("<b>measured</b>", file=sys.stderr, flush=True)
print(json.dumps({"elapsed_s": time.perf_counter() - start}))
"""


def document(base: str, name: str, seconds: float) -> dict[str, Any]:
    return {
        **environment_of(base, "story"),
        "identifier": name,
        "script": SCRIPT.replace("SECONDS", str(seconds)),
        "metrics": [{"path": "elapsed_s", "unit": "s", "better": "lower"}],
        "batch_size": 5,
        "warmup": 1,
        "parallelism": 2,
    }


def submit(page: Any, written: dict[str, Any]) -> str:
    """Submit by the editor that is open; returns the id, which the next page's address tells."""
    page.locator("#document").fill(json.dumps(written))
    page.get_by_role("button", name="Check").click()
    page.locator("#submit:not([disabled])").click()
    page.wait_for_url(f"**/inspections/inspection-{written['identifier']}-*")
    inspection_id: str = page.url.rpartition("/")[2]
    return inspection_id


def test_from_the_question_to_its_answer(service: Service, base: str, tab: Callable[..., Tab]) -> None:
    page = tab(service.url).open("/new")
    first = submit(page, document(base, "story-fast", 0.02))
    # The build's log, then by itself that of the first run, while it runs.
    page.locator(".lines .f2", has_text="begun").wait_for(timeout=60_000)
    page.locator(".lines", has_text="<b>measured</b>").wait_for(timeout=30_000)
    page.locator("#standing .succeeded").wait_for(timeout=60_000)

    page.locator("#metrics tbody th", has_text="elapsed_s").wait_for()
    assert "5 of 6 runs counted, 1 warm-up" in page.locator("#metrics").inner_text()
    assert page.locator("#runs tbody tr").count() == 6
    assert page.locator("#runs .warmup").count() == 1
    assert "GiB" in page.locator("#standing").inner_text()
    steps = page.locator("#timeline").inner_text()
    assert all(word in steps for word in ("build", "item 0", "item 5", "running", "waiting"))

    page.get_by_role("link", name="Submit again").click()
    again = json.loads(page.locator("#document").input_value())
    assert again["script"] == document(base, "", 0.02)["script"]
    second = submit(page, {**again, "identifier": "story-slow", "script": SCRIPT.replace("SECONDS", "0.2")})
    page.locator("#standing .succeeded").wait_for(timeout=60_000)
    page.get_by_role("link", name="report and log").first.click()
    assert '"elapsed_s": 0.2' in page.get_by_label("Result").inner_text()

    page.get_by_role("link", name="Amun").click()
    for inspection_id in (first, second):
        page.locator(f"#{inspection_id} input").check()
    page.get_by_role("button", name="Compare those picked").click()
    verdict = page.locator(".verdict").inner_text()
    assert "times as fast as" in verdict
    assert "n = 5 + 5" in verdict
    row = page.locator("table.pairs tr.different", has_text="elapsed_s")
    assert row.count() == 1
    assert "script" in page.locator("section[aria-labelledby=differences-title]").inner_text()
    service.client.delete(first)
    service.client.delete(second)
