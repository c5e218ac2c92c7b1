"""The verbs, by HTTP: from a request to what the store does, and back."""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tests.cluster import errors
from tests.cluster.objects.entries import METADATA_GROUP, Entry, encode
from tests.cluster.objects.kinds import Kind

from . import decoding
from .answers import JSON, Answer, json_answer
from .routes import Request

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

Document = dict[str, Any]

PATCHES = {
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/json-patch+json": "json",
}
NAMED = ("get", "update", "patch", "delete")  # verbs for one object; the others are for all
SNAPSHOTS = 32
ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them"
    " or set propagationPolicy=Orphan to suppress this warning"
)
NOT_ALLOWED = "the server does not allow this method on the requested resource"
TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter, or use the continue token in this response to retrieve the remainder of the results."
)


class Resources:
    """What can be done to objects that are kept."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: OrderedDict[str, Sequence[Entry]] = OrderedDict()  # lists of which a part was answered
        self._verbs: dict[str, Callable[[Kind, Request, list[str]], Answer]] = {
            "create": self._create,
            "get": self._get,
            "list": self._list,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_all,
        }

    def answer(self, kind: Kind, request: Request) -> Answer:
        """Raises `ApiError`."""
        if request.verb not in self._verbs or (request.verb in NAMED) is not bool(request.name):
            raise errors.ApiError(405, "MethodNotAllowed", NOT_ALLOWED, {})
        warnings: list[str] = []
        try:
            answered = self._verbs[request.verb](kind, request, warnings)
        except errors.ApiError as exc:
            exc.headers.update(_warning(warnings))
            raise
        return Answer(answered.status, answered.body, answered.content_type, _warning(warnings))

    def _create(self, kind: Kind, request: Request, warnings: list[str]) -> Answer:
        document = decoding.document(request, kind, decoding.body(request), warnings)
        given = (document.get("metadata") or {}).get("namespace")
        if given and kind.namespaced and given != request.namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise errors.bad_request(message)
        created = self._store.create(kind.name, document, request.namespace or None, request.dry_run)
        return _object(Entry(created), request, 201)

    def _get(self, kind: Kind, request: Request, _: list[str]) -> Answer:
        return _object(self._store.entry(kind.name, request.name, request.namespace or None), request)

    def _update(self, kind: Kind, request: Request, warnings: list[str]) -> Answer:
        document = decoding.document(request, kind, decoding.body(request), warnings)
        where = request.name, document, request.namespace or None, request.subresource
        return _object(Entry(self._store.replace(kind.name, *where, request.dry_run)), request)

    def _patch(self, kind: Kind, request: Request, warnings: list[str]) -> Answer:
        form = PATCHES.get(request.headers.get("content-type", "").partition(";")[0])
        if form is None:
            known = ", ".join([*PATCHES, "application/apply-patch+yaml"])
            message = f"the body of the request was in an unknown format - accepted media types include: {known}"
            raise errors.ApiError(415, "UnsupportedMediaType", message, {})
        patch = decoding.body(request)

        def read(patched: Document) -> Document:
            return decoding.document(request, kind, patched, warnings)

        where = request.name, patch, request.namespace or None, request.subresource, form, request.dry_run
        return _object(Entry(self._store.patch(kind.name, *where, read)), request)

    def _delete(self, kind: Kind, request: Request, warnings: list[str]) -> Answer:
        options = _options(request)
        policy = options.get("propagationPolicy")
        if kind.name == "Job" and policy is None:
            warnings.append(ORPHANS)
        found = self._store.entry(kind.name, request.name, request.namespace or None)
        last, gone = self._store.delete(
            kind.name,
            request.name,
            request.namespace or None,
            policy,
            options.get("gracePeriodSeconds"),
            options.get("preconditions"),
            request.dry_run or "All" in (options.get("dryRun") or ()),
        )
        if not gone or kind.returns_deleted or policy in ("Orphan", "Foreground"):
            return _object(Entry(last), request)
        details = {"name": request.name, "group": kind.group, "kind": kind.plural, "uid": found.metadata["uid"]}
        details = {key: value for key, value in details.items() if value}
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return json_answer(status)

    def _delete_all(self, kind: Kind, request: Request, _: list[str]) -> Answer:
        options = _options(request)
        with self._store.lock:
            entries = self._matching(kind, request)
            for entry in entries:
                space = entry.metadata.get("namespace")
                if self._store.find(kind.name, entry.name, space) is not None and not request.dry_run:
                    policy, grace = options.get("propagationPolicy"), options.get("gracePeriodSeconds")
                    self._store.delete(kind.name, entry.name, space, policy, grace)
            return _collection(kind, request, entries, {"resourceVersion": str(self._store.ledger.version)})

    def _list(self, kind: Kind, request: Request, _: list[str]) -> Answer:
        limit, token = request.number("limit") or 0, request.query.get("continue", "")
        if token:
            version, start = _position(token)
            entries = self._snapshots.get(version)
            if entries is None:
                raise errors.expired(TOO_OLD)
            entries = [entry for entry in entries if _place(entry, request) > start]
        else:
            with self._store.lock:
                version, entries = str(self._store.ledger.version), self._matching(kind, request)
        metadata: Document = {"resourceVersion": version}
        if limit and len(entries) > limit:
            self._remember(version, entries)
            metadata["continue"] = _token(version, _place(entries[limit - 1], request))
            if not request.query.get("labelSelector") and not request.query.get("fieldSelector"):
                metadata["remainingItemCount"] = len(entries) - limit
            entries = entries[:limit]
        return _collection(kind, request, entries, metadata)

    def _remember(self, version: str, entries: Sequence[Entry]) -> None:
        self._snapshots.setdefault(version, entries)
        while len(self._snapshots) > SNAPSHOTS:
            self._snapshots.popitem(last=False)

    def forget(self) -> None:
        """Who goes on with a list is told to begin again."""
        self._snapshots.clear()

    def _matching(self, kind: Kind, request: Request) -> Sequence[Entry]:
        query, space = request.query, request.namespace or "*"
        return self._store.entries(kind.name, query.get("labelSelector", ""), query.get("fieldSelector", ""), space)


def _options(request: Request) -> Document:
    """DeleteOptions of the body, or of the query."""
    options: Document = decoding.body(request)
    if "propagationPolicy" in request.query:
        options["propagationPolicy"] = request.query["propagationPolicy"]
    if "gracePeriodSeconds" in request.query:
        options["gracePeriodSeconds"] = request.number("gracePeriodSeconds")
    if options.get("orphanDependents"):
        options["propagationPolicy"] = "Orphan"
    return options


def _object(entry: Entry, request: Request, status: int = 200) -> Answer:
    return Answer(status, entry.partial if request.partial else entry.whole)


def _collection(kind: Kind, request: Request, entries: Sequence[Entry], metadata: Document) -> Answer:
    name, version = f"{kind.name}List", kind.api_version
    if request.partial:
        name, version = "PartialObjectMetadataList", METADATA_GROUP
    head = encode({"kind": name, "apiVersion": version, "metadata": metadata})
    items = b",".join(entry.partial if request.partial else entry.bare for entry in entries)
    return Answer(200, head[:-1] + b',"items":[' + items + b"]}", JSON)


def _place(entry: Entry, request: Request) -> str:
    """The key of an object beneath what is listed."""
    return ("" if request.namespace else entry.metadata.get("namespace", "")) + f"/{entry.name}"


def _token(version: str, last: str) -> str:
    told = {"v": METADATA_GROUP, "rv": int(version), "start": f"{last}\0"}
    return base64.urlsafe_b64encode(encode(told)).decode().rstrip("=")


def _position(token: str) -> tuple[str, str]:
    try:
        told = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return str(told["rv"]), str(told["start"]).rstrip("\0")
    except (ValueError, KeyError, TypeError) as exc:
        raise errors.bad_request(f"continue key is not valid: {exc}") from exc


def _warning(warnings: list[str]) -> dict[str, str]:
    return {"Warning": ", ".join(f"299 - {json.dumps(text)}" for text in warnings)} if warnings else {}
