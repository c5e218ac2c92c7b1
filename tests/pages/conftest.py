"""A real browser for the tests of the page: Chromium of the distribution, driven by Playwright.

Whatever a page does that none may do (a dialog, an error of a script, a breach of its own Content-Security-Policy, a
request to another host) fails the test in which it does so.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .scripted import Scene, ScriptedEngine, Served, report, scene

try:
    from playwright import sync_api as playwright
except ImportError:  # the packages of the tests are not all there
    playwright = None  # type: ignore[assignment]

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


HARMLESS = ("the server responded with a status of", "net::ERR_CONNECTION_REFUSED")
"""What a browser has to say of answers that are errors, and of a service that has ended."""


def chromium() -> str | None:
    """Where the browser is; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    program = chromium()
    if program is None or playwright is None:
        pytest.skip("there is no Chromium on this machine: `make browser` installs it")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=program, args=FLAGS)
        yield launched
        launched.close()


class Tab:
    """A page of a service in a browser, and what went wrong in it."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.url = url
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.wrong: list[str] = []
        self.page.on("dialog", lambda dialog: (self.wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("console", self._console)
        self.page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type == "error" and not any(text in message.text for text in HARMLESS):
            self.wrong.append(f"console: {message.text}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "about:")):
            self.wrong.append(f"request: {request.url}")

    def open(self, path: str = "/") -> Any:
        """Go there; returns the page once its scripts have run."""
        self.page.goto(self.url + path)
        return self.page

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Opens tabs: `tab(service.url, color_scheme="dark")`. What went wrong in any of them fails the test."""
    opened: list[Tab] = []

    def make(url: str, **options: Any) -> Tab:
        opened.append(Tab(browser, url, **options))
        return opened[-1]

    yield make
    for each in opened:
        each.close()
    assert [wrong for each in opened for wrong in each.wrong] == []


def batch(factor: float, count: int = 12, disturbed: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Reports of runs that take about so many seconds, in a pattern of their own."""
    made = []
    for item in range(count):
        value = factor * (1 + (item * 0.618 % 1) / 20) * (1.4 if item in disturbed else 1)
        reasons = [{"reason": "CpuPressure", "message": "Processes waited for a processor 12 % of the time."}]
        more: dict[str, Any] = {"quality": "disturbed", "reasons": reasons} if item in disturbed else {}
        made.append(report({"elapsed_s": value, "latency": {"p99_ms": value * 3}}, wall=value + 0.2, **more))
    return made


def scenes() -> list[Scene]:
    """One inspection of every kind, newest first."""
    return [
        scene(9, "queued", "queued"),
        scene(8, "numpy-2", reports=batch(0.50, disturbed=(4,)), python_packages=["numpy==2.4.6"]),
        scene(7, "numpy-1", reports=batch(0.58), python_packages=["numpy==1.26.4"]),
        scene(6, "going", "running", batch_size=3),
        scene(5, "broken", "build_failed", message="Step 4 failed: there is no package named 'nmupy'."),
        scene(4, "boom", "failed"),
        scene(3, None, reports=batch(1, 1)),
    ]


@pytest.fixture(scope="package")
def engine() -> ScriptedEngine:
    return ScriptedEngine(scenes())


@pytest.fixture
def staged(engine: ScriptedEngine) -> Callable[..., None]:
    """Shows other scenes than those of `scenes`, and nothing else, until the test is over."""

    def show(*others: Scene) -> None:
        engine.scenes = {each.id: each for each in others}

    return show


@pytest.fixture(autouse=True)
def _next_test_finds_the_same(engine: ScriptedEngine) -> Iterator[None]:
    """Takes back which scenes a test has added, removed or replaced, also where it failed."""
    before = dict(engine.scenes)
    yield
    engine.scenes = before


@pytest.fixture(scope="package")
def served(engine: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The service with an inspection of every kind; nobody is asked who they are."""
    with Served(engine, state_dir=tmp_path_factory.mktemp("state")) as running:
        yield running
