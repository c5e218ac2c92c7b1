"""The pods that the Job controller creates, one for an index at a time."""

from __future__ import annotations

from typing import Any

from tests.cluster.objects.entries import clone
from tests.cluster.rules.podrules import containers
from tests.cluster.world.nodes import security

from . import indexes

Document = dict[str, Any]

TRACKING = f"{indexes.PREFIX}job-tracking"
LONGEST = 58  # characters of a generated name before its suffix
_INDEX_VARIABLE = {
    "name": "JOB_COMPLETION_INDEX",
    "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{indexes.INDEX}']"}},
}


def pod(job: Document, index: int, failed: Document | None) -> Document:
    """The pod of an index; `failed` is the one that it takes the place of."""
    template, name = clone(job["spec"]["template"]), job["metadata"]["name"]
    metadata, spec = template.get("metadata") or {}, template["spec"]
    for container in containers(spec):
        container["env"] = [*(container.get("env") or ()), clone(_INDEX_VARIABLE)]
    ending = f"-{index}-"
    document = {
        "metadata": {
            "generateName": name[: LONGEST - len(ending)] + ending,
            "labels": {**(metadata.get("labels") or {}), indexes.INDEX: str(index)},
            "annotations": {**(metadata.get("annotations") or {}), **_annotations(job, index, failed)},
            "finalizers": [TRACKING],
            "ownerReferences": [_owner(job)],
        },
        "spec": {**spec, "hostname": f"{name}-{index}"},
    }
    return security.restrict(document)


def _annotations(job: Document, index: int, failed: Document | None) -> dict[str, str]:
    if job["spec"].get("backoffLimitPerIndex") is None:
        return {indexes.INDEX: str(index)}
    failures, ignored = (indexes.failures_of(failed), indexes.ignored_of(failed)) if failed else (0, 0)
    if failed and indexes.action(job, failed)[0] == "Ignore":
        ignored += 1
    elif failed:
        failures += 1
    counted = {indexes.INDEX: str(index), indexes.FAILURES: str(failures)}
    return {**counted, indexes.IGNORED: str(ignored)} if ignored else counted


def _owner(job: Document) -> Document:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job["metadata"]["name"],
        "uid": job["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_of(pod: Document) -> str | None:
    """The uid of the Job that a pod belongs to."""
    references = pod["metadata"].get("ownerReferences") or ()
    return next((reference["uid"] for reference in references if reference.get("controller")), None)


def tracked(pod: Document) -> bool:
    """Whether a pod still waits to be counted."""
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def release(pod: Document) -> None:
    """Let a pod go: it is counted."""
    kept = [name for name in pod["metadata"].get("finalizers") or () if name != TRACKING]
    pod["metadata"]["finalizers"] = kept
    if not kept:
        del pod["metadata"]["finalizers"]
