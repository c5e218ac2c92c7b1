"""(b) A cold build through the service, over `podman build --no-cache` of the same context."""

from __future__ import annotations

import time
from collections.abc import Iterator

from . import by_hand
from .figures import Figure, ratios, spread
from .plan import Plan

ROUNDS = 3
AIM = "≤ 1.05"


def measure(plan: Plan) -> Iterator[Figure]:
    """A native and a Python step of little work, each round once through the service and once by hand."""
    build = {"cache": False, "requests": {"cpu": "1", "memory": "512Mi"}}
    document = plan.specification(None, python_packages=["six"], build=build)
    through_amun, by = [], []
    for _ in range(plan.rounds or ROUNDS):
        begun = time.perf_counter()
        plan.service.over(plan.service.submit(document))
        through_amun.append(time.perf_counter() - begun)
        by.append(by_hand.build(plan.service, document))
    yield Figure("cold build, POST to complete", spread(through_amun, "s"))
    yield Figure("podman build --no-cache of the same", spread(by, "s"))
    yield Figure("  cold build over it", spread(ratios(through_amun, by)), AIM)
