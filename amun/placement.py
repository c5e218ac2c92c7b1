"""Whether any node could ever take a build or run: asked at submission, so that nothing waits for what cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import formats, hardware
from .errors import Infeasible
from .inspection import Node
from .specification import Requests, Specification


def check(specification: Specification, nodes: Sequence[Node]) -> None:
    """Raise `Infeasible`, saying what is asked and what there is instead, unless build and run have a node each."""
    steps = {"build": specification.build.requests}
    if specification.script is not None:
        steps["run"] = specification.run.requests
    for step, requests in steps.items():
        obstacles = [list(_obstacles(requests, node)) for node in nodes]
        if all(obstacles):
            nearest = min(obstacles, key=len, default=["There is no node."])
            raise Infeasible(f"No node here can ever serve {step}.requests: {' '.join(nearest)}")


def _obstacles(requests: Requests, node: Node) -> Iterator[str]:
    """What a node lacks, a sentence each."""
    if formats.quantity(requests.cpu) > node.cpu:
        yield f"Requested {requests.cpu} CPUs, the node has {node.cpu:g}."
    if formats.quantity(requests.memory) > node.memory:
        yield f"Requested {requests.memory} of memory, the node has {node.memory >> 20}Mi."
    if requests.hardware is not None:
        yield from hardware.mismatches(requests.hardware, node.hwinfo)
        gpu = requests.hardware.gpu
        if gpu is not None and not any(device.get("vendor") == gpu.vendor for device in node.gpus):
            yield f"Requested {gpu.count} x {gpu.vendor}, the node has none."
        for label, value in requests.hardware.node_selector.items():
            if node.labels.get(label) != value:
                yield f"Requested the label {label}={value}, the node has {node.labels.get(label, 'none')}."
