"""Events, as the components write them: equal ones are counted, those of the scheduler are of the newer kind."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ApiError

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

Document = dict[str, Any]
SCHEDULER = "default-scheduler"


class Recorder:
    """Writes the events of all components into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[tuple[str, ...], str] = {}

    def event(
        self, about: Document, kind: str, reason: str, message: str, component: str, host: str = "", field: str = ""
    ) -> None:
        """Record what a component did with an object; `kind` is Normal or Warning, `field` the container's path."""
        metadata = about["metadata"]
        namespace, now = metadata["namespace"], self._store.now()
        same = (metadata["uid"], kind, reason, message, field)
        if (name := self._names.get(same)) and self._store.find("Event", name, namespace):
            self._store.update("Event", name, lambda event: _count(event, now), namespace)
            return
        source = {"component": component, **({"host": host} if host else {})}
        times = {"firstTimestamp": now, "lastTimestamp": now, "count": 1, "eventTime": None}
        rest = {"source": source, **times, "reportingComponent": component, "reportingInstance": host}
        self._names[same] = self._create(about, kind, reason, message, rest, field)

    def scheduling(self, pod: Document, kind: str, reason: str, message: str, action: str) -> None:
        """Record what the scheduler did with a pod."""
        when = f"{self._store.clock():%Y-%m-%dT%H:%M:%S.%fZ}"
        times = {"firstTimestamp": None, "lastTimestamp": None, "eventTime": when}
        by = {"reportingComponent": SCHEDULER, "reportingInstance": f"{SCHEDULER}-vm"}
        self._create(pod, kind, reason, message, {"source": {}, **times, "action": action, **by})

    def _create(self, about: Document, kind: str, reason: str, message: str, rest: Document, field: str = "") -> str:
        metadata = about["metadata"]
        involved = {
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": about["apiVersion"],
            "resourceVersion": metadata["resourceVersion"],
            **({"fieldPath": field} if field else {}),
        }
        name = f"{metadata['name']}.{time.time_ns():x}"
        document = {"metadata": {"name": name}, "involvedObject": involved, "reason": reason, "message": message}
        with contextlib.suppress(ApiError):  # nobody fails for want of an event
            self._store.create("Event", {**document, **rest, "type": kind}, metadata["namespace"])
        return name


def _count(event: Document, now: str) -> None:
    event["count"] += 1
    event["lastTimestamp"] = now
