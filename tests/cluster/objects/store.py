"""The objects of a cluster, with no HTTP: what an API server does to what it is asked to keep.

Kinds are named by their names (``"Pod"``), namespaces default to the store's own. What is returned is the caller's to
change; it has no effect on the store. Refusals are `ApiError`, worded as the real ones.

For controllers in this process::

    for event in store.subscribe("Job", "Pod"):         # those that exist as ADDED, then all that happens
        store.update("Pod", name, lambda pod: pod["status"].update(phase="Running"))
        store.log("Pod", name, "run").write(b"out\\n")
        store.delete("Pod", name, grace=0)              # as the kubelet does, once the containers are over
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.cluster import errors
from tests.cluster.rules import admission

from . import patching, selectors
from .collector import Collector
from .entries import Entry, clone
from .history import Subscription
from .kinds import BY_NAME
from .ledger import Key, Ledger
from .logs import Log

Document = dict[str, Any]


class Store:
    """All objects, what happened to them, and what their containers printed."""

    def __init__(self, namespace: str = "amun-inspection", clock: Callable[[], datetime] | None = None) -> None:
        self.namespace = namespace
        self.clock = clock or (lambda: datetime.now(UTC))
        self.ledger = Ledger()
        self.lock = self.ledger.lock  # hold it to do several things as one
        self.digests: dict[str, str | errors.ApiError] = {}  # what registries have: reference → digest, or an error
        self.configs: dict[str, Document | list[Document]] = {}  # digest → Config of the image, or of each in a list
        self._logs: dict[tuple[str, str, str], dict[str, Log]] = {}
        self._collector = Collector(self)
        for name in ("default", namespace):
            self.create("Namespace", {"metadata": {"name": name}})

    # -- read ---------------------------------------------------------------------------------------------------

    def now(self) -> str:
        """The time as objects write it."""
        return f"{self.clock():%Y-%m-%dT%H:%M:%SZ}"

    def get(self, kind: str, name: str, namespace: str | None = None) -> Document:
        """One object. Raises `ApiError` 404."""
        return self.entry(kind, name, namespace).copy()

    def find(self, kind: str, name: str, namespace: str | None = None) -> Document | None:
        """One object, or None."""
        entry = self.ledger.get(kind, self._key(kind, name, namespace))
        return entry.copy() if entry else None

    def list(self, kind: str, labels: str = "", fields: str = "", namespace: str | None = None) -> list[Document]:
        """Those that match, by name; ``namespace="*"``: of all namespaces."""
        return [entry.copy() for entry in self.entries(kind, labels, fields, namespace)]

    def entry(self, kind: str, name: str, namespace: str | None = None) -> Entry:
        """One object as it is kept: not to be changed."""
        entry = self.ledger.get(kind, self._key(kind, name, namespace))
        if entry is None:
            raise errors.not_found(BY_NAME[kind], name)
        return entry

    def entries(self, kind: str, labels: str = "", fields: str = "", namespace: str | None = None) -> Sequence[Entry]:
        """As `list`, without copying."""
        matches = self.matcher(kind, labels, fields, namespace)
        candidates = self.ledger.having(kind, selectors.wanted(labels))
        return [entry for entry in candidates if matches(entry)]

    def matcher(
        self, kind: str, labels: str = "", fields: str = "", namespace: str | None = None
    ) -> Callable[[Entry], bool]:
        """A test whether an object is among those asked for."""
        by_labels, by_fields = selectors.labels(labels), selectors.fields(fields, kind)
        within = "*" if not BY_NAME[kind].namespaced else namespace or self.namespace

        def matches(entry: Entry) -> bool:
            if within != "*" and entry.metadata["namespace"] != within:
                return False
            return by_labels(entry.labels) and (not fields or by_fields(entry.object))

        return matches

    def by_uid(self, uid: str) -> tuple[str, Document] | None:
        """Kind and object of a uid."""
        return self._collector.find(uid)

    # -- write --------------------------------------------------------------------------------------------------

    def create(self, kind: str, document: Document, namespace: str | None = None, dry_run: bool = False) -> Document:
        """Raises `ApiError` 409, 422, 403."""
        with self.lock:
            space = namespace or (document.get("metadata") or {}).get("namespace") or self.namespace
            fresh = admission.identify(BY_NAME[kind], clone(document), space, self.now())
            admission.create(self, BY_NAME[kind], fresh)
            key = self._key(kind, fresh["metadata"]["name"], fresh["metadata"].get("namespace"))
            if self.ledger.get(kind, key):
                raise errors.already_exists(BY_NAME[kind], key[1])
            if dry_run:
                return fresh
            entry = self.ledger.put(kind, key, fresh)
            self._collector.created(kind, entry)
            return entry.copy()

    def replace(
        self,
        kind: str,
        name: str,
        document: Document,
        namespace: str | None = None,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Document:
        """PUT: the whole object, or its ``status``. With a resourceVersion that is not the last: 409."""
        with self.lock:
            return self._written(kind, name, namespace, lambda _: clone(document), subresource, dry_run, whole=True)

    def patch(
        self,
        kind: str,
        name: str,
        patch: Any,
        namespace: str | None = None,
        subresource: str = "",
        form: str = "merge",
        dry_run: bool = False,
        read: Callable[[Document], Document] = lambda document: document,
    ) -> Document:
        """PATCH: a ``merge``, ``strategic`` or ``json`` patch; `read` checks what came of it."""
        with self.lock:
            apply = patching.FORMS[form]
            return self._written(
                kind, name, namespace, lambda old: read(apply(old, clone(patch))), subresource, dry_run
            )

    def update(
        self, kind: str, name: str, change: Callable[[Document], object], namespace: str | None = None
    ) -> Document:
        """Change an object in place, spec and status alike and unchecked, as controllers and kubelets do.

        Raises `ApiError` 404. A change that changes nothing is no event.
        """
        with self.lock:
            old = self.entry(kind, name, namespace)
            fresh = old.copy()
            change(fresh)
            return self._replaced(kind, old, fresh).copy()

    def delete(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        policy: str | None = None,
        grace: int | None = None,
        preconditions: Document | None = None,
        dry_run: bool = False,
    ) -> tuple[Document, bool]:
        """Delete an object: what it was last, and whether it is gone.

        `policy` is Background, Foreground or Orphan. A pod on a node stays, with a deletionTimestamp, until it is
        deleted with a grace of 0; whatever has finalizers stays until it has none.
        """
        with self.lock:
            entry = self.entry(kind, name, namespace)
            admission.delete(BY_NAME[kind], entry, preconditions or {})
            if dry_run:
                return entry.copy(), True
            return self._collector.delete(kind, entry, policy, grace)

    def restore(self, document: Document) -> None:
        """Put an object there as it was elsewhere, uid, owners and all; nothing is filled in or checked."""
        kind, fresh = document["kind"], clone(document)
        with self.lock:
            key = self._key(kind, fresh["metadata"]["name"], fresh["metadata"].get("namespace"))
            self._collector.restored(kind, self.ledger.put(kind, key, fresh))

    # -- what happened ------------------------------------------------------------------------------------------

    def subscribe(self, *kinds: str, existing: bool = True) -> Subscription:
        """All that happens to objects of these kinds, in order, in all namespaces; what exists comes as ADDED."""
        return self.ledger.subscribe(kinds, existing)

    def expire(self, kinds: Iterable[str] = BY_NAME) -> None:
        """Forget all that happened: watches that go on from before are told 410."""
        self.ledger.expire(kinds)

    def log(self, kind: str, name: str, container: str = "", namespace: str | None = None) -> Log:
        """What a container of a pod printed, or a build; it goes when the object goes."""
        with self.lock:
            of_object = self._logs.setdefault((kind, namespace or self.namespace, name), {})
            return of_object.setdefault(container, Log(self.clock))

    # -- inside -------------------------------------------------------------------------------------------------

    def _key(self, kind: str, name: str, namespace: str | None) -> Key:
        return (namespace or self.namespace) if BY_NAME[kind].namespaced else "", name

    def _written(
        self,
        kind: str,
        name: str,
        namespace: str | None,
        change: Callable[[Document], Document],
        subresource: str,
        dry_run: bool,
        whole: bool = False,
    ) -> Document:
        old = self.entry(kind, name, namespace)
        fresh = change(old.copy())
        admission.update(BY_NAME[kind], old, fresh, subresource, whole)
        if dry_run:
            return fresh
        return self._replaced(kind, old, fresh).copy()

    def _replaced(self, kind: str, old: Entry, fresh: Document) -> Entry:
        """Put a changed object in the place of another, and delete it if that was all it waited for."""
        fresh["metadata"]["resourceVersion"] = old.metadata["resourceVersion"]
        if fresh == old.object:
            return old
        if BY_NAME[kind].generation and _counted(fresh) != _counted(old.object):
            fresh["metadata"]["generation"] = old.metadata.get("generation", 0) + 1
        key = self._key(kind, old.name, old.metadata.get("namespace"))
        entry = self.ledger.put(kind, key, fresh)
        self._collector.modified(kind, old, entry)
        return entry

    def drop(self, kind: str, entry: Entry) -> Entry:
        """Take an object away for good, with its logs; for the collector."""
        key = self._key(kind, entry.name, entry.metadata.get("namespace"))
        gone = self.ledger.drop(kind, key)
        for log in self._logs.pop((kind, *key), {}).values():
            log.close()
        return gone


def _counted(document: Document) -> tuple[Any, Any]:
    """Of what changes are counted as generations."""
    return document.get("spec"), (document.get("status") or {}).get("lastVersion")
