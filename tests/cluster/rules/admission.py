"""What is filled in, checked and refused before an object is kept: one place that knows which rules are whose."""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tests.cluster import errors
from tests.cluster.objects.entries import Entry, clone
from tests.cluster.objects.kinds import Kind

from . import buildrules, jobrules, podrules, quantities, quotas, validation
from .validation import Cause

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

Document = dict[str, Any]

DEFAULTS: dict[str, Callable[[Document], None]] = {
    "Build": buildrules.default_build,
    "BuildConfig": buildrules.default_config,
    "ImageStream": buildrules.default_stream,
    "Job": jobrules.default,
    "Pod": podrules.default_pod,
}
CHECKS: dict[str, Callable[[Document], Iterator[Cause]]] = {
    "Build": buildrules.check,
    "BuildConfig": buildrules.check_config,
    "ConfigMap": validation.config_map,
    "Job": jobrules.check,
    "Secret": validation.secret,
    "Pod": lambda pod: podrules.check(pod["spec"], "spec"),
}
CHANGES: dict[str, Callable[[Document, Document], Iterator[Cause]]] = {
    "Build": buildrules.check_change,
    "ConfigMap": validation.immutable,
    "Job": lambda old, new: jobrules.check_change(old["spec"], new["spec"]),
    "Pod": lambda old, new: podrules.check_change(old["spec"], new["spec"]),
    "Secret": validation.immutable,
}
UPDATED: dict[str, Callable[[Document], object]] = {
    "Build": lambda build: buildrules.default_build_spec(build["spec"]),
    "BuildConfig": lambda config: buildrules.default_spec(config["spec"]),
    "Job": lambda job: jobrules.default_spec(job["spec"]),
    "Pod": lambda pod: podrules.default_template(pod["spec"]),
}
CONDITIONAL = ("Build", "BuildConfig", "ImageStream")  # a PUT of these must say which version it replaces
NO_VERSION = ("metadata.resourceVersion", "FieldValueInvalid", "Invalid value: 0x0: must be specified for an update")
SUFFIX = "bcdfghjklmnpqrstvwxz2456789"  # what generated names end with
GIVEN = ("managedFields", "resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds")
SERVERS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace")


def identify(kind: Kind, document: Document, namespace: str, now: str) -> Document:
    """A new object with what only the server gives."""
    given = {"name": None, **(document.get("metadata") or {})}
    for name in GIVEN:
        given.pop(name, None)
    if not given["name"] and given.get("generateName"):
        given["name"] = given["generateName"][:58] + "".join(secrets.choice(SUFFIX) for _ in range(5))
    if kind.namespaced:
        given["namespace"] = namespace
    given.update(uid=str(uuid.uuid4()), creationTimestamp=now)
    if kind.generation:
        given["generation"] = 1
    rest = {key: value for key, value in document.items() if key not in ("kind", "apiVersion", "metadata")}
    return {"kind": kind.name, "apiVersion": kind.api_version, "metadata": given, **rest}


def create(store: Store, kind: Kind, document: Document) -> None:
    """Fill in and check a new object, in place. Raises `ApiError` 422, 403, 404."""
    namespace = document["metadata"].get("namespace")
    if kind.namespaced and namespace != store.namespace:
        store.entry("Namespace", namespace or "")
    if kind.status or kind.name in DEFAULTS:
        DEFAULTS.get(kind.name, _default_status)(document)
    own = CHECKS.get(kind.name, _nothing)(document)
    _refuse(kind, document, validation.metadata(kind, document), own, validation.enumerations(document))
    quotas.check(store, kind, document)


def _default_status(document: Document) -> None:
    if document["kind"] == "Namespace":
        document["status"] = {"phase": "Active"}
    elif document["kind"] != "Node":  # who makes a node says what it has at once: no kubelet registers it
        document["status"] = {}
    if document["kind"] == "ResourceQuota":
        hard = (document.get("spec") or {}).get("hard") or {}
        document.setdefault("spec", {})["hard"] = {key: quantities.canonical(hard[key]) for key in sorted(hard)}


def _nothing(_: Document) -> Iterator[Cause]:
    return iter(())


def update(kind: Kind, old: Entry, document: Document, subresource: str, whole: bool) -> None:
    """Keep of a changed object what may change, in place; refuse what must not. Raises `ApiError` 409, 422.

    `whole`: it was not patched, but is all new.
    """
    _same(kind, old, document.setdefault("metadata", {}), whole)
    _keep(kind, old, document, subresource)
    UPDATED.get(kind.name, _nothing)(document)
    own = CHECKS.get(kind.name, _nothing)(document)
    changes = CHANGES[kind.name](old.object, document) if kind.name in CHANGES else iter(())
    _refuse(kind, document, _finalizers(old, document), changes, validation.metadata(kind, document), own)


def _same(kind: Kind, old: Entry, metadata: Mapping[str, Any], whole: bool) -> None:
    """Refuse what was meant for another object, or for another version of it."""
    version = metadata.get("resourceVersion")
    if version not in (None, "", "0"):
        if version != old.metadata["resourceVersion"]:
            raise errors.conflict(kind, old.name)
    elif whole and kind.name in CONDITIONAL:
        raise errors.invalid(kind, old.name, [NO_VERSION])
    if metadata.get("uid") not in (None, "", old.metadata["uid"]):
        why = f"UID in precondition: {metadata['uid']}, UID in object meta: {old.metadata['uid']}"
        raise errors.conflict(kind, old.name, f"Precondition failed: {why}")
    if metadata.get("name") not in (None, old.name):
        message = f"the name of the object ({metadata['name']}) does not match the name on the URL ({old.name})"
        raise errors.bad_request(message)


def _keep(kind: Kind, old: Entry, document: Document, subresource: str) -> None:
    """What a writer does not decide stays as it was."""
    metadata = document["metadata"]
    metadata["name"] = old.name
    for name in SERVERS:
        metadata.pop(name, None)
        if name in old.metadata:
            metadata[name] = old.metadata[name]
    metadata.pop("managedFields", None)
    document["kind"], document["apiVersion"] = old.object["kind"], old.object["apiVersion"]
    if subresource == "status":
        kept = {key: clone(value) for key, value in old.object.items() if key not in ("status", "metadata")}
        status = document.get("status")
        metadata.update(clone(old.metadata))
        document.clear()
        document.update({**kept, "metadata": metadata, "status": status or {}})
    elif kind.status and kind.name != "Node":
        document.pop("status", None)
        if "status" in old.object:
            document["status"] = clone(old.object["status"])
    elif kind.name == "BuildConfig":
        last = old.object["status"].get("lastVersion", 0)
        given = (document.get("status") or {}).get("lastVersion", 0)
        document["status"] = {**old.object["status"], "lastVersion": max(last, given)}


def _finalizers(old: Entry, document: Mapping[str, Any]) -> Iterator[Cause]:
    if old.metadata.get("deletionTimestamp"):
        had = set(old.metadata.get("finalizers") or ())
        new = [name for name in document["metadata"].get("finalizers") or () if name not in had]
        if new:
            why = "no new finalizers can be added if the object is being deleted, found new finalizers"
            yield validation.forbidden("metadata.finalizers", f"{why} {new}")


def _refuse(kind: Kind, document: Mapping[str, Any], *causes: Iterator[Cause]) -> None:
    found = list(itertools.chain(*causes))
    if found:
        raise errors.invalid(kind, document["metadata"].get("name") or "", found)


def delete(kind: Kind, entry: Entry, preconditions: Mapping[str, Any]) -> None:
    """Refuse to delete what is not the object meant. Raises `ApiError` 409."""
    for name, word in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        wanted = preconditions.get(name)
        if wanted is not None and wanted != entry.metadata[name]:
            why = f"{word} in precondition: {wanted}, {word} in object meta: {entry.metadata[name]}"
            raise errors.conflict(kind, entry.name, f"Precondition failed: {why}")
