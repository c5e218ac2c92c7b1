"""What BuildConfigs, Builds and ImageStreams are filled in with, and what they must be like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.cluster import podrules
from tests.cluster.validation import Cause, bad, labels, required

Document = dict[str, Any]

REGISTRY = "image-registry.openshift-image-registry.svc:5000"
OVER = ("Complete", "Failed", "Error", "Cancelled")
ONE_STRATEGY = (
    "must provide a value for exactly one of sourceStrategy, customStrategy, dockerStrategy, or jenkinsPipelineStrategy"
)
NOT_A_TAG = "ImageStreamTag object references must be in the form <name>:<tag>"
NO_TARGET = "the target of build output must be an 'ImageStreamTag' or 'DockerImage'"
POSITIVE = "completionDeadlineSeconds must be a positive integer greater than 0"
SOURCES = {"git": "Git", "dockerfile": "Dockerfile", "binary": "Binary", "images": "Image"}


def default_config(config: Document) -> None:
    """Fill in what a BuildConfig is given when it is made."""
    spec = config.setdefault("spec", {})
    default_spec(spec)
    for name, value in (("runPolicy", "Serial"), ("successfulBuildsHistoryLimit", 5), ("failedBuildsHistoryLimit", 5)):
        if spec.get(name) is None:
            spec[name] = value
    config["status"] = {"lastVersion": (config.get("status") or {}).get("lastVersion", 0)}


def default_spec(spec: Document) -> None:
    """Fill in what configurations and builds have in common."""
    source = spec.setdefault("source", {})
    source.setdefault("type", next((word for name, word in SOURCES.items() if source.get(name)), "None"))
    strategy = spec.setdefault("strategy", {})
    for name, word in (("dockerStrategy", "Docker"), ("sourceStrategy", "Source"), ("customStrategy", "Custom")):
        if strategy.get(name) is not None:
            strategy.setdefault("type", word)
    for name in ("resources", "postCommit", "output"):
        spec.setdefault(name, {})
    podrules.default_resources(spec)
    spec.setdefault("nodeSelector", None)


def default_build(build: Document) -> None:
    """Fill in what a Build is given when it is made."""
    default_build_spec(build.setdefault("spec", {}))
    now = build["metadata"]["creationTimestamp"]
    new = {"type": "New", "status": "True", "lastUpdateTime": now, "lastTransitionTime": now}
    config = (build.get("status") or {}).get("config")
    build["status"] = {"phase": "New", "output": {}, "conditions": [new], **({"config": config} if config else {})}


def default_build_spec(spec: Document) -> None:
    """Fill in what a Build does not say."""
    default_spec(spec)
    spec.setdefault("serviceAccount", "builder")
    spec.setdefault("triggeredBy", None)


def default_stream(stream: Document) -> None:
    """Fill in what an ImageStream is given when it is made."""
    spec = stream.setdefault("spec", {})
    spec.setdefault("lookupPolicy", {"local": False})
    metadata = stream["metadata"]
    stream["status"] = {"dockerImageRepository": f"{REGISTRY}/{metadata['namespace']}/{metadata['name']}"}


def check(document: Mapping[str, Any]) -> Iterator[Cause]:
    """What is wrong with a BuildConfig or a Build."""
    spec = document["spec"]
    if not any(name.endswith("Strategy") and value is not None for name, value in spec["strategy"].items()):
        yield bad("spec.strategy", spec["strategy"], ONE_STRATEGY)
    yield from _output(spec["output"].get("to") or {})
    for index, source in enumerate(spec["source"].get("configMaps") or ()):
        path = f"spec.source.configMaps[{index}]"
        if not (source.get("configMap") or {}).get("name"):
            yield required(f"{path}.configMap")
        if str(source.get("destinationDir") or "").startswith("/"):
            yield bad(f"{path}.destinationDir", source["destinationDir"], "destinationDir must be a relative path")
    deadline = spec.get("completionDeadlineSeconds")
    if deadline is not None and deadline <= 0:
        yield bad("spec.completionDeadlineSeconds", deadline, POSITIVE)
    yield from podrules.resources(spec["resources"], "spec.resources")
    yield from labels(spec.get("nodeSelector"), "spec.nodeSelector")


def _output(to: Mapping[str, Any]) -> Iterator[Cause]:
    if to.get("kind") == "ImageStreamTag" and len(str(to.get("name", "")).split(":")) != 2:
        yield bad("spec.output.to.name", to.get("name"), NOT_A_TAG)
    elif to and to.get("kind") not in ("ImageStreamTag", "DockerImage"):
        yield bad("spec.output.to.kind", to.get("kind"), NO_TARGET)


def check_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """What of a Build was changed that must not be."""
    if old.get("spec") != new.get("spec"):
        yield bad("spec", 'content of spec is not printed out, please refer to the "details"', "spec is immutable")
    before, after = old["status"].get("phase"), (new.get("status") or {}).get("phase")
    if before in OVER and after != before:
        yield bad("status.phase", after, "phase cannot be updated from a terminal state")
