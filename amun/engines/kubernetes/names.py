"""Names, labels and annotations of what this engine makes on a cluster.

Names are deterministic, so that creating something twice is noticed by the API server and does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

APP = "app"
KIND = "amun/kind"
INSPECTION = "inspection"
ENVIRONMENT = "environment"
IDENTIFIER = "identifier"
STATE = "amun/state"
OUTCOME = "amun/outcome"
OWNER = "amun/owner"
ACCEPTED = "amun/accepted"
EGRESS = "amun/egress"
QUEUE = "kueue.x-k8s.io/queue-name"
BUILD_CONFIG = "openshift.io/build-config.name"
BUILD = "openshift.io/build.name"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
INDEX = "batch.kubernetes.io/job-completion-index"

ANNOTATION_BUILD_NUMBER = "openshift.io/build.number"
CANCELLED = "amun/cancelled-at"
FINISHED = "amun/finished-at"
CREATED = "amun/created"
WAITING = "amun/waiting"
STOPPED = "amun/stopped"
REFUSED = "amun/refused"
BUILT = "amun/build"
JOBS = "amun/jobs"
PARTS = "amun/parts"
SECRETS = "amun/secrets"
ASKED_WITH = "amun/logins"
ITEM = "amun/item"
ATTEMPT = "amun/attempt"
GONE = "amun/image-gone-at"

RECORD, CONTEXT, KEY, RUNNER = "inspection", "context", "idempotency-key", "runner"
SPECIFICATION, PART, LOGINS = "specification", "context-part", "logins"
ACTIVE, CLOSED = "active", "finished"

LABEL_DIGITS = 32
"""Hexadecimal digits of a digest that names and labels carry: a label has room for 63 characters, not for 64 digits."""

_GENERATION = re.compile(r"environment-(?P<digits>[0-9a-f]{32})(?:-(?P<number>\d+))?")
_PART = re.compile(rf"(?P<owner>{_GENERATION.pattern})-(?:part-\d+|logins-[0-9a-f]+)")


def labels(kind: str, **more: str) -> dict[str, str]:
    """Labels of everything that belongs to Amun."""
    return {APP: "amun", KIND: kind, **more}


def short(digest: str) -> str:
    """The part of a digest (``sha256:…``) that names and labels carry."""
    return digest.removeprefix("sha256:")[:LABEL_DIGITS]


def environment(digest: str, generation: int = 1) -> str:
    """Name of the objects of an environment; later generations come after failed builds, and where one asks afresh."""
    return f"environment-{short(digest)}" + (f"-{generation}" if generation > 1 else "")


def generation(name: str) -> int:
    """Which generation of its environment a name is of; 0 for what is none."""
    match = _GENERATION.fullmatch(name)
    return 0 if match is None else int(match["number"] or 1)


def number(document: Mapping[str, Any], annotation: str, otherwise: int = 0) -> int:
    """The number that an object's annotation has; objects that others made may have anything there."""
    text = (document["metadata"].get("annotations") or {}).get(annotation, "")
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else otherwise


def part(environment: str, part: int) -> str:
    """Name of an object that holds a part of a build context."""
    return f"{environment}-part-{part}"


def owner(name: str) -> str:
    """Name of the ConfigMap that a Secret of a record or an environment belongs to."""
    match = _PART.fullmatch(name)
    return name if match is None else match["owner"]


def logins(environment: str, inspection_id: str) -> str:
    """Name of what the build of an environment asks hosts with, as an inspection has declared it."""
    return f"{environment}-logins-{inspection_id[-16:]}"


def digits(environment: str) -> str:
    """The part of its digest that an environment's name carries; none in what is no such name."""
    match = _GENERATION.fullmatch(environment)
    return "" if match is None else match["digits"]


def again(inspection_id: str, item: int, attempt: int) -> str:
    """Name of the further Job of an item whose attempt before this one was taken away."""
    return f"{inspection_id}-{item}-{attempt}"


def selector(**wanted: str) -> str:
    """A label selector of Amun's objects that have these labels."""
    return ",".join([f"{APP}=amun", *(f"{name}={value}" for name, value in wanted.items())])
