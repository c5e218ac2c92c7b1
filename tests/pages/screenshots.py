"""`make screenshots`: the pictures of docs/pages, of a real service with real inspections. Takes some minutes."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from amun.model.status import OVER
from tests.conftest import BASE, ROOT, Service, wait_until

from .conftest import FLAGS, chromium, playwright

PICTURES = ROOT / "docs" / "pages"

SCRIPT = """#!/usr/bin/env python3
import json, time
import numpy

values = numpy.random.default_rng(7).integers(0, 1 << 30, 200_000)
text = values[:20_000].astype(str)

def timed(work, repeats=5):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)

print(json.dumps({
    "sort_s": timed(lambda: numpy.sort(values)),
    "unique_s": timed(lambda: numpy.unique(values)),
    "strings_s": timed(lambda: numpy.char.add(text, "!")),
}))
"""


def asked(version: str, **more: Any) -> dict[str, Any]:
    """The same question of a version of NumPy."""
    limits = {"cpu": "1", "memory": "1Gi"}
    return {
        "base": BASE,
        "identifier": f"numpy-{version.replace('.', '-')}",
        "python_packages": [f"numpy=={version}"],
        "environment": [{"name": "OPENBLAS_NUM_THREADS", "value": "1"}],
        "script": SCRIPT,
        "metrics": [{"path": path, "unit": "s", "better": "lower"} for path in ("sort_s", "unique_s", "strings_s")],
        "batch_size": 20,
        "warmup": 2,
        "build": {"requests": limits},
        "run": {"requests": limits},
        **more,
    }


def submitted(service: Service) -> dict[str, str]:
    """Inspections of several kinds, over all but one; ids by what they are."""
    made = {
        "broken": service.submit({"base": BASE, "identifier": "typo", "python_packages": ["nmupy"], "script": "true"}),
        "failed": service.submit({"base": BASE, "identifier": "exits-badly", "script": "echo no >&2; exit 3"}),
        "old": service.submit(asked("1.26.4")),
        "new": service.submit(asked("2.4.6")),
    }
    for inspection_id in made.values():
        over = partial(service.client.status, inspection_id)
        # Seldom: whoever asks takes time from the runs that are measured.
        wait_until(lambda over=over: over()["phase"] in OVER, 900, pause=5)
    made["running"] = service.submit({"base": BASE, "identifier": "soak", "script": "sleep 600", "batch_size": 3})
    service.wait(made["running"], "running")
    return made


def take(service: Service, made: dict[str, str]) -> None:
    """Take the pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    pair = f"inspection={made['old']}&inspection={made['new']}"
    wanted = {
        "inspections": ("/", "light", 560),
        "inspection": (f"/inspections/{made['new']}", "light", 1000),
        "comparison": (f"/compare?{pair}", "light", 820),
    }
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, (path, scheme, height) in wanted.items():
            page = browser.new_page(color_scheme=scheme, viewport={"width": 1120, "height": height})
            page.goto(service.url + path)
            page.wait_for_timeout(1000)  # until plots are drawn
            page.screenshot(path=PICTURES / f"{name}.png")
        browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        service = Service(Path(directory) / "state", workers=1, max_runs=1, max_builds=2, grace=1)
        try:
            take(service.start(), submitted(service))
        finally:
            service.finish()


if __name__ == "__main__":
    main()
