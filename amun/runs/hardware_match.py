"""Whether an item ran on the kind of node that was asked for, by what hwinfo saw there.

Placement is the scheduler's work, by labels that somebody put on nodes. Labels can be wrong or out of date, and a
measurement on the wrong CPU is worse than none: so what hwinfo saw has the last word.

What hwinfo cannot tell is passed over: free labels (`node_selector`), devices of vendors other than NVIDIA, GPUs that
the init container cannot see.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amun.model.specification import Gpu, Hardware

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "powerpc64le": "ppc64le"}
"""The kernel's names -> those of container images and node labels."""

TRADEMARKS = re.compile(r"\((?:r|tm|c)\)", re.IGNORECASE)


@dataclass(frozen=True)
class Comparison:
    """One property: its name, what was requested, what was seen (for a person) and whether that is the same."""

    name: str
    requested: object
    seen: object
    same: bool


def matches(requested: Hardware | None, hwinfo: Mapping[str, Any] | None) -> bool | None:
    """Compare a request with what hwinfo saw: None where nothing was requested or hwinfo can tell nothing of it."""
    compared = list(_comparisons(requested, hwinfo))
    return all(comparison.same for comparison in compared) if compared else None


def mismatches(requested: Hardware | None, hwinfo: Mapping[str, Any] | None) -> list[str]:
    """Return a sentence for each property that is not as requested."""
    return [
        f"Requested {comparison.name} {comparison.requested}, the node has {comparison.seen}."
        for comparison in _comparisons(requested, hwinfo)
        if not comparison.same
    ]


def _comparisons(requested: Hardware | None, hwinfo: Mapping[str, Any] | None) -> Iterator[Comparison]:
    if not requested or not hwinfo:
        return
    cpu = _mapping(hwinfo.get("cpu_info"))
    for name, wanted, seen in (
        ("cpu_family", requested.cpu_family, cpu.get("family")),
        ("cpu_model", requested.cpu_model, cpu.get("model")),
    ):
        if wanted is not None and seen is not None:
            yield Comparison(name, wanted, seen, wanted == seen)
    yield from _physical_cpus(requested.physical_cpus, cpu)
    yield from _processor(requested.processor, cpu.get("brand_raw"))
    yield from _architecture(requested.architecture, cpu.get("arch_string_raw"))
    yield from _gpu(requested.gpu, hwinfo.get("gpus"))


def _physical_cpus(wanted: int | None, cpu: Mapping[str, Any]) -> Iterator[Comparison]:
    # The original took the number from a label, PHYSICAL_CPUS, and nothing says whether those who set it counted cores
    # or what the kernel calls CPUs. Both are accepted.
    cores, threads = cpu.get("cores"), cpu.get("count")
    if wanted is None or (cores is None and threads is None):
        return
    seen = threads if cores in (None, threads) else f"{cores} ({threads} logical)"
    yield Comparison("physical_cpus", wanted, seen, wanted in (cores, threads))


def _processor(wanted: str | None, brand: object) -> Iterator[Comparison]:
    if wanted and isinstance(brand, str):
        yield Comparison("processor", repr(wanted), repr(brand), _words(wanted) == _words(brand))


def _architecture(wanted: str | None, machine: object) -> Iterator[Comparison]:
    if wanted and isinstance(machine, str):
        yield Comparison("architecture", wanted, machine, _canonical(wanted) == _canonical(machine))


def _gpu(wanted: Gpu | None, gpus: object) -> Iterator[Comparison]:
    # All devices of the node are seen, or those that the container was given: at least as many as requested.
    if not wanted or not isinstance(gpus, list):
        return
    seen = [_mapping(gpu) for gpu in gpus if _mapping(gpu).get("vendor") == wanted.vendor]
    if not seen:
        return
    products = [str(gpu.get("product")) for gpu in seen]
    fitting = [name for name in products if not wanted.product or _words(name) == _words(wanted.product)]
    asked = f"{wanted.count} x {wanted.product or wanted.vendor}"
    yield Comparison("gpu", asked, ", ".join(products), len(fitting) >= wanted.count)


def _words(name: str) -> list[str]:
    """Brand strings and the labels made of them differ in case, trademark signs and what stands between words."""
    words = re.findall(r"[a-z0-9]+", TRADEMARKS.sub(" ", name).lower())
    # The driver says "NVIDIA A100" or "Tesla T4", labels say so with or without the vendor.
    return words[1:] if words[:1] == ["nvidia"] else words


def _canonical(architecture: str) -> str:
    name = architecture.lower()
    return ARCHITECTURES.get(name, name)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
