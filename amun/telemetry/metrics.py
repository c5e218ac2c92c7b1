"""Prometheus metrics of API and controller.

Both are several processes that share ``PROMETHEUS_MULTIPROC_DIR`` (`amun.processes.supervisor` sets it), so that one
scrape shows the sums. What waits and works is asked from the engine at each scrape.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from amun.errors import AmunError
from amun.model import timestamps
from amun.model.inspection import Accepted, BuildState, ItemState

SECONDS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)

RESPONSES = Counter(
    "amun_http_responses_total", "Responses by method, route and status.", ["method", "route", "status"]
)
SUBMISSIONS = Counter("amun_submissions_total", "Accepted inspections by whether the build was cached.", ["cached"])
BUILDS = Counter("amun_builds_total", "Ended builds by outcome and reason.", ["outcome", "reason"])
ITEMS = Counter("amun_items_total", "Ended items by outcome and reason.", ["outcome", "reason"])
BUILD_SECONDS = Histogram("amun_build_duration_seconds", "How long builds took.", ["outcome"], buckets=SECONDS)
ITEM_SECONDS = Histogram("amun_item_duration_seconds", "How long items ran.", ["outcome"], buckets=SECONDS)
QUEUED_SECONDS = Histogram(
    "amun_queued_seconds", "How long builds and items waited for their turn.", ["what"], buckets=SECONDS
)
STORED = Counter("amun_stored_inspections_total", "Finished inspections that were put into the archive.")
STORE_FAILURES = Counter("amun_store_failures_total", "Times that the archive could not be written.")


def accepted(accepted: Accepted) -> None:
    """Count an accepted inspection; `cached` is a hit of the environments."""
    SUBMISSIONS.labels(str(accepted.cached).lower()).inc()


def build_ended(build: BuildState, created: str) -> None:
    """Count a build that ended, which was asked for at `created`."""
    BUILDS.labels(build.outcome, build.reason).inc()
    _observe(BUILD_SECONDS.labels(build.outcome), build.started_at, build.finished_at)
    _observe(QUEUED_SECONDS.labels("build"), created, build.started_at)


def item_ended(item: ItemState, ready: str | None) -> None:
    """Count an item that ended, which could have started at `ready`."""
    ITEMS.labels(item.outcome, item.reason).inc()
    _observe(ITEM_SECONDS.labels(item.outcome), item.started_at, item.finished_at)
    _observe(QUEUED_SECONDS.labels("item"), ready, item.started_at)


def _observe(histogram: Histogram, start: str | None, end: str | None) -> None:
    duration = timestamps.between(start, end)
    if duration is not None:
        histogram.observe(duration)


class _Queue(Collector):
    def __init__(self, counted: Callable[[], Mapping[str, int]]) -> None:
        self._counted = counted

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            queue = self._counted()
        except AmunError:
            return
        gauge = GaugeMetricFamily("amun_queue", "Builds and items that wait or work now.", labels=["what", "state"])
        for name, number in queue.items():
            gauge.add_metric(name.split("_"), number)
        yield gauge


def expose(queue: Callable[[], Mapping[str, int]], requests: CollectorRegistry) -> bytes:
    """All metrics in Prometheus' text format.

    Args:
        queue: counts what waits and works now, by ``WHAT_STATE``; may raise AmunError.
        requests: those of this process's Flask application.
    """
    registry = CollectorRegistry()
    registry.register(_Queue(queue))
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(REGISTRY) + generate_latest(requests) + generate_latest(registry)
