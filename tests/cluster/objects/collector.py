"""Deleting, and the garbage collector: what goes when its owner goes. All at once, where a real one takes moments."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .entries import Entry
from .kinds import BY_NAME

if TYPE_CHECKING:
    from .store import Store

GRACE = 30  # seconds that pods are given by default
OVER = ("Succeeded", "Failed")


class Collector:
    """Knows who owns whom."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._places: dict[str, tuple[str, str, str]] = {}  # uid → kind, namespace, name
        self._owned: dict[str, set[str]] = defaultdict(set)  # uid of an owner → uids of what it owns

    def find(self, uid: str) -> tuple[str, dict[str, Any]] | None:
        """Kind and object of a uid."""
        if uid not in self._places:
            return None
        kind, namespace, name = self._places[uid]
        return kind, self._store.get(kind, name, namespace or None)

    def created(self, kind: str, entry: Entry) -> None:
        """Note a new object; one whose owners are all gone already goes too."""
        self.restored(kind, entry)
        owners = _owners(entry)
        if owners and not any(uid in self._places for uid in owners):
            self.delete(kind, entry, "Background")

    def restored(self, kind: str, entry: Entry) -> None:
        """Note an object, whatever became of its owners."""
        self._places[entry.metadata["uid"]] = (kind, entry.metadata.get("namespace", ""), entry.name)
        self._note(entry)

    def modified(self, kind: str, old: Entry, entry: Entry) -> None:
        """Note changed owners; delete what waited only for its finalizers."""
        for uid in set(_owners(old)) - set(_owners(entry)):
            self._owned[uid].discard(entry.metadata["uid"])
        self._note(entry)
        if _waits_for_nothing(entry):
            self._drop(kind, entry)

    def delete(
        self, kind: str, entry: Entry, policy: str | None = None, grace: int | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Delete an object as far as can be done now: what it was last, and whether it is gone."""
        policy = policy or ("Orphan" if kind == "Job" else "Background")
        if policy == "Orphan":
            self._orphan(entry)
        seconds, before = self._grace(kind, entry, grace), entry.metadata.get("deletionGracePeriodSeconds")
        if before is None and not seconds and not entry.metadata.get("finalizers"):
            return self._drop(kind, entry).copy(), True
        if before is None or seconds < before:
            self._store.update(kind, entry.name, lambda document: self._mark(kind, document, seconds), _space(entry))
        if policy == "Foreground":  # whatever waits for its own finalizers, what it owns goes now
            self._collect(entry.metadata["uid"])
        kept = self._store.find(kind, entry.name, _space(entry))
        return kept or entry.copy(), kept is None

    def _grace(self, kind: str, entry: Entry, grace: int | None) -> int:
        if kind != "Pod" or not entry.object.get("spec", {}).get("nodeName"):
            return 0
        if entry.object.get("status", {}).get("phase") in OVER:
            return 0
        asked = entry.object["spec"].get("terminationGracePeriodSeconds", GRACE)
        return int(asked if grace is None else grace)

    def _mark(self, kind: str, document: dict[str, Any], seconds: int) -> None:
        metadata = document["metadata"]
        when = self._store.clock() + timedelta(seconds=seconds)
        metadata["deletionTimestamp"] = f"{when:%Y-%m-%dT%H:%M:%SZ}"
        metadata["deletionGracePeriodSeconds"] = seconds
        if BY_NAME[kind].generation:
            metadata["generation"] = metadata.get("generation", 0) + 1

    def _drop(self, kind: str, entry: Entry) -> Entry:
        gone = self._store.drop(kind, entry)
        uid = entry.metadata["uid"]
        del self._places[uid]
        for owner in _owners(entry):
            self._owned[owner].discard(uid)
        self._collect(uid)
        return gone

    def _collect(self, owner: str) -> None:
        """Delete what this was the last owner of; from what has others, take the reference."""
        for kind, entry in self._dependents(owner):
            if any(uid in self._places for uid in _owners(entry) if uid != owner):
                self._release(kind, entry, owner)
            elif entry.metadata.get("deletionTimestamp") is None:
                self.delete(kind, entry, "Background")

    def _orphan(self, entry: Entry) -> None:
        for kind, owned in self._dependents(entry.metadata["uid"]):
            self._release(kind, owned, entry.metadata["uid"])

    def _release(self, kind: str, entry: Entry, owner: str) -> None:
        def release(document: dict[str, Any]) -> None:
            kept = [ref for ref in document["metadata"]["ownerReferences"] if ref["uid"] != owner]
            document["metadata"]["ownerReferences"] = kept
            if not kept:
                del document["metadata"]["ownerReferences"]

        self._store.update(kind, entry.name, release, _space(entry))

    def _dependents(self, owner: str) -> list[tuple[str, Entry]]:
        places = [self._places[uid] for uid in sorted(self._owned.get(owner, ()))]
        return [(kind, self._store.entry(kind, name, namespace or None)) for kind, namespace, name in places]

    def _note(self, entry: Entry) -> None:
        for uid in _owners(entry):
            self._owned[uid].add(entry.metadata["uid"])


def _owners(entry: Entry) -> list[str]:
    return [reference["uid"] for reference in entry.metadata.get("ownerReferences") or ()]


def _waits_for_nothing(entry: Entry) -> bool:
    metadata = entry.metadata
    going = metadata.get("deletionTimestamp") is not None
    return going and not metadata.get("finalizers") and not metadata.get("deletionGracePeriodSeconds")


def _space(entry: Entry) -> str | None:
    return entry.metadata.get("namespace")
