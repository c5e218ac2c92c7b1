"""The scheduler: places pods on nodes, those that were there first first, and says why where it cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.cluster.rules.podrules import containers
from tests.cluster.rules.quantities import parse
from tests.cluster.rules.quotas import OVER

from . import conditions

if TYPE_CHECKING:
    from tests.cluster.objects.history import Event
    from tests.cluster.world.world import World

Document = Mapping[str, Any]
Amounts = dict[str, Decimal]

DELETED = "deletionTimestamp"
ELSEWHERE = "node(s) didn't match Pod's node affinity/selector"
CLOSED = "node(s) were unschedulable"
HELPLESS, VICTIMLESS = "Preemption is not helpful for scheduling", "No preemption victims found for incoming pod"


@dataclass
class Waiting:
    """A pod without a place: what it asks for, and what was said of it."""

    pod: Document
    wanted: Amounts
    shape: str
    said: str = ""


class Scheduler:
    """Knows what waits for a place and what has one, from the events of pods."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: dict[str, Waiting] = {}  # by uid, in the order of their creation
        self._placed: dict[str, tuple[str, Amounts]] = {}  # by uid: the node of a pod, what it has there
        world.loop.handle("schedule", self.schedule)

    def notice(self, event: Event) -> None:
        """Take note of a pod."""
        pod, uid = event.entry.object, event.entry.metadata["uid"]
        spec = pod["spec"]
        if event.type == "DELETED" or pod["status"].get("phase") in OVER or event.entry.metadata.get(DELETED):
            self._waiting.pop(uid, None)
        if event.type == "DELETED" or pod["status"].get("phase") in OVER:
            if self._placed.pop(uid, None) and self._waiting:
                self._world.loop.add("schedule")
        elif spec.get("nodeName"):
            self._placed.setdefault(uid, (spec["nodeName"], requests(spec)))
        elif uid not in self._waiting and not event.entry.metadata.get(DELETED):
            wanted = requests(spec)
            shape = {name: spec.get(name) for name in ("nodeSelector", "affinity", "tolerations")}
            self._waiting[uid] = Waiting(pod, wanted, f"{wanted} {shape}")
            self._world.loop.add("schedule", after=self._world.latencies.schedule)

    def schedule(self) -> None:
        """Place all that can be placed."""
        store = self._world.store
        with store.lock:
            nodes = [entry.object for entry in store.entries("Node")]
            left = {node["metadata"]["name"]: _offers(node) for node in nodes}
            for node, taken in list(self._placed.values()):
                if node in left:
                    _take(left[node], taken)
            refused: dict[str, str] = {}  # of the shapes of pods, within this call: places only become fewer
            for uid, waiting in list(self._waiting.items()):
                if waiting.shape not in refused:
                    place, message = _choose(waiting, nodes, left)
                    if place is not None:
                        _take(left[place], waiting.wanted)
                        self._bind(uid, waiting, place)
                        continue
                    refused[waiting.shape] = message
                if waiting.said != refused[waiting.shape]:
                    waiting.said = refused[waiting.shape]
                    self._refuse(uid, waiting)

    def _bind(self, uid: str, waiting: Waiting, node: str) -> None:
        def bind(document: dict[str, Any]) -> None:
            document["spec"]["nodeName"] = node
            conditions.set_condition(document, "PodScheduled", "True", self._world.store.now())

        pod = self._update(uid, waiting, bind)
        if pod is not None:
            self._placed[uid] = (node, waiting.wanted)
            message = f"Successfully assigned {pod['metadata']['namespace']}/{pod['metadata']['name']} to {node}"
            self._world.recorder.scheduling(pod, "Normal", "Scheduled", message, "Binding")
        self._waiting.pop(uid, None)

    def _refuse(self, uid: str, waiting: Waiting) -> None:
        def refuse(document: dict[str, Any]) -> None:
            now = self._world.store.now()
            conditions.set_condition(document, "PodScheduled", "False", now, "Unschedulable", waiting.said)

        pod = self._update(uid, waiting, refuse)
        if pod is not None:
            self._world.recorder.scheduling(pod, "Warning", "FailedScheduling", waiting.said, "Scheduling")

    def _update(self, uid: str, waiting: Waiting, change: Callable[[dict[str, Any]], None]) -> dict[str, Any] | None:
        """Change a pod, if it is still there and without a place."""
        metadata = waiting.pod["metadata"]
        found = self._world.store.find("Pod", metadata["name"], metadata["namespace"])
        if found is None or found["metadata"]["uid"] != uid or found["metadata"].get(DELETED):
            self._waiting.pop(uid, None)
            return None
        return self._world.store.update("Pod", metadata["name"], change, metadata["namespace"])


def _choose(waiting: Waiting, nodes: list[Any], left: dict[str, Amounts]) -> tuple[str | None, str]:
    """The first node that takes a pod, or why none does."""
    reasons: list[list[str]] = []
    for node in nodes:
        name = node["metadata"]["name"]
        against = list(obstacles(waiting.pod["spec"], node)) or _short(waiting.wanted, left[name])
        if not against:
            return name, ""
        reasons.append(against)
    return None, explain(reasons)


def requests(spec: Document) -> Amounts:
    """What a pod asks its node for: all containers together, or the greediest of those that run before them."""
    together: Amounts = {"pods": Decimal(1)}
    before: Amounts = {}
    for container in containers(spec):
        first = container in (spec.get("initContainers") or ())
        for name, quantity in (container.get("resources", {}).get("requests") or {}).items():
            asked = parse(quantity)
            if first:
                before[name] = max(before.get(name, asked), asked)
            else:
                together[name] = together.get(name, Decimal(0)) + asked
    return {name: max(together.get(name, Decimal(0)), before.get(name, Decimal(0))) for name in {**before, **together}}


def _offers(node: Document) -> Amounts:
    return {name: parse(quantity) for name, quantity in node["status"]["allocatable"].items()}


def _take(left: Amounts, taken: Amounts) -> None:
    for name, amount in taken.items():
        left[name] = left.get(name, Decimal(0)) - amount


def _short(wanted: Amounts, left: Amounts) -> list[str]:
    """What there is too little of."""
    short = [name for name, amount in wanted.items() if amount > left.get(name, Decimal(0))]
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in short]


def obstacles(spec: Document, node: Document) -> Iterator[str]:
    """Why a pod may not run on a node, however much there is left of it."""
    tolerations = spec.get("tolerations") or []
    if (node.get("spec") or {}).get("unschedulable"):
        yield CLOSED
        return
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not any(_tolerates(each, taint) for each in tolerations):
            yield f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
            return
    if not _selected(spec, node["metadata"].get("labels") or {}):
        yield ELSEWHERE


def _tolerates(toleration: Document, taint: Document) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint.get("value", ""))


def _selected(spec: Document, labels: Mapping[str, str]) -> bool:
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    terms = [term.get("matchExpressions") or [] for term in required["nodeSelectorTerms"]]
    return any(term and all(_expressed(labels, expression) for expression in term) for term in terms)


def _expressed(labels: Mapping[str, str], expression: Document) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
        case _:
            return value is not None and value.isdigit() and int(value) < int(values[0])


def explain(reasons: Iterable[list[str]]) -> str:
    """Why no node takes a pod, in the words of the scheduler: what is against each of them."""
    against = list(reasons)
    total = len(against)
    if not total:
        return "no nodes available to schedule pods"
    causes = Counter(cause for node in against for cause in node)
    elsewhere = (ELSEWHERE, CLOSED, "node(s) had untolerated")
    rescue = Counter(HELPLESS if node[0].startswith(elsewhere) else VICTIMLESS for node in against)
    said, preemption = (", ".join(sorted(f"{n} {what}" for what, n in each.items())) for each in (causes, rescue))
    none = f"0/{total} nodes are available:"
    return f"{none} {said}. preemption: {none} {preemption}."
