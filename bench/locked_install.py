"""(c) The same locked stack, installed by each package manager."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

from amun.client import Document
from amun.processes.supervisor import ROOT

from .figures import Figure, spread
from .plan import Plan
from .service import Service

ROUNDS = 2
MANAGERS = ("micropipenv", "pipenv", "uv")
STACK = ("certifi", "charset-normalizer", "idna", "requests", "urllib3")
"""Packages of the service's own lock: their hashes are kept up with it."""

STEP = re.compile(rb"^STEP \d+/\d+: ", re.MULTILINE)


def measure(plan: Plan) -> Iterator[Figure]:
    """Seconds of the step that installs, the package manager's own installation included."""
    taken: dict[str, list[float]] = {manager: [] for manager in MANAGERS}
    for _ in range(plan.rounds or ROUNDS):
        for manager in MANAGERS:
            taken[manager].append(_install(plan.service, _specification(plan, manager)))
    for manager, samples in taken.items():
        yield Figure(f"{len(STACK)} locked packages by {manager}", spread(samples, "s"))


def _specification(plan: Plan, manager: str) -> Document:
    lock = json.loads((ROOT / "Pipfile.lock").read_text())
    source = [{"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": True}]
    requires = {"python_version": "3.11"}
    python = {
        "requirements": {"source": source, "packages": dict.fromkeys(STACK, "*"), "requires": requires},
        "requirements_locked": {
            "_meta": {"hash": {"sha256": "0" * 64}, "pipfile-spec": 6, "requires": requires, "sources": source},
            "default": {name: lock["default"][name] for name in STACK},
            "develop": {},
        },
    }
    build = {"cache": False, "requests": {"cpu": "1", "memory": "1Gi"}}
    return plan.specification(None, python=python, package_manager=manager, build=build)


def _install(service: Service, document: Document) -> float:
    """Seconds between the first line of the step and that of the next, as a follower of the log gets them."""
    inspection_id = service.submit(document)
    log, begun, ended = b"", None, None
    for chunk in service.client.build_log(inspection_id, follow=True):
        log += chunk
        steps = [log[match.start() :].partition(b"\n")[0] for match in STEP.finditer(log)]
        if begun is None and any(b"locked.sh" in step and b"RUN" in step for step in steps):
            begun = time.perf_counter()
        elif begun is not None and ended is None and b"RUN" not in steps[-1]:
            ended = time.perf_counter()
    service.over(inspection_id)
    if begun is None or ended is None:
        raise RuntimeError("the step is not in the log of the build")
    return ended - begun
