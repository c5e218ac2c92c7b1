"""(d) Requests a second and CPU time a request: the API over the least that Connexion can serve.

One worker each, of the same class. There is no controller, so that nothing is built or run for what is submitted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from . import load, processes
from .figures import Figure, ratios, spread
from .load import Target
from .plan import Plan
from .service import Service, serve_api, serve_plain

ROUNDS = 3
SECONDS = 3


def measure(plan: Plan) -> Iterator[Figure]:
    """Both services run all the time and are asked in turn."""
    with ExitStack() as running:
        amun = running.enter_context(serve_api(plan.directory / "api", workers=1))
        plain = running.enter_context(serve_plain(plan.directory / "plain"))
        specification = plan.specification("true")
        inspection_id = amun.submit(specification)
        api = amun.client.url
        yield Figure("requests are made by", f"{load.tool()}, {load.CONNECTIONS} connections")
        for name, target, bare in (
            ("GET status", Target(f"{api}/inspect/{inspection_id}/status"), Target(f"{plain.url}/status/1")),
            ("POST submit", Target(f"{api}/inspect", specification), Target(f"{plain.url}/inspect", specification)),
        ):
            yield from _compare(name, (amun, target), (plain, bare), plan.rounds or ROUNDS)


def _compare(name: str, ours: tuple[Service, Target], bare: tuple[Service, Target], rounds: int) -> Iterator[Figure]:
    pairs = [(_load(*ours), _load(*bare)) for _ in range(rounds)]
    rates, bare_rates = ([sample[0] for sample in samples] for samples in zip(*pairs, strict=True))
    costs, bare_costs = ([sample[1] for sample in samples] for samples in zip(*pairs, strict=True))
    yield Figure(f"{name}, requests a second", spread(rates))
    yield Figure("  bare Connexion route, requests a second", spread(bare_rates))
    yield Figure("  requests a second over it", spread(ratios(rates, bare_rates)))
    yield Figure(f"{name}, CPU time a request", spread(costs, "ms"))
    yield Figure("  bare Connexion route, CPU time a request", spread(bare_costs, "ms"))
    yield Figure("  CPU time over it", spread(ratios(costs, bare_costs)))


def _load(service: Service, target: Target) -> tuple[float, float]:
    """Requests a second, and milliseconds of CPU time a request."""
    workers = service.workers()
    before = processes.cpu_seconds(workers)
    count, seconds = load.requests_answered(target, SECONDS)
    return count / seconds, (processes.cpu_seconds(workers) - before) / count * 1000
