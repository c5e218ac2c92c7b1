"""(a) From POST to report: a trivial script in an environment that is there, over `podman run` of the same.

A run is more than one container: beside it is what the same pod takes where a person has Podman play it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping

from amun.engines.podman.podman_cli import PodmanError
from amun.model import timestamps

from . import by_hand, events
from .figures import Figure, number, ratios, spread
from .plan import Plan

ROUNDS = 8
AIM = "≤ 1.5"
SCRIPT = "#!/bin/sh\necho done\n"

STEPS = (
    ("posted", "accepted", "POST answered (the controller begins meanwhile)"),
    ("posted", "began", "posted, checked, kept; the controller begins"),
    ("began", "infra create", "podman kube play begins"),
    ("infra create", "infra start", "pod and network"),
    ("infra start", "hwinfo start", "init container starts"),
    ("hwinfo start", "hwinfo died", "hardware is described"),
    ("hwinfo died", "run start", "init container goes, the script's starts"),
    ("run start", "script start", "runner begins"),
    ("script start", "script end", "script"),
    ("script end", "run died", "container ends"),
    ("run died", "kept", "report is made and kept"),
    ("kept", "seen", "poller sees it"),
)
"""From which moment to which, and what happens between them."""


def measure(plan: Plan) -> Iterator[Figure]:
    """Ratios to `podman run` in either network and to `podman kube play` of the same pod, and where the time goes."""
    service = plan.service
    document = plan.specification(SCRIPT)
    built = service.over(service.submit(document))
    image = built["build"]["image"]
    chosen = service.machine.run_network
    networks: dict[str, str | None] = {f"network {chosen}, which runs have": chosen, "Podman's default network": None}
    through_amun: list[float] = []
    by: dict[str, list[float]] = {name: [] for name in networks}
    by_pod: list[float] = []
    refusals: dict[str, str] = {}
    moments = []
    for _ in range(plan.rounds or ROUNDS):
        inspection_id, moment = _inspect(plan)
        moments.append(moment)
        through_amun.append(moment["seen"] - moment["posted"])
        by_pod.append(by_hand.play(service, inspection_id))
        for name, network in networks.items():
            try:
                by[name].append(by_hand.run(service, document, image, network))
            except PodmanError as error:
                refusals[name] = str(error)
    yield Figure("POST to report", spread(through_amun, "s"))
    for name, samples in by.items():
        if name in refusals:
            yield Figure(f"podman run, {name}", f"does not work here: {refusals[name][:60]}")
        else:
            yield Figure(f"podman run, {name}", spread(samples, "s"))
            yield Figure("  POST to report over it", spread(ratios(through_amun, samples)), AIM)
    yield Figure("podman kube play of the same pod", spread(by_pod, "s"))
    yield Figure("  POST to report over it", spread(ratios(through_amun, by_pod)))
    yield from _steps(moments)


def _inspect(plan: Plan) -> tuple[str, dict[str, float]]:
    """One inspection; returns its id, and when what happened, in seconds since the epoch."""
    service = plan.service
    posted = time.time()
    inspection_id = service.submit(plan.specification(SCRIPT))
    accepted = time.time()
    report = service.report(inspection_id)
    seen = time.time()
    path = service.settings.state_dir / "inspections" / inspection_id / "items"
    moments = {
        **events.of_pod(service.podman, f"{inspection_id}-0", posted),
        "posted": posted,
        "accepted": accepted,
        "began": path.stat().st_mtime,  # the directory of the only item was made
        "script start": timestamps.seconds(report["start_datetime"]),
        "script end": timestamps.seconds(report["end_datetime"]),
        "kept": (path / "0" / "state.json").stat().st_mtime,
        "seen": seen,
    }
    return inspection_id, moments


def _steps(moments: list[dict[str, float]]) -> Iterator[Figure]:
    """Medians of each step; they need not add up to the median of the whole."""
    for start, end, what in STEPS:
        taken = [_milliseconds(moment, start, end) for moment in moments if start in moment and end in moment]
        if taken:
            yield Figure(f"  {what}", f"{number(statistics.median(taken))} ms")


def _milliseconds(moment: Mapping[str, float], start: str, end: str) -> float:
    return (moment[end] - moment[start]) * 1000
