"""What OpenShift answers of itself: builds started of a BuildConfig, tags of streams, images looked up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.cluster import errors
from tests.cluster.objects.entries import clone
from tests.cluster.objects.kinds import BY_NAME, Kind

from .routes import RESOURCES

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

Document = dict[str, Any]

PREFIX = "openshift.io/"
CONFIG_ONLY = ("triggers", "runPolicy", "successfulBuildsHistoryLimit", "failedBuildsHistoryLimit")
TAG = RESOURCES["image.openshift.io", "imagestreamtags"]
DOCKER_IMAGE = Kind("DockerImage", "dockerimage", "image.openshift.io")


def instantiate(store: Store, name: str, namespace: str, request: Mapping[str, Any]) -> Document:
    """Start the next build of a BuildConfig. One who expected another to be the last is refused: 400."""
    with store.lock:
        config = store.get("BuildConfig", name, namespace)
        last, expected = config["status"].get("lastVersion", 0), request.get("lastVersion")
        if expected is not None and expected != last:
            known = f"the LastVersion({last}) on build config {namespace}/{name}"
            raise errors.bad_request(f"{known} does not match the build request LastVersion({expected})")
        if config["metadata"].get("annotations", {}).get(f"{PREFIX}build-config.paused") == "true":
            why = f"can't instantiate from BuildConfig {namespace}/{name}: BuildConfig is paused"
            raise errors.bad_request(why)
        store.update("BuildConfig", name, lambda c: c.update(status={"lastVersion": last + 1}), namespace)
        return store.create("Build", _build(config, last + 1, request), namespace)


def _build(config: Document, number: int, request: Mapping[str, Any]) -> Document:
    metadata, spec = config["metadata"], clone(config["spec"])
    name, given = metadata["name"], request.get("metadata") or {}
    label = name[:63].rstrip("-._")
    reference = {"kind": "BuildConfig", "name": name}
    if (request.get("dockerStrategyOptions") or {}).get("noCache") is not None:
        spec["strategy"]["dockerStrategy"]["noCache"] = request["dockerStrategyOptions"]["noCache"]
    return {
        "metadata": {
            "name": f"{name}-{number}",
            "labels": {
                **(given.get("labels") or {}),
                **(metadata.get("labels") or {}),
                "buildconfig": label,
                f"{PREFIX}build-config.name": label,
                f"{PREFIX}build.start-policy": spec["runPolicy"],
            },
            "annotations": {
                **(given.get("annotations") or {}),
                f"{PREFIX}build-config.name": name,
                f"{PREFIX}build.number": str(number),
            },
            "ownerReferences": [
                {"apiVersion": "build.openshift.io/v1", **reference, "uid": metadata["uid"], "controller": True}
            ],
        },
        "spec": {
            **{key: value for key, value in spec.items() if key not in CONFIG_ONLY},
            "triggeredBy": request.get("triggeredBy") or [{"message": "Manually triggered"}],
        },
        "status": {"config": {**reference, "namespace": metadata["namespace"]}},
    }


def tag(store: Store, name: str, namespace: str) -> Document:
    """The ImageStreamTag of what an image stream says of a tag. Raises `ApiError` 404."""
    stream_name, _, word = name.partition(":")
    stream = store.entry("ImageStream", stream_name, namespace).object
    tags = (stream.get("status") or {}).get("tags") or []
    items: list[Document] = next((entry.get("items") or [] for entry in tags if entry["tag"] == word), [])
    if not items:
        raise errors.not_found(TAG, name)
    newest, metadata = items[0], stream["metadata"]
    image = store.find("Image", newest["image"]) or {"metadata": {"name": newest["image"], "creationTimestamp": None}}
    kept = {key: value for key, value in metadata.items() if key in ("namespace", "uid", "resourceVersion", "labels")}
    return {
        "kind": "ImageStreamTag",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {**kept, "name": name, "creationTimestamp": newest["created"]},
        "tag": None,
        "generation": newest.get("generation", 1),
        "lookupPolicy": stream["spec"].get("lookupPolicy", {"local": False}),
        "image": {
            **{key: value for key, value in image.items() if key not in ("kind", "apiVersion")},
            "dockerImageReference": newest["dockerImageReference"],
        },
    }


def untag(store: Store, name: str, namespace: str) -> Document:
    """Take a tag away from its stream; answers what it was."""
    with store.lock:
        found = tag(store, name, namespace)
        stream_name, _, word = name.partition(":")

        def remove(stream: Document) -> None:
            stream["status"]["tags"] = [entry for entry in stream["status"]["tags"] if entry["tag"] != word]

        store.update("ImageStream", stream_name, remove, namespace)
        return found


def push(store: Store, stream: str, word: str, digest: str, namespace: str | None = None) -> str:
    """What a registry does when an image is pushed: the stream gets the tag. Answers the reference by digest."""

    def tagged(document: Document) -> None:
        reference = f"{document['status']['dockerImageRepository']}@{digest}"
        item = {"created": store.now(), "dockerImageReference": reference, "image": digest, "generation": 1}
        tags = {entry["tag"]: entry for entry in document["status"].get("tags") or []}
        tags[word] = {"tag": word, "items": [item, *tags.get(word, {}).get("items", [])]}
        document["status"]["tags"] = list(tags.values())

    document = store.update("ImageStream", stream, tagged, namespace)
    return f"{document['status']['dockerImageRepository']}@{digest}"


def look_up(store: Store, request: Mapping[str, Any]) -> Document:
    """An ImageStreamImport with what registries have of each image (`Store.digests`). Nothing is kept of it.

    As openshift-apiserver has it with ``import: false`` (pkg/image/apiserver/importer/importer.go): of a list of images
    that of one platform, or with PreserveOriginal the list itself, which has no Config, and all images in `manifests`.
    """
    spec = request.get("spec") or {}
    images = [_looked_up(store, image) for image in spec.get("images") or ()]
    metadata = {**(request.get("metadata") or {}), "creationTimestamp": store.now()}
    kind = BY_NAME["ImageStream"].api_version
    return {
        "kind": "ImageStreamImport",
        "apiVersion": kind,
        "metadata": metadata,
        "spec": spec,
        "status": {"images": images},
    }


def _looked_up(store: Store, wanted: Mapping[str, Any]) -> Document:
    reference = wanted["from"]["name"]
    digest = store.digests.get(reference) or errors.not_found(DOCKER_IMAGE, reference)
    if isinstance(digest, errors.ApiError):
        return {"status": {key: digest.document[key] for key in digest.document if key not in ("kind", "apiVersion")}}
    repository = reference.partition("@")[0]
    repository = repository.rpartition(":")[0] if ":" in repository.rpartition("/")[2] else repository
    config = store.configs.get(digest)
    parts: list[Document] = []
    if isinstance(config, list):
        digests = [
            f"sha256:{hashlib.sha256(f'{digest} {number}'.encode()).hexdigest()}" for number in range(len(config))
        ]
        parts = [_image(repository, *part) for part in zip(digests, config, strict=True)]
    image = _image(repository, digest, None if isinstance(config, list) else config)
    if parts and (wanted.get("importPolicy") or {}).get("importMode") != "PreserveOriginal":
        image, parts = parts[0], []
    if parts:
        image["dockerImageManifests"] = [{"digest": part["metadata"]["name"], "os": "linux"} for part in parts]
    return {
        "status": {"metadata": {}, "status": "Success"},
        "image": image,
        **({"manifests": parts} if parts else {}),
        "tag": (reference.rpartition("/")[2].partition(":")[2] or "latest").partition("@")[0],
    }


def _image(repository: str, digest: str, config: Document | None) -> Document:
    metadata = {"kind": "DockerImage", "apiVersion": "1.0", "Architecture": "amd64"}
    return {
        "metadata": {"name": digest, "creationTimestamp": None},
        "dockerImageReference": f"{repository}@{digest}",
        "dockerImageMetadata": metadata if config is None else {**metadata, "Config": config},
        "dockerImageMetadataVersion": "1.0",
    }
