"""The record of an inspection: a ConfigMap, of its id's name, that owns all that is made for it; and a Secret.

What may hold secrets is in the Secret, which has the same name and never changes, so that nobody needs to be allowed to
patch Secrets who answers strangers. The ConfigMap has what changes, and what is asked for often::

    labels        amun/kind: inspection, inspection: ID, environment: …, amun/state: active|finished, amun/owner: …,
                  amun/accepted: PERIOD (see `period`)
    annotations   amun/created, amun/cancelled-at, amun/finished-at, amun/waiting: {reason, message, since},
                  amun/stopped: {reason, message} once no item may start any more,
                  amun/refused: {reason, message, since} once it is known that it can never be built,
                  amun/jobs: {"": 1} once the Job of all items was made, {ITEM: ATTEMPT} for further ones of one item
    binaryData    inspection (the inspection, its specification abridged to `SHOWN`, gzip'd JSON; never changes),
                  state (gzip'd JSON: the states of build and items, once it is finished)

and the Secret::

    data          specification (all of it, gzip'd JSON), script (its bytes, mounted into the runs)

The Secret is made first; the controller makes it the record's own (`owned`). Finished, the record answers for itself:
the Job and its pods may go. Records of an earlier version have no Secret: all of it is in ``binaryData``.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from amun.errors import RequestTooLarge
from amun.model import codec, timestamps
from amun.model.inspection import BuildState, Inspection, ItemState, Submission
from amun.model.specification import Specification

from . import names

PERIOD = 8
"""Seconds of one period, see `period`."""

LARGEST = 1 << 20
"""Bytes that a ConfigMap may have (MaxSecretSize in Kubernetes' validation)."""

ROOM = 64 << 10
"""Bytes of it that are left free for the final states."""

SCRIPT, WHOLE = "script", "specification"

SHOWN = (
    "identifier",
    "base",
    "update",
    "upgrade_pip",
    "package_manager",
    "batch_size",
    "warmup",
    "metrics",
    "parallelism",
    "allowed_failures",
    "build",
    "run",
)
"""Fields of a specification that a ConfigMap may have: they hold no secret, and are all that most questions need."""

_R = TypeVar("_R", bound="Reason")


@dataclass(frozen=True)
class Reason:
    """Why something waits or was stopped: a CamelCase word and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True)
class Waiting(Reason):
    """Why something waits, and since when it has: a moment, where that is known."""

    since: str | None = None


@dataclass(frozen=True)
class Final:
    """What was when the inspection was closed."""

    build: BuildState
    items: tuple[ItemState, ...]
    stored: bool


@dataclass(frozen=True)
class Record:
    """What a record says. `version` and `uid` are the object's own; `environment` names its environment's objects.

    Attributes:
        made: the Jobs that were made, as ``amun/jobs`` has them.
        defect: what is wrong with it, where somebody has damaged it or a later version has written it.
    """

    inspection: Inspection
    environment: str
    environment_uid: str
    cached: bool
    uid: str = ""
    version: str = ""
    cancelled_at: str | None = None
    finished_at: str | None = None
    waiting: Waiting | None = None
    stopped: Reason | None = None
    refused: Waiting | None = None
    made: Mapping[str, int] = field(default_factory=dict)
    final: Final | None = None
    defect: str | None = None


UNREADABLE = Specification.from_document({"base": "unreadable:latest"})
"""Stands for a specification that cannot be read."""


class Damaged(ValueError):
    """A record is not what this version writes."""


def to_secret(submission: Submission) -> dict[str, Any]:
    """The Secret of a new inspection. Raises `RequestTooLarge` for what none can hold."""
    inspection = submission.inspection
    data = {WHOLE: _pack(inspection.specification.to_document())}
    if submission.script is not None:
        data[SCRIPT] = submission.script
    size = sum(map(len, data.values()))
    if size > LARGEST - ROOM:
        raise RequestTooLarge(f"The specification and its script take {size} bytes; a cluster keeps {LARGEST - ROOM}.")
    return secret(inspection.id, names.labels(names.SPECIFICATION, **{names.INSPECTION: inspection.id}), data)


def secret(name: str, labels: Mapping[str, str], data: Mapping[str, bytes]) -> dict[str, Any]:
    """A Secret that never changes."""
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"metadata": {"name": name, "labels": labels}, "type": "Opaque", "immutable": True, "data": encoded}


def owned(name: str, uid: str) -> dict[str, Any]:
    """The change that makes an object that of a ConfigMap, with which it goes."""
    return {"metadata": {"ownerReferences": [reference("ConfigMap", name, uid)]}}


def to_document(record: Record) -> dict[str, Any]:
    """The ConfigMap of a new inspection."""
    inspection = record.inspection
    specification = inspection.specification.to_document()
    kept = {
        **{name: value for name, value in asdict(inspection).items() if name != "specification"},
        "abridged": True,
        "specification": {name: specification[name] for name in SHOWN if name in specification},
        "build": {"name": record.environment, "uid": record.environment_uid, "cached": record.cached},
    }
    labels = names.labels(names.RECORD, **{names.STATE: names.ACTIVE, names.INSPECTION: inspection.id})
    labels[names.ENVIRONMENT] = names.short(inspection.environment)
    labels[names.ACCEPTED] = str(period(timestamps.seconds(inspection.created)))
    if inspection.owner is not None:
        labels[names.OWNER] = owner_label(inspection.owner)
    annotations = {names.CREATED: inspection.created}
    return {
        "metadata": {"name": inspection.id, "labels": labels, "annotations": annotations},
        "binaryData": {"inspection": base64.b64encode(_pack(kept)).decode()},
    }


def whole(inspection: Inspection, document: Mapping[str, Any]) -> Inspection:
    """An abridged inspection with all that its Secret has. Raises `Damaged`."""
    with _damage():
        specification = Specification.from_document(_unpack(document["data"][WHOLE]))
    return replace(inspection, specification=specification, abridged=False)


def from_document(document: Mapping[str, Any]) -> Record:
    """Read the record from its ConfigMap. What cannot be read of it is its `defect`, and nobody else's."""
    metadata = document["metadata"]
    noted = metadata.get("annotations") or {}
    data = document.get("binaryData") or {}
    state, final, defect = data.get("state"), None, None
    created = noted.get(names.CREATED) or metadata.get("creationTimestamp") or ""
    declared = Record(Inspection(metadata["name"], UNREADABLE, None, "", created), "", "", False)
    try:
        declared = _declared(metadata["name"], data.get("inspection") or "")
        final = None if state is None else _final(_unpack(state), declared.inspection)
    except Damaged as exc:
        defect = f"The record of this inspection cannot be read: {exc}"
    return replace(
        declared,
        defect=defect,
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        cancelled_at=noted.get(names.CANCELLED),
        finished_at=noted.get(names.FINISHED),
        waiting=_read(Waiting, noted.get(names.WAITING)),
        stopped=_read(Reason, noted.get(names.STOPPED)),
        refused=_read(Waiting, noted.get(names.REFUSED)),
        made=_made(noted.get(names.JOBS)),
        final=final,
    )


@functools.lru_cache(maxsize=4096)
def _declared(name: str, packed: str) -> Record:
    """What never changes; a watch brings it again with every change of the rest. Raises `Damaged`."""
    kept = _unpack(packed)
    with _damage():
        build = kept.pop("build")
        inspection = Inspection(**{**kept, "specification": Specification.from_document(kept["specification"])})
        record = Record(inspection, environment=build["name"], environment_uid=build["uid"], cached=build["cached"])
        timestamps.seconds(inspection.created)
    texts = (inspection.environment, record.environment_uid, inspection.owner or "", inspection.script_sha256 or "")
    if inspection.id != name or not names.generation(record.environment) or not all(isinstance(t, str) for t in texts):
        raise Damaged("it is not the record of an inspection of this name.")
    return record


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Turn what reading damaged data fails with into `Damaged`."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError, EOFError, zlib.error) as exc:
        raise Damaged(f"{type(exc).__name__}: {exc}"[:200]) from exc


def cancelled(moment: str) -> dict[str, Any]:
    """The change that asks for everything to be stopped."""
    return {"metadata": {"annotations": {names.CANCELLED: moment}}}


def waits(reason: Waiting | None) -> dict[str, Any]:
    """The change that says why an inspection waits, where no object on the cluster would say it."""
    return {"metadata": {"annotations": {names.WAITING: reason and json.dumps(vars(reason))}}}


def made(jobs: Mapping[str, int]) -> dict[str, Any]:
    """The change that says which Jobs were made: one that is noted and not there was deleted by somebody."""
    return {"metadata": {"annotations": {names.JOBS: json.dumps(jobs, sort_keys=True) if jobs else None}}}


def _made(text: str | None) -> dict[str, int]:
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        return {str(name): int(attempt) for name, attempt in json.loads(text or "{}").items()}
    return {}


def stopped(reason: Reason) -> dict[str, Any]:
    """The change after which no item starts any more."""
    return {"metadata": {"annotations": {names.STOPPED: json.dumps(vars(reason))}}}


def refused(reason: Waiting) -> dict[str, Any]:
    """The change after which its build has failed, without having begun."""
    return {"metadata": {"annotations": {names.REFUSED: json.dumps(vars(reason))}}}


def closed(record: Record, moment: str, final: Final, phase: str) -> dict[str, Any]:
    """The change that closes an inspection, if nobody has changed its record since it was read."""
    state = {"build": asdict(final.build), "items": [asdict(item) for item in final.items], "stored": final.stored}
    return {
        "metadata": {
            "resourceVersion": record.version,
            "labels": {names.STATE: names.CLOSED, names.OUTCOME: phase.replace("_", "-")},
            "annotations": {names.FINISHED: moment, names.WAITING: None},
        },
        "binaryData": {"state": base64.b64encode(_pack(state)).decode()},
    }


def period(moment: float) -> int:
    """Number of the period in which a moment (seconds since the epoch) lies: label selectors know no ranges."""
    return int(moment // PERIOD)


def owner_label(owner: str) -> str:
    """A label's value for a caller's name, whatever characters that has."""
    return hashlib.sha256(owner.encode()).hexdigest()[: names.LABEL_DIGITS]


def reference(kind: str, name: str, uid: str, version: str = "v1") -> dict[str, Any]:
    """An owner by name and uid: the object goes when it goes."""
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid}


def _final(document: Mapping[str, Any], inspection: Inspection) -> Final:
    """Raises `Damaged`."""
    with _damage():
        items = tuple(codec.restore(ItemState, item) for item in document["items"])
        final = Final(codec.restore(BuildState, document["build"]), items, bool(document["stored"]))
    if [item.item for item in items] != list(inspection.items):
        raise Damaged("its items are not those of the inspection.")
    return final


def build_state(text: str | None) -> BuildState | None:
    """A build's state as a Job notes it; None where there is none, or it cannot be read."""
    with contextlib.suppress(Damaged), _damage():
        return None if text is None else codec.restore(BuildState, json.loads(text))
    return None


def _read(kind: type[_R], text: str | None) -> _R | None:
    try:
        return None if text is None else kind(**json.loads(text))
    except (TypeError, ValueError):
        return kind("Unknown", str(text))


def _pack(document: Mapping[str, Any]) -> bytes:
    return gzip.compress(json.dumps(document, separators=(",", ":"), sort_keys=True).encode(), mtime=0)


def _unpack(text: str) -> dict[str, Any]:
    """Raises `Damaged`."""
    with _damage():
        document: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(text)))
    if not isinstance(document, dict):
        raise Damaged("it is no JSON object.")
    return document
