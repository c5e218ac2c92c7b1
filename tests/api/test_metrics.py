"""What Prometheus sees: sums over all processes, refusals by what they are, and what came of builds and items."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Service, environment_of, specification, wait_until

from .conftest import SLEEPER, UNKNOWN, Api

pytestmark = [pytest.mark.podman, pytest.mark.slow]


class Scrape:
    """One look at /metrics."""

    def __init__(self, url: str) -> None:
        answer = requests.get(f"{url}/metrics", timeout=30)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        self._samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """Sum of the samples of a name that have these labels; 0 where there is none."""
        return sum(
            sample.value for sample in self._samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str, label: str) -> set[str]:
        return {sample.labels[label] for sample in self._samples if sample.name == name}

    def responses(self, method: str, route: str, status: int) -> float:
        return self.value("amun_http_responses_total", method=method, route=route, status=str(status))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Service]:
    """A service that nobody else asks anything: two API workers, one item at a time."""
    running = Service(tmp_path_factory.mktemp("measured") / "state", workers=2, max_runs=1, max_builds=1, grace=1)
    try:
        yield running.start()
    finally:
        running.finish()


@pytest.fixture(scope="module")
def api(measured: Service) -> Api:
    return Api(measured.url)


def scrapes(service: Service, times: int = 6) -> list[Scrape]:
    """Several scrapes, each over a connection of its own, so that whichever worker answers them."""
    return [Scrape(service.url) for _ in range(times)]


def workers(service: Service) -> list[int]:
    """Process ids of the API's workers; the first of its processes is their parent."""
    return [pid for pid in service.parts("gunicorn") if parent(pid) in service.parts("gunicorn")]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_each_scrape_shows_the_requests_to_all_workers(measured: Service) -> None:
    for _ in range(20):
        assert requests.get(f"{measured.url}/api/v1/version", timeout=30).status_code == 200
    assert {scrape.responses("GET", "/api/v1/version", 200) for scrape in scrapes(measured)} == {20}
    assert {scrape.value("flask_http_request_duration_seconds_count", url_rule="/api/v1/version")
            for scrape in scrapes(measured)} == {20}  # fmt: skip


def test_what_a_worker_counted_outlives_it(measured: Service) -> None:
    before = Scrape(measured.url).responses("GET", "/api/v1/version", 200)
    victim = workers(measured)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in workers(measured) and len(workers(measured)) == 2)
    wait_until(lambda: requests.get(f"{measured.url}/liveness", timeout=30).status_code == 200)
    assert {scrape.responses("GET", "/api/v1/version", 200) for scrape in scrapes(measured)} == {before}


def test_refusals_are_counted_by_route_and_status_and_nothing_as_a_defect(measured: Service, api: Api) -> None:
    for _ in range(3):
        api.get(f"/inspect/{UNKNOWN}/status")
        api.get(f"/inspect/{UNKNOWN}/job/0/log", params={"follow": "true"})
        api.get(f"{api.root}/no/such/{os.urandom(4).hex()}")
        api.post("/inspect", {"base": "NO"})
        api.get("/inspect?page=0")
        api.ask("PUT", "/inspect")
        api.ask("POST", "/inspect", data="x", headers={"Content-Type": "text/plain"})
        api.ask("POST", "/inspect", data=b"x" * (5 * 2**20), headers={"Content-Type": "application/json"})
        api.ask("HEAD", "/version")
    scrape = Scrape(measured.url)
    assert scrape.responses("GET", "/api/v1/inspect/{inspection_id}/status", 404) == 3
    assert scrape.responses("GET", "/api/v1/inspect/{inspection_id}/job/{item}/log", 404) == 3
    assert scrape.responses("GET", "(other)", 404) == 3
    assert scrape.responses("POST", "/api/v1/inspect", 400) == 3
    assert scrape.responses("GET", "/api/v1/inspect", 400) == 3
    assert scrape.responses("POST", "/api/v1/inspect", 415) == 3
    assert scrape.responses("POST", "/api/v1/inspect", 413) == 3
    assert scrape.responses("HEAD", "/api/v1/version", 200) == 3
    assert scrape.value("amun_http_responses_total", method="PUT", status="405") == 3
    for name in ("amun_http_responses_total", "flask_http_request_total"):
        assert not {status for status in scrape.labels(name, "status") if status.startswith("5")}
    assert not any("no/such" in route for route in scrape.labels("amun_http_responses_total", "route"))


def test_inspections_are_counted_by_what_came_of_them(measured: Service, base: str) -> None:
    """A build that succeeds and serves two inspections, one that fails; items that succeed and fail."""
    environment = environment_of(base, "measured")
    ids = [
        measured.submit({**environment, "script": "sleep 0.3"}),
        measured.submit({**environment, "script": "exit 3", "batch_size": 2, "allowed_failures": 2}),
        measured.submit(specification(base, "true", files=[{"path": "/etc/passwd/below", "content": ""}])),
    ]
    phases = [measured.wait(inspection_id)["phase"] for inspection_id in ids]
    assert phases == ["succeeded", "succeeded", "build_failed"]
    # The controller is a process of its own.
    scrape = wait_until(lambda: (s := Scrape(measured.url)).value("amun_items_total") == 3 and s)
    assert scrape.value("amun_submissions_total", cached="false") == 2
    assert scrape.value("amun_submissions_total", cached="true") == 1
    assert scrape.value("amun_builds_total") == 2
    assert scrape.value("amun_builds_total", outcome="succeeded", reason="Completed") == 1
    assert scrape.value("amun_builds_total", outcome="failed", reason="BuildFailed") == 1
    assert scrape.value("amun_items_total", outcome="succeeded", reason="Completed") == 1
    assert scrape.value("amun_items_total", outcome="failed", reason="NonZeroExit") == 2
    assert_histogram(scrape, "amun_build_duration_seconds", outcome="succeeded", count=1, least=0.1)
    assert_histogram(scrape, "amun_build_duration_seconds", outcome="failed", count=1, least=0.1)
    assert_histogram(scrape, "amun_item_duration_seconds", outcome="succeeded", count=1, least=0.3)
    assert_histogram(scrape, "amun_item_duration_seconds", outcome="failed", count=2, least=0.0)
    assert scrape.value("amun_queued_seconds_count", what="build") == 2
    assert scrape.value("amun_queued_seconds_count", what="item") == 3


def assert_histogram(scrape: Scrape, name: str, *, outcome: str, count: int, least: float) -> None:
    assert scrape.value(f"{name}_count", outcome=outcome) == count
    assert scrape.value(f"{name}_bucket", outcome=outcome, le="+Inf") == count
    assert scrape.value(f"{name}_bucket", outcome=outcome, le="3600.0") == count
    assert least <= scrape.value(f"{name}_sum", outcome=outcome) < 120


def test_what_waits_and_works_is_shown_as_it_is_now(measured: Service, base: str) -> None:
    def queue() -> dict[tuple[str, str], float]:
        scrape = Scrape(measured.url)
        return {
            (what, state): scrape.value("amun_queue", what=what, state=state)
            for what in ("builds", "items")
            for state in ("waiting", "running")
        }

    empty = {("builds", "waiting"): 0, ("builds", "running"): 0, ("items", "waiting"): 0, ("items", "running"): 0}
    wait_until(lambda: queue() == empty, timeout=20)
    ids = [measured.submit(specification(base, SLEEPER)) for _ in range(3)]
    measured.wait(ids[0], "running")
    wait_until(lambda: queue() == {**empty, ("items", "running"): 1, ("items", "waiting"): 2}, timeout=20)
    for inspection_id in ids:
        measured.client.delete(inspection_id)
    wait_until(lambda: queue() == empty, timeout=20)
