"""Whose fault it is that a Build failed for a reason that OpenShift has no word for (`GenericBuildFailed`).

The builder's very last line says it: ``error: build error: …``. A log's end is cut in the middle of its lines there
(`logSnippet`), so that what is looked for stands at a line's beginning or at its end.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Blame(NamedTuple):
    """What a Build failed for.

    Attributes:
        reason: a CamelCase word, one of OpenShift's own where it has one.
        platform: whether the platform failed it, through no fault of what is built; it is then begun again.
        message: the builder's own words.
    """

    reason: str
    platform: bool
    message: str


_ERROR = re.compile(r"^error: (?:build error: )?(?P<said>.*)$", re.MULTILINE)

_TABLE = (
    # The builder's words | reason | the platform's fault, and begun again
    (r"building at STEP .*|.*error building at STEP", "DockerBuildFailed", False),
    (r"failed to push image|error pushing image|.*pushing image to registry", "PushImageToRegistryFailed", True),
    (r".*unable to validate token", "RegistryRefusedToken", True),
    (r"failed to pull image|.*initializing source|.*pulling image|creating build container: ", "", False),
    (r"committing container|.*copying layers and metadata", "CommitContainerFailed", True),
    (r".*no space left on device", "NodeDiskFull", True),
    (r".*(?:unable to update build status|build ?config|configmaps?|secrets?) .*dial tcp", "ApiServerAway", True),
    (r".*dial tcp .*(?:connection refused|i/o timeout|no route to host)", "ConnectionFailed", True),
    (r".*(?:TLS handshake timeout|connection reset by peer|unexpected EOF|i/o timeout)", "ConnectionFailed", True),
    (r".*(?:etcdserver: |the server is currently unable to handle the request)", "ApiServerAway", True),
    (r".*(?:error mounting|creating overlay mount|storage driver|mounting new container)", "BuilderStorage", True),
)
"""OpenShift's builder (pkg/build/builder) and Buildah, which it runs, say so. The first that matches counts; what none
does is the specification's. A base image that cannot be pulled has a reason of its own there."""

_COMPILED = tuple((re.compile(words, re.IGNORECASE), reason, platform) for words, reason, platform in _TABLE)


def of(said: str) -> Blame | None:
    """Judge the last lines of a Build's log; None where the builder itself did not say how it ended."""
    lines = said.rstrip().splitlines()
    last = _ERROR.match(lines[-1]) if lines else None
    if last is None:
        return None
    for words, reason, platform in _COMPILED:
        if words.match(last["said"]):
            return Blame(reason, platform, last["said"])
    return Blame("", False, last["said"])
