"""Names of base images: what may be one, and the complete reference that it stands for.

Engines take a short name for whatever they have: an image's id, or one that only looks like it. So a name is completed
before it reaches one, as https://github.com/distribution/reference (normalize.go) and the aliases of
containers-registries.conf(5) have it: ``fedora:28`` is ``registry.fedoraproject.org/fedora:28``, what no alias knows is
an image of docker.io.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

DOCKER = "docker.io"

ALIASES = {
    "almalinux": "quay.io/almalinuxorg/almalinux",
    "amazonlinux": "public.ecr.aws/amazonlinux/amazonlinux",
    "centos": "quay.io/centos/centos",
    "fedora": "registry.fedoraproject.org/fedora",
    "fedora-minimal": "registry.fedoraproject.org/fedora-minimal",
    "opensuse/leap": "registry.opensuse.org/opensuse/leap",
    "opensuse/tumbleweed": "registry.opensuse.org/opensuse/tumbleweed",
    "oraclelinux": "container-registry.oracle.com/os/oraclelinux",
    "rhel": "registry.access.redhat.com/rhel",
    "rhel7": "registry.access.redhat.com/rhel7",
    "ubi7": "registry.access.redhat.com/ubi7",
    "ubi8": "registry.access.redhat.com/ubi8",
    "ubi8-minimal": "registry.access.redhat.com/ubi8-minimal",
    "ubi8/python-36": "registry.access.redhat.com/ubi8/python-36",
    "ubi9": "registry.access.redhat.com/ubi9",
    "ubi9-minimal": "registry.access.redhat.com/ubi9-minimal",
}
"""Distributions that are not at home on docker.io; the rest of https://github.com/containers/shortnames is."""

LOCAL = "localhost"
"""Registry of images that are on the machine and nowhere else."""

# https://github.com/distribution/reference/blob/main/reference.go
HOST_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{HOST_PART}(?:\.{HOST_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_NAME_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:(?P<first>{_HOST})/)?(?P<path>{_NAME_PART}(?:/{_NAME_PART})*)"
    r"(?::(?P<tag>[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
_LONGEST = 255
"""Characters of a name without tag and digest."""

# https://github.com/containers/image/blob/main/docs/containers-transports.5.md
_TRANSPORT = re.compile(
    r"(?:atomic|containers-storage|dir|docker-archive|docker-daemon|oci|oci-archive|ostree|sif|tarball):.*|docker://.*",
    re.DOTALL,
)
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}|sha512:[0-9a-f]{128}")

# What this service makes: on one machine, and as ImageStreams (amun/engines/kubernetes/names.py), in whatever registry.
_OURS = re.compile(
    r"(?:docker\.io/)?localhost(?::\d+)?/amun/(?:environment|probe|untriggered)|.*/environment-[0-9a-f]{32}(?:-\d+)?"
)


def check(text: str) -> None:
    """Raise ValueError, saying what is wrong, for what is no name of a base image."""
    complete(text, {})


def complete(text: str, aliases: Mapping[str, str]) -> str:
    """The complete reference of an image: registry, repository, and a digest or else a tag.

    `aliases` come before `ALIASES`. Raises ValueError as `check` does.
    """
    if text == "scratch" or text.startswith(("scratch:", "scratch@")):
        raise ValueError("must be an image with a POSIX shell, and scratch is empty")
    if _TRANSPORT.fullmatch(text):
        raise ValueError("must be an image of a registry, without a transport such as oci: or docker://")
    match = _IMAGE.fullmatch(text)
    name = None if match is None or _ID.fullmatch(text) else _repository(match, {**ALIASES, **aliases})
    if match is None or name is None:
        raise ValueError(
            "must be an image reference and no id: [REGISTRY/]NAME[:TAG][@sha256:DIGEST], the name in lower case"
        )
    if len(name) > _LONGEST:
        raise ValueError(f"must be an image reference whose name has at most {_LONGEST} characters")
    if _OURS.fullmatch(name):
        raise ValueError("must not be an environment that this service has built")
    return f"{name}@{match['digest']}" if match["digest"] else f"{name}:{match['tag'] or 'latest'}"


def is_local(reference: str) -> bool:
    """Whether a complete reference names an image that is on the machine or nowhere."""
    return registry(reference) == LOCAL


def registry(reference: str) -> str:
    """The registry of a complete reference, with its port."""
    return reference.partition("/")[0]


def repository(reference: str) -> str:
    """A complete reference without its tag or digest."""
    name = reference.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def _repository(match: re.Match[str], aliases: Mapping[str, str]) -> str | None:
    """Registry and repository. A first part is a registry if it has a dot or a port, or is localhost."""
    first, path = match["first"], match["path"]
    if first is not None and not (re.search(r"[.:]", first) or first.lower() == LOCAL):
        if re.search("[A-Z]", first):
            return None
        first, path = None, f"{first}/{path}"
    if first is None and path in aliases:
        return aliases[path]
    host = (first or DOCKER).lower()
    host = DOCKER if host == "index.docker.io" else host
    return f"{host}/library/{path}" if host == DOCKER and "/" not in path else f"{host}/{path}"
