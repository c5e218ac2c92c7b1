"""(b) A cold build through the service, over `podman build --no-cache` of the same context."""

from __future__ import annotations

import time
from collections.abc import Iterator

from amun.client import Document

from . import by_hand
from .figures import Figure, ratios, spread
from .plan import Plan
from .service import Service

ROUNDS = 6
AIM = "≤ 1.05"


def measure(plan: Plan) -> Iterator[Figure]:
    """A native and a Python step of little work, each round once through the service and once by hand.

    What is to be told apart is smaller than what the machine does from minute to minute. So they take turns in going
    first, and neither leaves an image behind that the next would have to read past.
    """
    build = {"cache": False, "requests": {"cpu": "1", "memory": "512Mi"}}
    document = plan.specification(None, python_packages=["six"], build=build)
    through_amun: list[float] = []
    by: list[float] = []
    _build(plan.service, document)  # the first one waits for the service's workers
    for turn in range(plan.rounds or ROUNDS):
        pair = [(through_amun, _build), (by, by_hand.build)]
        for samples, timed in pair if turn % 2 else reversed(pair):
            samples.append(timed(plan.service, document))
    yield Figure("cold build, POST to complete", spread(through_amun, "s"))
    yield Figure("podman build --no-cache of the same", spread(by, "s"))
    yield Figure("  cold build over it", spread(ratios(through_amun, by)), AIM)


def _build(service: Service, document: Document) -> float:
    """Seconds from POST until the build is said to be complete. Its log is followed: a poller would slow it down."""
    begun = time.perf_counter()
    inspection_id = service.submit(document)
    for _ in service.client.build_log(inspection_id, follow=True):
        pass
    built = service.over(inspection_id)
    seconds = time.perf_counter() - begun
    service.podman.call("image", "rm", "--force", built["build"]["image"])
    return seconds
