"""Base images: which content a name stands for now, and whether it has triggers, where the cluster can tell.

An image may carry triggers (ONBUILD): lines of a Dockerfile that the next build runs with all that Dockerfiles can do.
A BuildConfig cannot leave them out, so nothing is built on such a base.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from cachetools import TTLCache, cachedmethod

from amun.engines.base import NotYet
from amun.engines.kubernetes import kinds
from amun.engines.kubernetes.api_client import Cluster, ClusterError, Refused, RefusedForGood
from amun.errors import EngineUnavailable
from amun.model import image_names

Document = Mapping[str, Any]

# The integrated registry, by its names inside the cluster: NAMESPACE/NAME:TAG is an ImageStreamTag there.
_INTEGRATED = re.compile(
    r"(?:image-registry\.openshift-image-registry\.svc(?:\.cluster\.local)?:5000|docker-registry\.default\.svc:5000)"
    r"/(?P<namespace>[^/]+)/(?P<name>[^/:@]+)(?::(?P<tag>[^@]+))?"
)

REMEMBERED = 10.0
"""Seconds for which an answer holds, lest a thousand submissions ask a thousand times."""

MAX = 4096
"""Answers that are remembered: callers choose the names."""

TOGETHER = 16
"""Base images that are looked up at once: a registry that does not answer takes its time."""

SOON = 0.5
"""Seconds that a registry is waited for while it is the only one that is asked."""

TRIGGERS = "BaseHasTriggers"

NO_IMAGE = frozenset({"NotFound", "Unauthorized", "Forbidden", "Invalid", "BadRequest"})
"""Reasons of a look-up that do not pass by themselves (importer.go in openshift-apiserver: formatRepositoryError)."""


class Unusable(Exception):
    """Nothing is ever built on a base image; the message is one sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unanswered(Refused):
    """It is not known what a registry has: that may pass."""

    reason = "ErrImagePull"


@dataclass(frozen=True)
class _Found:
    """An image as a registry has it: its digest, and the configuration of each platform's image."""

    digest: str
    configurations: tuple[Document, ...]


class Images:
    """Answers for images of the integrated registry, and of those that the API server reaches.

    `changed` is called when something that was `NotYet` is known. Safe for many threads.
    """

    def __init__(self, cluster: Cluster, changed: Callable[[], object] = lambda: None) -> None:
        self._cluster = cluster
        self._changed = changed
        self._known: TTLCache[tuple[str, str], Document | None] = TTLCache(MAX, REMEMBERED)
        self._asked: TTLCache[str, Future[str | None]] = TTLCache(MAX, REMEMBERED)
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(TOGETHER, "base-images")

    def digest(self, base: str) -> str | None:
        """``sha256:…`` of the base image, None where only its registry would tell it."""
        _, at, pinned = base.partition("@")
        if at:
            return pinned
        image = self._tagged(base)
        return None if image is None else str(image["metadata"]["name"])

    def pin_soon(self, base: str) -> str | None:
        """As `pin`, without waiting long for a registry: raises `NotYet` while it is asked."""
        with self._lock:
            alone = all(one.done() for one in self._asked.values())
            future = self._asked.get(base)
            if future is None:
                future = self._asked[base] = self._threads.submit(self.pin, base)
                future.add_done_callback(lambda _: self._changed())
            if not future.done():
                self._asked[base] = future  # however long that takes, it is asked once
        # Builds start in the order in which they were asked for, unless a registry is slow.
        wait([future], SOON if alone else 0)
        if not future.done():
            raise NotYet
        return future.result()

    def pin(self, base: str) -> str | None:
        """The base image by the digest that it has now; None where this account may not look it up.

        Raises `Unusable` for one with triggers and one that is not there, `Refused` where that may pass.
        """
        found = self._look_up(base)
        if found is None:
            return None
        if any(configuration.get("OnBuild") for configuration in found.configurations):
            why = f"The base image {base} has triggers (ONBUILD), which a build on a cluster cannot leave out."
            raise Unusable(TRIGGERS, why)
        return f"{image_names.repository(base)}@{found.digest}"

    def _look_up(self, base: str) -> _Found | None:
        image = self._tagged(base)
        if image is not None and not image.get("dockerImageManifests"):
            return _Found(image["metadata"]["name"], (_configuration(image),))
        return self._imported(base if image is None else image["dockerImageReference"], base)

    def _tagged(self, base: str) -> Document | None:
        """The image of an ImageStreamTag; None for what is none, or not ours to see."""
        match = _INTEGRATED.fullmatch(base)
        if match is None:
            return None
        return self._tag(match["namespace"], f"{match['name']}:{match['tag'] or 'latest'}")

    @cachedmethod(lambda self: self._known, lock=lambda self: self._lock)
    def _tag(self, namespace: str, tag: str) -> Document | None:
        try:
            image: Document = self._cluster.get(kinds.IMAGE_STREAM_TAGS, tag, namespace)["image"]
        except ClusterError:
            return None
        return image

    def _imported(self, reference: str, base: str) -> _Found | None:
        """An image as its registry has it; nothing is kept of it. None where this account may not ask for that."""
        wanted = {
            "from": {"kind": "DockerImage", "name": reference},
            "importPolicy": {
                "importMode": "PreserveOriginal"
            },  # all platforms of the image, and the digest of the list
        }
        request = {"metadata": {"name": "base"}, "spec": {"import": False, "images": [wanted]}}
        nothing = Unanswered(f"The base image {base} cannot be looked up: no answer from {image_names.registry(base)}.")
        try:
            # Servers without import modes take no notice of them, and look up the image of one platform.
            answer = self._cluster.create(kinds.IMAGE_STREAM_IMPORTS, request, fieldValidation="Ignore")
        except RefusedForGood as exc:
            if exc.wrong:
                raise
            return None
        except ClusterError:
            raise
        except EngineUnavailable as exc:
            raise nothing from exc  # the API server does not answer before the registry does
        (status,) = answer["status"]["images"]
        image = status.get("image")
        if image is None:
            lost = status["status"]
            if lost.get("reason") in NO_IMAGE:
                raise Unusable("ErrImagePull", f"The base image {base} could not be pulled: {lost.get('message')}.")
            raise nothing  # all that is no registry is one sentence, lest bases tell what listens where
        parts = status.get("manifests") or ()
        if image.get("dockerImageManifests") and not parts:
            raise Unanswered(f"The API server does not say what the images of {base} are like.")
        return _Found(image["metadata"]["name"], tuple(map(_configuration, parts or (image,))))


def _configuration(image: Document) -> Document:
    configuration: Document = (image.get("dockerImageMetadata") or {}).get("Config") or {}
    return configuration
