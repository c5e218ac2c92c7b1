"""What BuildConfigs, Builds and ImageStreams are filled in with, and what they must be like."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from . import podrules
from .validation import Cause, bad, is_subdomain, labels, required

Document = dict[str, Any]

REGISTRY = "image-registry.openshift-image-registry.svc:5000"
OVER = ("Complete", "Failed", "Error", "Cancelled")
ONE_STRATEGY = (
    "must provide a value for exactly one of sourceStrategy, customStrategy, dockerStrategy, or jenkinsPipelineStrategy"
)
NOT_A_TAG = "ImageStreamTag object references must be in the form <name>:<tag>"
NO_TARGET = "the target of build output must be an 'ImageStreamTag' or 'DockerImage'"
POSITIVE = "completionDeadlineSeconds must be a positive integer greater than 0"
NO_SOURCE = "must provide a value for at least one source input(git, binary, dockerfile, images)."
ABSOLUTE = "for the docker strategy the destinationDir has to be relative path"
NO_VARIABLE = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not"
    " start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is"
    " '[-._a-zA-Z][-._a-zA-Z0-9]*')"
)
_VARIABLE = re.compile("[-._a-zA-Z][-._a-zA-Z0-9]*")
DOCKERFILE_LIMIT = 60_000
POLICIES = ("Parallel", "Serial", "SerialLatestOnly")
STRATEGIES = ("sourceStrategy", "dockerStrategy", "customStrategy", "jenkinsPipelineStrategy")
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


def check_config(config: Mapping[str, Any]) -> Iterator[Cause]:
    """What is wrong with a BuildConfig."""
    if config["spec"]["runPolicy"] not in POLICIES:
        yield bad(
            "spec.runPolicy", config["spec"]["runPolicy"], "run policy must Parallel, Serial, or SerialLatestOnly"
        )
    yield from check(config)


def check(document: Mapping[str, Any]) -> Iterator[Cause]:
    """What is wrong with a BuildConfig or a Build. What they ask of nodes is not checked before there is a pod."""
    spec = document["spec"]
    docker = spec["strategy"].get("dockerStrategy")
    if docker is not None and not any(spec["source"].get(name) is not None for name in SOURCES):
        yield bad("spec.source", "", NO_SOURCE)
    yield from _source(spec["source"])
    deadline = spec.get("completionDeadlineSeconds")
    if deadline is not None and deadline <= 0:
        yield bad("spec.completionDeadlineSeconds", deadline, POSITIVE)
    yield from _output(spec["output"].get("to"))
    if sum(spec["strategy"].get(name) is not None for name in STRATEGIES) != 1:
        yield bad("spec.strategy", spec["strategy"], ONE_STRATEGY)
    for index, variable in enumerate((docker or {}).get("env") or ()):
        if not _VARIABLE.fullmatch(variable.get("name", "")):
            yield bad(f"spec.strategy.dockerStrategy.env[{index}].name", variable.get("name"), NO_VARIABLE)
    for key, value in (spec.get("nodeSelector") or {}).items():
        if list(labels({key: value}, "")):
            yield bad(f"spec.nodeSelector[{key}]", value, "must be a valid node selector")


def _source(source: Mapping[str, Any]) -> Iterator[Cause]:
    if len((source.get("dockerfile") or "").encode()) > DOCKERFILE_LIMIT:
        yield bad("spec.source.dockerfile", "", f"must be smaller than {DOCKERFILE_LIMIT} bytes")
    mounts = [("configMap", *each) for each in enumerate(source.get("configMaps") or ())]
    mounts += [("secret", *each) for each in enumerate(source.get("secrets") or ())]
    for kind, index, mount in mounts:
        path, name = f"spec.source.{kind}s[{index}]", (mount.get(kind) or {}).get("name", "")
        if not name:
            yield required(f"{path}.{kind}")
        if is_subdomain(name):
            yield bad(f"{path}.{kind}", mount, f"must be valid {kind} name")
        target = mount.get("destinationDir") or ""
        if posixpath.normpath(target).startswith(".."):
            yield bad(f"{path}.destinationDir", target, "destination dir cannot start with '..'")
        if target.startswith("/"):
            yield bad(f"{path}.destinationDir", target, ABSOLUTE)


def _output(to: Mapping[str, Any] | None) -> Iterator[Cause]:
    if to is None:
        return
    if not to.get("kind"):
        yield required("spec.output.to.kind")
    elif to["kind"] == "ImageStreamTag" and len(str(to.get("name", "")).split(":")) != 2:
        yield bad("spec.output.to.name", to.get("name"), NOT_A_TAG)
    elif to["kind"] not in ("ImageStreamTag", "DockerImage"):
        yield bad("spec.output.to.kind", to["kind"], NO_TARGET)


def check_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """What of a Build was changed that must not be: all but where the secret to push with comes from."""
    if _without_secret(old["spec"]) != _without_secret(new["spec"]):
        yield bad("spec", "content of spec is not printed out, please refer to the details", "spec is immutable")
    before, after = old["status"].get("phase"), (new.get("status") or {}).get("phase")
    if before in OVER and after != before:
        yield bad("status.phase", after, "phase cannot be updated from a terminal state")


def _without_secret(spec: Mapping[str, Any]) -> Document:
    output = {key: value for key, value in (spec.get("output") or {}).items() if key != "pushSecret"}
    return {**spec, "output": output}
