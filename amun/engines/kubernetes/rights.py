"""What Amun must be allowed to do in its namespace, and what it does without: asked by SelfSubjectAccessReview."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cachetools import TTLCache

from amun.errors import EngineUnavailable

from . import kinds
from .api_client import Cluster, ClusterError

REMEMBERED = 60.0
"""Seconds for which it holds that nothing is missing: rights change seldom, and there are many of them."""

MAX = 16
"""Sets of rights for which that is remembered."""


class Right(NamedTuple):
    """A verb on a resource (``resource/subresource``) of an API group."""

    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''}"


def _rights(group: str, resource: str, *verbs: str) -> list[Right]:
    return [Right(verb, group, resource) for verb in verbs]


API = [
    *_rights("", "configmaps", "create", "delete", "get", "list", "patch", "watch"),
    *_rights("", "secrets", "create", "get"),
    *_rights("", "pods", "list", "watch"),
    *_rights("", "pods/log", "get"),
    *_rights("batch", "jobs", "list"),
    *_rights("build.openshift.io", "builds", "list", "watch"),
    *_rights("build.openshift.io", "builds/log", "get"),
    *_rights("image.openshift.io", "imagestreams", "get"),
]
"""What the API needs: it declares, reads, cancels and deletes."""

CONTROLLER = [
    *API,
    *_rights("", "secrets", "delete", "list", "patch"),
    *_rights("", "pods", "delete", "patch"),
    *_rights("", "events", "list"),
    *_rights("batch", "jobs", "create", "delete", "watch"),
    *_rights("build.openshift.io", "builds", "patch"),
    *_rights("build.openshift.io", "buildconfigs", "create", "patch"),
    *_rights("build.openshift.io", "buildconfigs/instantiate", "create"),
    *_rights("image.openshift.io", "imagestreams", "create"),
]
"""What the controller needs besides: it builds, runs and stops."""

NODES = _rights("", "nodes", "list")
"""Without it nothing is refused beforehand for want of hardware, and GET /hardware is empty."""


BASES = [
    *_rights("image.openshift.io", "imagestreamtags", "get"),
    *_rights("image.openshift.io", "imagestreamimports", "create"),
]
"""What the API and the controller look up base images with. Without it builds run the triggers (ONBUILD) of bases."""


class Rights:
    """Asks which rights are missing, now and then. Safe for many threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._granted: TTLCache[tuple[Right, ...], bool] = TTLCache(MAX, REMEMBERED)

    def check(self, needed: Iterable[Right]) -> None:
        """Raise `EngineUnavailable`, which names each right that is missing by verb and resource."""
        missing = self._look(tuple(needed))
        if missing:
            place = f"in the namespace {self._cluster.namespace!r}"
            raise EngineUnavailable(f"The service account may not {', '.join(map(str, missing))} {place}.")

    def _look(self, needed: tuple[Right, ...]) -> list[Right]:
        with self._lock:
            if needed in self._granted:
                return []
            missing = self.missing(needed)
            if not missing:
                self._granted[needed] = True
            return missing

    def missing(self, needed: Sequence[Right]) -> list[Right]:
        """Which of them this service account does not have, asked now. Raises `EngineUnavailable`."""
        with ThreadPoolExecutor(8) as threads:
            allowed = list(threads.map(self.allowed, needed))
        return [right for right, may in zip(needed, allowed, strict=True) if not may]

    def allowed(self, right: Right) -> bool:
        """Whether this service account has a right in the namespace."""
        resource, _, subresource = right.resource.partition("/")
        attributes = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": subresource}
        wanted = {name: value for name, value in attributes.items() if value}
        review = {"spec": {"resourceAttributes": {"namespace": self._cluster.namespace, **wanted}}}
        try:
            return bool(self._cluster.create(kinds.ACCESS_REVIEWS, review)["status"]["allowed"])
        except ClusterError as exc:
            raise EngineUnavailable(f"It cannot be asked what the service account may do: {exc}") from exc
