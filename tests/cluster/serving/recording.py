"""The requests that were made, for counting."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from .routes import Request


@dataclass(frozen=True)
class Record:
    verb: str
    resource: str  # with its subresource: ``pods/log``
    namespace: str
    name: str
    query: str
    user: str
    agent: str  # the User-Agent header
    status: int  # 0: the connection was dropped
    size: int  # bytes of the answer's body; 0 for streams
    time: float = field(default_factory=time.monotonic)

    @property
    def watch(self) -> bool:
        return self.verb == "watch"


class Recording:
    """All requests, oldest first; those of discovery have no resource."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._lock = threading.Lock()

    def add(self, request: Request, status: int, size: int = 0) -> None:
        query = "&".join(f"{key}={value}" for key, value in request.query.items())
        user, agent = request.seen.get("user", ""), request.headers.get("user-agent", "")
        where = request.namespace, request.name, query
        with self._lock:
            self._records.append(
                Record(request.verb, request.resource or request.path, *where, user, agent, status, size)
            )

    def __iter__(self) -> Iterator[Record]:
        with self._lock:
            return iter(list(self._records))

    def __len__(self) -> int:
        return len(self._records)

    def matching(self, verb: str = ".*", resource: str = ".*", agent: str = ".*", since: float = 0) -> list[Record]:
        """Those whose verb, resource and user agent match these regular expressions."""
        return [
            record
            for record in self
            if record.time >= since
            and re.fullmatch(verb, record.verb)
            and re.fullmatch(resource, record.resource)
            and re.fullmatch(agent, record.agent)
        ]

    def count(self, verb: str = ".*", resource: str = ".*", agent: str = ".*", since: float = 0) -> int:
        return len(self.matching(verb, resource, agent, since))

    def summary(self) -> dict[str, int]:
        """How many of each: ``{"create jobs": 3}``."""
        return dict(Counter(f"{record.verb} {record.resource}" for record in self))

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
