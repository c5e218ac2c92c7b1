"""Base images: which content a name stands for now, where the cluster can tell that without pulling it."""

from __future__ import annotations

import re
import threading

from cachetools import TTLCache, cachedmethod

from . import kinds
from .cluster import Cluster, ClusterError

# The integrated registry, by its names inside the cluster: NAMESPACE/NAME:TAG is an ImageStreamTag there.
_INTEGRATED = re.compile(
    r"(?:image-registry\.openshift-image-registry\.svc(?:\.cluster\.local)?:5000|docker-registry\.default\.svc:5000)"
    r"/(?P<namespace>[^/]+)/(?P<name>[^/:@]+)(?::(?P<tag>[^@]+))?"
)

REMEMBERED = 10.0
"""Seconds for which an answer holds, lest a thousand submissions ask a thousand times."""

MAX = 4096
"""Answers that are remembered: callers choose the names."""


class Images:
    """Answers for images of the integrated registry, and for those that are named by digest."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: TTLCache[tuple[str, str], str | None] = TTLCache(MAX, REMEMBERED)
        self._lock = threading.Lock()

    def digest(self, base: str) -> str | None:
        """``sha256:…`` of the base image, None where only a pull would tell it."""
        _, at, pinned = base.partition("@")
        if at:
            return pinned
        match = _INTEGRATED.fullmatch(base)
        if match is None:
            return None
        return self._ask(match["namespace"], f"{match['name']}:{match['tag'] or 'latest'}")

    @cachedmethod(lambda self: self._known, lock=lambda self: self._lock)
    def _ask(self, namespace: str, tag: str) -> str | None:
        try:
            document = self._cluster.get(kinds.IMAGE_STREAM_TAGS, tag, namespace)
        except ClusterError:
            return None  # not there, or not ours to see: the build will say
        digest: str | None = document["image"]["metadata"]["name"]
        return digest
