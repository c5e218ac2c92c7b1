"""What a ResourceQuota allows: how many objects, and how much CPU and memory of pods that are not over."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.cluster import errors
from tests.cluster.objects.kinds import ALL, Kind

from . import quantities

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

OVER = ("Succeeded", "Failed")
COUNTED = {f"count/{kind.resource}": kind.name for kind in ALL}
COUNTED |= {kind.plural: kind.name for kind in ALL if kind.plural in ("configmaps", "secrets", "pods", "services")}
AMOUNTS = {
    f"{place}{name}": (where, name)
    for name in ("cpu", "memory")
    for place, where in (("", "requests"), ("requests.", "requests"), ("limits.", "limits"))
}


def check(store: Store, kind: Kind, document: Mapping[str, Any]) -> None:
    """Refuse with 403 what would be over a quota."""
    if kind.name == "ResourceQuota" or not kind.namespaced:
        return
    for quota in store.entries("ResourceQuota", namespace=document["metadata"]["namespace"]):
        hard = (quota.object.get("spec") or {}).get("hard") or {}
        asked = {name: _asked(name, kind, document) for name in sorted(hard)}
        missing = [name for name, amount in asked.items() if amount is None]
        if missing:
            container = document["spec"]["containers"][0]["name"]
            why = f"failed quota: {quota.name}: must specify {','.join(f'{name} for: {container}' for name in missing)}"
            raise errors.forbidden(kind, document["metadata"]["name"], why)
        used = {name: used_of(store, name, quota.metadata["namespace"]) for name in hard if asked[name]}
        over = sorted(n for n, amount in used.items() if amount + (asked[n] or 0) > quantities.parse(hard[n]))
        if over:
            told = {
                "requested": ",".join(f"{name}={_written(name, asked[name] or Decimal(0))}" for name in over),
                "used": ",".join(f"{name}={_written(name, used[name])}" for name in over),
                "limited": ",".join(f"{name}={hard[name]}" for name in over),
            }
            why = f"exceeded quota: {quota.name}, " + ", ".join(f"{key}: {value}" for key, value in told.items())
            raise errors.forbidden(kind, document["metadata"]["name"], why)


def _written(name: str, amount: Decimal) -> str:
    return quantities.binary(amount) if name.endswith("memory") else quantities.decimal(amount)


def _asked(name: str, kind: Kind, document: Mapping[str, Any]) -> Decimal | None:
    """How much of a resource a new object asks for; None where it does not say, but must."""
    if name in COUNTED:
        return Decimal(COUNTED[name] == kind.name)
    if kind.name != "Pod" or name not in AMOUNTS:
        return Decimal(0)
    return amount_of(document, *AMOUNTS[name])


def amount_of(pod: Mapping[str, Any], where: str, name: str) -> Decimal | None:
    """What the containers of a pod ask for together; None if one does not say."""
    spec = pod["spec"]
    together, alone = Decimal(0), Decimal(0)
    for place in ("containers", "initContainers"):
        for container in spec.get(place) or ():
            given = ((container.get("resources") or {}).get(where) or {}).get(name)
            if given is None:
                return None
            if place == "containers":
                together += quantities.parse(given)
            else:
                alone = max(alone, quantities.parse(given))
    return max(together, alone)


def used_of(store: Store, name: str, namespace: str) -> Decimal:
    """How much of a resource is in use."""
    if name in AMOUNTS:
        pods = _running(store, namespace)
        return sum((amount_of(pod, *AMOUNTS[name]) or Decimal(0) for pod in pods), Decimal(0))
    if name == "pods":
        return Decimal(len(_running(store, namespace)))
    return Decimal(len(store.entries(COUNTED[name], namespace=namespace))) if name in COUNTED else Decimal(0)


def _running(store: Store, namespace: str) -> list[dict[str, Any]]:
    pods = store.entries("Pod", namespace=namespace)
    return [pod.object for pod in pods if (pod.object.get("status") or {}).get("phase") not in OVER]
