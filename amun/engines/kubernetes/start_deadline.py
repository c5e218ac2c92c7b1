"""How long is waited for what cannot start; why it waits is noted for whoever asks."""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cachetools import TTLCache, cachedmethod

from amun.model import timestamps
from amun.telemetry.logs import logger

from . import kinds, pending_reasons, pod_states, records
from .api_client import Cluster, NotFound, Refused, RefusedForGood
from .records import Reason, Record, Waiting

Document = Mapping[str, Any]

EVENTS_AGAIN = 5.0
"""Seconds after which it is looked again why a Job or Build has no pods."""

EVENTS_HOLD = 1.0
"""Seconds for which a list of events answers for all: a thousand that wait for a quota are one request."""

PODS_WITHIN = 1.0 + EVENTS_HOLD
"""Seconds within which a Job or Build has its pods, or is in a list of events; a second for creationTimestamp."""


class Patience:
    """Ends `start_deadline` seconds after a Job, a Build or a pod was made that has not started."""

    def __init__(self, cluster: Cluster, start_deadline: float) -> None:
        self._cluster = cluster
        self._start_deadline = start_deadline
        self._looked: TTLCache[str, bool] = TTLCache(math.inf, EVENTS_AGAIN)
        self._events: TTLCache[object, Mapping[str, Sequence[Document]]] = TTLCache(1, EVENTS_HOLD)

    def over(self, record: Record, document: Document, pods: Sequence[Document]) -> Reason | None:
        """Why a Job or Build, with these pods, could not start in time; None while there is hope, or no need of it."""
        return self._unstarted(pods) if pods else self._without_pods(record, document)

    def _unstarted(self, pods: Sequence[Document]) -> Reason | None:
        for pod in pods:
            why = None if pod_states.terminated(pod) else pending_reasons.why(pod) or pending_reasons.unnoticed(pod)
            if why is not None and _age(pod) > self._start_deadline:
                return Reason(why.reason, why.message)
        return None

    def _without_pods(self, record: Record, document: Document) -> Reason | None:
        name, age = document["metadata"]["name"], _age(document)
        if age < PODS_WITHIN or document["spec"].get("suspend") or name in self._looked:
            return None
        self._looked[name] = True
        why = pending_reasons.refused_pods(self._failures().get(name, ()))
        if why is None:
            noticed = {"startTime", "startTimestamp"} & (document.get("status") or {}).keys()
            return None if noticed or age <= self._start_deadline else Reason(*pending_reasons.UNNOTICED)
        reason = Reason(why.reason, why.message)
        self._note(record, reason)
        return reason if age > self._start_deadline else None

    @cachedmethod(lambda self: self._events)
    def _failures(self) -> Mapping[str, Sequence[Document]]:
        """The events that say why something has no pods, by its name."""
        found: defaultdict[str, list[Document]] = defaultdict(list)
        for event in self._cluster.list(kinds.EVENTS, fields="reason=FailedCreate"):
            found[event["involvedObject"]["name"]].append(event)
        return found

    @contextlib.contextmanager
    def noting(self, record: Record) -> Iterator[None]:
        """Keep why the cluster refuses something, for whoever asks why it waits; it is not asked for ever."""
        try:
            yield
        except (Refused, NotFound) as exc:
            reason = Reason(pending_reasons.reason_of(str(exc), exc.reason), str(exc))
            since = self._note(record, reason)
            wrong = isinstance(exc, RefusedForGood) and exc.wrong
            if wrong or (timestamps.between(since, timestamps.now()) or 0) > self._start_deadline:
                self.give_up(record, reason)
            raise

    def over_with(self, record: Record) -> None:
        """What it waited for is there."""
        if record.waiting is not None:
            self._cluster.patch(kinds.CONFIG_MAPS, record.inspection.id, records.waits(None))

    def give_up(self, record: Record, reason: Reason) -> None:
        """Let nothing of an inspection start any more."""
        logger.warning("cannot start", reason=reason.reason)
        self._cluster.patch(kinds.CONFIG_MAPS, record.inspection.id, records.stopped(reason))

    def _note(self, record: Record, reason: Reason) -> str:
        """Keep why an inspection waits; returns since when it has waited for that."""
        known = record.waiting
        since = known.since if known is not None and known.since and known.reason == reason.reason else timestamps.now()
        noted = Waiting(**vars(reason), since=since)
        if known != noted:
            self._cluster.patch(kinds.CONFIG_MAPS, record.inspection.id, records.waits(noted))
        return since


def _age(document: Document) -> float:
    """Seconds since an object was made."""
    return timestamps.between(document["metadata"].get("creationTimestamp"), timestamps.now()) or 0.0
