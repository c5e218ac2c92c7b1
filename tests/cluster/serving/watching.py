"""Watches: what happened since a version, then what happens, as lines of JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tests.cluster.errors import ApiError
from tests.cluster.objects.entries import Entry, encode
from tests.cluster.objects.history import Event
from tests.cluster.objects.kinds import Kind

from .routes import Request

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

HOURS = 3600.0
PATIENCE = 0.5  # seconds between looks whether the reader is still there
FAREWELL = 2.0  # a last bookmark comes this long before the end, as on a real server

Matches = Callable[[Entry], bool]


def watch(store: Store, kind: Kind, request: Request, bookmark_every: float) -> Iterator[bytes]:
    """The lines of one watch. Raises `ApiError` 400 before the first, if the selectors are none."""
    query = request.query
    matches = store.matcher(kind.name, query.get("labelSelector", ""), query.get("fieldSelector", ""), _space(request))
    seconds = float(request.number("timeoutSeconds") or HOURS)
    form = Form(kind, request.partial)
    first: list[Entry] = []
    with store.lock:
        version = request.number("resourceVersion") or 0
        if not version:
            first = [entry for entry in store.entries(kind.name, namespace="*") if matches(entry)]
            version = store.ledger.version
    bookmarks = bookmark_every if request.flag("allowWatchBookmarks") else None
    return _lines(store, form, matches, first, version, seconds, bookmarks)


def _space(request: Request) -> str:
    return request.namespace or "*"


def _lines(
    store: Store,
    form: Form,
    matches: Matches,
    first: list[Entry],
    version: int,
    seconds: float,
    bookmarks: float | None,
) -> Iterator[bytes]:
    yield b"".join(form.line("ADDED", entry) for entry in first)
    history = store.ledger.histories[form.kind.name]
    end = time.monotonic() + seconds
    due = _next_bookmark(end, bookmarks)
    while (now := time.monotonic()) < end:
        with store.lock:  # so that nothing of this version is still on its way into the history
            current = store.ledger.version
        try:
            events = history.since(version, max(0.0, min(PATIENCE, end - now, due - now)))
        except ApiError as exc:
            yield b'{"type":"ERROR","object":' + encode(exc.document) + b"}\n"
            return
        yield b"".join(filter(None, (form.event(event, matches) for event in events)))
        version = events[-1].version if events else max(version, current)
        if time.monotonic() >= due:
            yield form.bookmark(version)
            due = _next_bookmark(end, bookmarks)


def _next_bookmark(end: float, every: float | None) -> float:
    """When the next is due: every so often, and once more shortly before the end."""
    now = time.monotonic()
    if every is None:
        return end + HOURS
    return min(now + every, end - FAREWELL) if now < end - FAREWELL else end + HOURS


class Form:
    """How events are written: whole objects, or their metadata."""

    def __init__(self, kind: Kind, partial: bool) -> None:
        self.kind, self.partial = kind, partial

    def line(self, type_: str, entry: Entry) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (type_.encode(), entry.partial if self.partial else entry.whole)

    def event(self, event: Event, matches: Matches) -> bytes:
        """One event as who selects by labels sees it: what stops to match is gone for them."""
        is_now = event.type != "DELETED" and matches(event.entry)
        was = event.before is not None and matches(event.before)
        if is_now:
            return self.line("MODIFIED" if was else "ADDED", event.entry)
        return self.line("DELETED", event.entry if event.type == "DELETED" else _as_of(event)) if was else b""

    def bookmark(self, version: int) -> bytes:
        metadata = {"resourceVersion": str(version), "creationTimestamp": None}
        name, api_version = ("PartialObjectMetadata", "meta.k8s.io/v1") if self.partial else (None, None)
        identity = {"kind": name or self.kind.name, "apiVersion": api_version or self.kind.api_version}
        return b'{"type":"BOOKMARK","object":' + encode({**identity, "metadata": metadata}) + b"}\n"


def _as_of(event: Event) -> Entry:
    """What stopped to match, as it was, but at the version at which it stopped."""
    last = event.before.copy() if event.before else {}
    last["metadata"]["resourceVersion"] = str(event.version)
    return Entry(last)
