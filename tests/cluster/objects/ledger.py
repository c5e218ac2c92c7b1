"""Which objects there are, and what happened to them: the one place that numbers versions and tells of changes."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .entries import Entry
from .history import Event, History, Subscription
from .kinds import BY_NAME

Key = tuple[str, str]  # namespace ("" for what has none), name


class Ledger:
    """Objects by kind and key. `lock` is held by who changes something, and by who must not miss anything."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = 1000
        self.histories = {kind: History() for kind in BY_NAME}
        self._objects: dict[str, dict[Key, Entry]] = {kind: {} for kind in BY_NAME}
        self._labelled: dict[tuple[str, str, str], set[Key]] = defaultdict(set)  # kind, label, value → keys
        self._subscriptions: list[tuple[frozenset[str], Subscription]] = []

    def get(self, kind: str, key: Key) -> Entry | None:
        return self._objects[kind].get(key)

    def all(self, kind: str) -> list[Entry]:
        """All of a kind, by namespace and name."""
        with self.lock:
            return [entry for _, entry in sorted(self._objects[kind].items())]

    def having(self, kind: str, wanted: Iterable[tuple[str, Iterable[str]]]) -> list[Entry]:
        """All of a kind, or at least those that have each of these labels with one of its values; ordered as `all`."""
        with self.lock:
            found = [[self._labelled.get((kind, label, value), ()) for value in values] for label, values in wanted]
            if not found:
                return self.all(kind)
            fewest = min(found, key=lambda groups: sum(map(len, groups)))
            return [self._objects[kind][key] for key in sorted(set().union(*fewest))]

    def put(self, kind: str, key: Key, document: dict[str, Any]) -> Entry:
        """Keep a new object, or a new version of one, under the next version; the document is the ledger's now."""
        with self.lock:
            self.version += 1
            document["metadata"]["resourceVersion"] = str(self.version)
            entry, before = Entry(document), self._objects[kind].get(key)
            self._objects[kind][key] = entry
            self._label(kind, key, before, entry)
            self._tell(Event("MODIFIED" if before else "ADDED", kind, self.version, entry, before))
            return entry

    def drop(self, kind: str, key: Key) -> Entry:
        """Take an object away for good; answers what it was last, under the version of its end."""
        with self.lock:
            before = self._objects[kind].pop(key)
            self._label(kind, key, before, None)
            self.version += 1
            last = before.copy()
            last["metadata"]["resourceVersion"] = str(self.version)
            gone = Entry(last)
            self._tell(Event("DELETED", kind, self.version, gone, before))
            return gone

    def subscribe(self, kinds: Iterable[str], existing: bool) -> Subscription:
        """All that happens to objects of these kinds, in order; what exists comes first, as ADDED."""
        subscription = Subscription()
        with self.lock:
            self._subscriptions.append((frozenset(kinds), subscription))
            for kind in kinds if existing else ():
                for entry in self._objects[kind].values():
                    subscription.put(Event("ADDED", kind, entry.version, entry))
        return subscription

    def expire(self, kinds: Iterable[str]) -> None:
        """Forget all that happened to objects of these kinds."""
        with self.lock:
            self.version += 1
            for kind in kinds:
                self.histories[kind].expire(self.version)

    def wake(self) -> None:
        """Let all who wait for something to happen look again."""
        for history in self.histories.values():
            history.wake()

    def _label(self, kind: str, key: Key, before: Entry | None, after: Entry | None) -> None:
        """Keep what is found by labels."""
        old, new = (set(entry.labels.items()) if entry else set() for entry in (before, after))
        for label in old - new:
            keys = self._labelled[(kind, *label)]
            keys.discard(key)
            if not keys:
                del self._labelled[(kind, *label)]
        for label in new - old:
            self._labelled[(kind, *label)].add(key)

    def _tell(self, event: Event) -> None:
        self.histories[event.kind].append(event)
        for kinds, subscription in self._subscriptions:
            if event.kind in kinds:
                subscription.put(event)
