"""Whether any node could ever take a build or run: asked at submission, so that nothing waits for what cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from amun.errors import Infeasible
from amun.model import quantity
from amun.model.inspection import Node
from amun.model.specification import Hardware, Requests, Specification


class Places(Protocol):
    """Of an engine what is asked here."""

    def nodes(self, *, free: bool = True) -> Sequence[Node]: ...

    def lacks(self, hardware: Hardware, node: Node) -> Iterator[str]: ...


def check(specification: Specification, engine: Places) -> None:
    """Raise `Infeasible`, saying what is asked and what there is instead, unless build and run have a node each.

    Where an engine may not know its nodes, nothing is refused.
    """
    nodes = engine.nodes(free=False)
    steps = {"build": specification.build.requests}
    if specification.script is not None:
        steps["run"] = specification.run.requests
    for step, requests in steps.items():
        obstacles = [list(_obstacles(requests, node, engine)) for node in nodes]
        if obstacles and all(obstacles):
            nearest = min(obstacles, key=len)
            raise Infeasible(f"No node here can ever serve {step}.requests: {' '.join(nearest)}")


def _obstacles(requests: Requests, node: Node, engine: Places) -> Iterator[str]:
    """What a node lacks, a sentence each."""
    if quantity.parse(requests.cpu) > node.cpu:
        yield f"Requested {requests.cpu} CPUs, the node has {node.cpu:g}."
    if quantity.parse(requests.memory) > node.memory:
        yield f"Requested {requests.memory} of memory, the node has {node.memory >> 20}Mi."
    if requests.hardware is not None:
        yield from engine.lacks(requests.hardware, node)
