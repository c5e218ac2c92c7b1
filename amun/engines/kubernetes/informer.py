"""What a controller knows of the namespace without asking: lists that watches keep up to date.

A watch that ends is begun again where it was; one that is too old (410) begins with a new list. While the server is out
of reach the last that was known stays, and `synced` says that it is old. Every change wakes who waits.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from openshift.dynamic import Resource

from amun.errors import EngineUnavailable
from amun.telemetry.logs import logger

from .api_client import Cluster, Gone

SILENCE = 90.0
"""Seconds without a word, bookmarks included, after which a watch is taken to be dead. Servers send a bookmark each
minute."""

PAUSES = (0.2, 10.0)
"""Seconds between two tries to reach the server: the first, and the longest."""

BROKEN = (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError)
"""What reading a watch may fail with, be it that another thread has cut it."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Watched:
    """A kind of object to be watched: which of them, what to keep of each, and by what they are looked up.

    Attributes:
        keep: makes of an object what is kept, None for one that need not be.
        group: names the group that an object belongs to.
        metadata: only the objects' metadata is asked for.
    """

    kind: Resource
    selector: str
    keep: Callable[[Document], Any]
    group: Callable[[Document], str | None]
    metadata: bool = False


class Cache:
    """The objects of one kind, by name and by group. Reading never waits."""

    def __init__(self, cluster: Cluster, watched: Watched, changed: Callable[[], None]) -> None:
        self._cluster = cluster
        self._watched = watched
        self._changed = changed
        self._lock = threading.Lock()
        self._objects: dict[str, Any] = {}
        self._groups: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        self._group_of: dict[str, str] = {}
        self._version: str | None = None
        self._ended = threading.Event()
        self._answer: urllib3.BaseHTTPResponse | None = None
        self.synced = threading.Event()
        self.heard = 0.0
        """Seconds since the epoch at which the server last said something: what is older than that is known."""

    def start(self) -> None:
        """Begin to watch, in a thread."""
        threading.Thread(target=self._run, name=f"watch {self._watched.kind.name}", daemon=True).start()

    def stop(self) -> None:
        """End watching; what was known is forgotten."""
        self._ended.set()
        answer = self._answer
        if answer is not None:
            cut(answer)

    # -- read ---------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Any:
        with self._lock:
            return self._objects.get(name)

    def of(self, group: str) -> list[Any]:
        with self._lock:
            return list(self._groups.get(group, {}).values())

    def all(self) -> list[Any]:
        with self._lock:
            return list(self._objects.values())

    # -- watch --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = PAUSES[0]
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                if self._version is None:
                    self._list()
                self._follow()
            except Gone:
                self._version = None
                continue
            except (EngineUnavailable, *BROKEN) as exc:
                if self._ended.is_set():
                    return
                self.synced.clear()
                logger.warning("watch broken, beginning again", kind=self._watched.kind.name, error=str(exc))
            except Exception:  # a watch ends for nothing but `stop`
                self._version = None
                self.synced.clear()
                logger.exception("watch failed, beginning again", kind=self._watched.kind.name)
            pause = PAUSES[0] if time.monotonic() - began > PAUSES[1] else min(2 * pause, PAUSES[1])
            self._ended.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - lest all come back at once

    def _list(self) -> None:
        found: dict[str, Mapping[str, Any]] = {}
        version, began = "", time.time()
        for page in self._cluster.pages(self._watched.kind, self._watched.selector, metadata=self._watched.metadata):
            found.update((item["metadata"]["name"], item) for item in page.get("items") or ())
            version = page["metadata"]["resourceVersion"]
        with self._lock:
            for name in self._objects.keys() - found.keys():
                self._forget(name)
            for item in sorted(found.values(), key=_made):  # who orders them by age finds that nearly done
                self._keep(item)
        self._version, self.heard = version, began
        self.synced.set()
        self._changed()

    def _follow(self) -> None:
        watched = self._watched
        answer = self._cluster.watch(
            watched.kind, watched.selector, self._version or "", idle=SILENCE, metadata=watched.metadata
        )
        self._answer = answer
        try:
            self.synced.set()
            for event in events(answer):
                self._take(event)
                if self._ended.is_set():
                    return
        finally:
            self._answer = None
            answer.close()

    def _take(self, event: Mapping[str, Any]) -> None:
        item = event["object"]
        if event["type"] == "ERROR":
            if item.get("code") == 410:
                raise Gone(item.get("message") or "The watch is too old.", 410)
            raise EngineUnavailable(f"The watch failed: {item.get('message')}")
        self._version, self.heard = item["metadata"]["resourceVersion"], time.time()
        if event["type"] == "BOOKMARK":
            return
        with self._lock:
            if event["type"] == "DELETED":
                self._forget(item["metadata"]["name"])
            else:
                self._keep(item)
        self._changed()

    def _keep(self, item: Mapping[str, Any]) -> None:
        name = item["metadata"]["name"]
        self._forget(name)
        try:
            kept, group = self._watched.keep(item), self._watched.group(item)
        except Exception:  # one object's trouble is not the others'
            logger.exception("object cannot be read", kind=self._watched.kind.name, name=name)
            return
        if kept is None:
            return
        self._objects[name] = kept
        if group is not None:
            self._groups[group][name] = kept
            self._group_of[name] = group

    def _forget(self, name: str) -> None:
        self._objects.pop(name, None)
        group = self._group_of.pop(name, None)
        if group is not None:
            self._groups[group].pop(name, None)
            if not self._groups[group]:
                del self._groups[group]


def _made(item: Mapping[str, Any]) -> str:
    return item["metadata"].get("creationTimestamp") or ""


def events(answer: urllib3.BaseHTTPResponse) -> Iterator[Document]:
    """The events of a watch as they come; the rest that no line end follows was cut off, and is dropped."""
    rest = b""
    for chunk in answer.stream(64 << 10):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from map(json.loads, filter(None, lines))


def cut(answer: urllib3.BaseHTTPResponse) -> None:
    """End an answer that another thread is reading: closing it would wait for that thread."""
    connection = getattr(answer, "_connection", None) or getattr(answer, "connection", None)
    sock = getattr(connection, "sock", None)
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
