"""Which inspections there are, newest first, at a price that does not depend on how many are kept.

The metadata of all records is kept up to date by a watch. That may be some milliseconds behind, and what one replica
has accepted every replica shows at once: so each answer also asks the API server for the records of the last seconds,
which carry the period they were accepted in as a label. While the watch is broken, all are asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from . import kinds, names, records
from .api_client import Cluster
from .informer import Cache, Watched

MARGIN = 1
"""Periods before and after what is in question that are asked for as well: the clocks of replicas differ."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a record's metadata says: `owner` and `period` are values of labels, `phase` is None until it is closed."""

    created: str
    id: str
    owner: str | None
    period: str | None
    active: bool
    phase: str | None


class Index:
    """The records of a namespace. Safe for many threads; begins to watch when it is first asked."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        watched = Watched(kinds.CONFIG_MAPS, _selector(), entry, _owner, metadata=True)
        self._cache = Cache(cluster, watched, lambda: None)
        self._lock = threading.Lock()
        self._begun = False

    def entries(self, owner: str | None = None) -> Sequence[Entry]:
        """All records, newest first; with `owner`, those of this caller. Raises `EngineUnavailable`."""
        self._begin()
        label = None if owner is None else records.owner_label(owner)
        if not self._cache.synced.is_set():
            return _newest_first(self._ask(label))
        periods = self._periods()
        known: list[Entry] = self._cache.all() if label is None else self._cache.of(label)
        return _newest_first([*(one for one in known if one.period not in periods), *self._ask(label, periods)])

    def _begin(self) -> None:
        with self._lock:
            if not self._begun:
                self._begun = True
                self._cache.start()

    def _periods(self) -> set[str]:
        """The periods of which the watch may not have told everything yet."""
        first, last = records.period(self._cache.heard), records.period(time.time())
        return {str(number) for number in range(first - MARGIN, last + MARGIN + 1)}

    def _ask(self, owner: str | None, periods: set[str] | None = None) -> list[Entry]:
        selector = _selector(**({} if owner is None else {names.OWNER: owner}))
        if periods is not None:
            selector += f",{names.ACCEPTED} in ({','.join(sorted(periods))})"
        return [entry(document) for document in self._cluster.list(kinds.CONFIG_MAPS, selector, metadata=True)]


def entry(document: Mapping[str, Any]) -> Entry:
    """What a record's metadata says."""
    metadata = document["metadata"]
    labels = metadata.get("labels") or {}
    outcome = labels.get(names.OUTCOME)
    return Entry(
        created=(metadata.get("annotations") or {}).get(names.CREATED) or "",
        id=metadata["name"],
        owner=labels.get(names.OWNER),
        period=labels.get(names.ACCEPTED),
        active=labels.get(names.STATE) == names.ACTIVE,
        phase=None if outcome is None else outcome.replace("-", "_"),
    )


def _selector(**more: str) -> str:
    return names.selector(**{names.KIND: names.RECORD, **more})


def _owner(document: Mapping[str, Any]) -> str | None:
    return entry(document).owner


def _newest_first(entries: Sequence[Entry]) -> Sequence[Entry]:
    return sorted(entries, key=attrgetter("created", "id"), reverse=True)
