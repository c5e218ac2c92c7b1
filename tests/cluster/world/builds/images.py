"""Images: base images that registries have, and those that builds pushed into ImageStreams."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ApiError
from tests.cluster.rules.buildrules import REGISTRY
from tests.cluster.serving import builds
from tests.conftest import BASE
from tests.support import standin_base

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUILDER = "localhost/rig-docker-builder:1"
"""What build pods run."""

BASES = (BASE, standin_base.IMAGE, "debian:12", "localhost/debian:12", f"{REGISTRY}/openshift/debian:12", BUILDER)
SIZE = 93647699


@dataclass(frozen=True)
class Image:
    """What a container is started from.

    Attributes:
        reported: what the status of a container calls it, and where it was pulled from.
        environment: its variables, as ``NAME=value``.
        files: those of its home that builds placed there.
    """

    reported: Mapping[str, str]
    environment: tuple[str, ...] = (PATH,)
    files: Mapping[str, bytes] = field(default_factory=dict)


class Images:
    """Finds images by their references."""

    def __init__(self, store: Store) -> None:
        self._store = store
        for base in BASES:
            store.digests.setdefault(base, _digest(base))
        self.files: dict[str, Mapping[str, bytes]] = {}

    def is_base(self, reference: str) -> bool:
        """Whether a registry has a base image (the store's `digests`), by a name or by its digest."""
        name, _, digest = reference.partition("@")
        known = {kept: found for kept, found in self._store.digests.items() if not isinstance(found, ApiError)}
        pinned = any(found == digest and kept.startswith(f"{name}:") for kept, found in known.items())
        return pinned or bool({reference, name, f"{name}:latest"} & known.keys())

    def find(self, reference: str) -> Image | None:
        """The image that a container names; None if it cannot be pulled."""
        repository, _, digest = reference.partition("@")
        if self.is_base(reference):
            return Image(_reported(reference, _digest(reference), reference))
        if not digest or not self._in_stream(repository, digest):
            return None
        kept = self._store.find("Image", digest)
        if kept is None:
            return None
        config = kept["dockerImageMetadata"]
        environment = tuple((config.get("Config") or {}).get("Env") or (PATH,))
        return Image(_reported(reference, config["Id"], config["Id"]), environment, self.files.get(digest, {}))

    def _in_stream(self, repository: str, digest: str) -> bool:
        """Whether the integrated registry has an image under this name."""
        place = repository.removeprefix(f"{REGISTRY}/").split("/")
        if not repository.startswith(f"{REGISTRY}/") or len(place) != 2:
            return False
        stream = self._store.find("ImageStream", place[1], place[0])
        tags = (stream or {}).get("status", {}).get("tags") or ()
        return any(item.get("image") == digest for tag in tags for item in tag.get("items") or ())

    def push(self, stream: str, tag: str, namespace: str, image: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
        """Keep an image, and let a tag of an ImageStream name it; returns its digest. Raises `ApiError`."""
        digest = "sha256:" + hashlib.sha256(image["Id"].encode()).hexdigest()
        with self._store.lock:
            kept = self._store.get("ImageStream", stream, namespace)
            reference = f"{kept['status']['dockerImageRepository']}@{digest}"
            self._store.create("Image", _document(digest, reference, image))
            self.files[digest] = files
            builds.push(self._store, stream, tag, digest, namespace)
        return digest


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _reported(reference: str, identity: str, name: str) -> dict[str, str]:
    if reference == BUILDER:
        return {"image": reference, "imageID": identity}
    if "@" in reference:
        return {"image": name if name.startswith("sha256:") else identity, "imageID": reference}
    repository = reference if ":" not in reference.rpartition("/")[2] else reference.rpartition(":")[0]
    return {"image": reference, "imageID": f"{repository}@{identity}"}


def _document(digest: str, reference: str, image: Mapping[str, Any]) -> dict[str, Any]:
    gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    layers = [{"name": _digest(f"{digest} {n}"), "size": size, "mediaType": gzip} for n, size in enumerate((SIZE, 162))]
    annotations = {
        "image.openshift.io/dockerLayersOrder": "ascending",
        "image.openshift.io/manifestBlobStored": "true",
        "openshift.io/image.managed": "true",
    }
    return {
        "metadata": {"name": digest, "annotations": annotations},
        "dockerImageReference": reference,
        "dockerImageMetadata": {"kind": "DockerImage", "apiVersion": "image.openshift.io/1.0", **image},
        "dockerImageMetadataVersion": "1.0",
        "dockerImageLayers": layers,
        "dockerImageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
    }
