"""What jobs are filled in with, and what they must be like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from . import podrules
from .validation import Cause, bad, forbidden, is_label, labels, required, unsupported

Document = dict[str, Any]

PREFIX = "batch.kubernetes.io/"
MOST_PARALLEL = 100_000
UNLIMITED = 2**31 - 1
IMMUTABLE = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy", "managedBy")


def default(job: Document) -> None:
    """Fill in what a job is given when it is made, its selector among it."""
    spec = job.setdefault("spec", {})
    default_spec(spec)
    if not spec["manualSelector"]:
        _select(job, spec, spec["template"])
    job["status"] = {}


def default_spec(spec: Document) -> None:
    """Fill in what a job does not say."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    indexed = spec.get("backoffLimitPerIndex") is not None
    replace = "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed"
    defaults = {
        "parallelism": 1,
        "backoffLimit": UNLIMITED if indexed else 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": replace,
    }
    for name, value in defaults.items():
        if spec.get(name) is None:
            spec[name] = value
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for condition in rule.get("onPodConditions") or ():
            condition.setdefault("status", "True")
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    podrules.default_template(template.setdefault("spec", {}))


def _select(job: Document, spec: Document, template: Document) -> None:
    uid, name = job["metadata"]["uid"], job["metadata"].get("name")
    metadata = template["metadata"]
    own = {"controller-uid": uid, "job-name": name}
    prefixed = {PREFIX + key: value for key, value in own.items()}
    metadata["labels"] = {**(metadata.get("labels") or {}), **own, **prefixed}
    spec["selector"] = {"matchLabels": {f"{PREFIX}controller-uid": uid}}


def check(job: Mapping[str, Any]) -> Iterator[Cause]:
    """What is wrong with a job."""
    spec = job["spec"]
    for name in ("parallelism", "completions", "backoffLimit", "backoffLimitPerIndex", "maxFailedIndexes"):
        if (spec.get(name) or 0) < 0:
            yield bad(f"spec.{name}", spec[name], "must be greater than or equal to 0")
    yield from _indexed(job, spec)
    template = spec["template"]["spec"]
    yield from labels((spec["template"].get("metadata") or {}).get("labels"), "spec.template.labels")
    yield from podrules.check(template, "spec.template.spec")
    if template["restartPolicy"] == "Always":
        yield required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"')
    if spec.get("podFailurePolicy"):
        yield from _failure_policy(spec, template)


def _indexed(job: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[Cause]:
    completions, indexed = spec.get("completions"), spec["completionMode"] == "Indexed"
    if indexed and completions is None:
        yield required("spec.completions", "when completion mode is Indexed")
    elif indexed and completions and job["metadata"].get("name"):
        name = job["metadata"]["name"]
        if is_label(f"{name}-{completions - 1}") and not is_label(name):
            why = f"will not able to create pod with invalid DNS label: {name}-{completions - 1}"
            yield bad("metadata.name", name, why)
    if indexed and spec["parallelism"] > MOST_PARALLEL:
        why = f"must be less than or equal to {MOST_PARALLEL} when completion mode is Indexed"
        yield bad("spec.parallelism", spec["parallelism"], why)
    if spec.get("backoffLimitPerIndex") is not None and not indexed:
        yield bad("spec.backoffLimitPerIndex", spec["backoffLimitPerIndex"], "requires indexed completion mode")
    failed = spec.get("maxFailedIndexes")
    if failed is not None:
        if spec.get("backoffLimitPerIndex") is None:
            yield required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified")
        if completions is not None and failed > completions:
            yield bad("spec.maxFailedIndexes", failed, "must be less than or equal to completions")


def _failure_policy(spec: Mapping[str, Any], template: Mapping[str, Any]) -> Iterator[Cause]:
    if template["restartPolicy"] != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        yield bad("spec.template.spec.restartPolicy", template["restartPolicy"], why)
    if spec["podReplacementPolicy"] != "Failed":
        yield unsupported("spec.podReplacementPolicy", spec["podReplacementPolicy"], "Failed")
    rules = spec["podFailurePolicy"].get("rules") or []
    names = {container.get("name") for container in podrules.containers(template)}
    for index, rule in enumerate(rules):
        yield from _rule(rule, f"spec.podFailurePolicy.rules[{index}]", spec, names)


def _rule(rule: Mapping[str, Any], path: str, spec: Mapping[str, Any], names: set[Any]) -> Iterator[Cause]:
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    if not rule.get("action"):
        yield required(f"{path}.action", 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]')
    elif rule["action"] == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        yield bad(f"{path}.action", "FailIndex", "requires the backoffLimitPerIndex to be set")
    if codes and conditions:
        yield bad(path, rule, "specifying both OnExitCodes and OnPodConditions is not supported")
    elif not codes and not conditions:
        yield bad(path, rule, "specifying one of OnExitCodes and OnPodConditions is required")
    if codes:
        yield from _exit_codes(codes, f"{path}.onExitCodes", names)


def _exit_codes(codes: Mapping[str, Any], path: str, names: set[Any]) -> Iterator[Cause]:
    values = codes.get("values") or []
    if not values:
        yield bad(f"{path}.values", values, "at least one value is required")
    if codes.get("operator") not in ("In", "NotIn"):
        yield required(f"{path}.operator", 'valid values: ["In" "NotIn"]')
    if values != sorted(values):
        yield bad(f"{path}.values", values, "must be ordered")
    if codes.get("operator") == "In" and 0 in values:
        yield bad(f"{path}.values[{values.index(0)}]", 0, "must not be 0 for the In operator")
    if codes.get("containerName") and codes["containerName"] not in names:
        why = "must be one of the container or initContainer names in the pod template"
        yield bad(f"{path}.containerName", codes["containerName"], why)


def check_change(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """What of a job's spec was changed that must not be."""
    for name in IMMUTABLE:
        if old.get(name) != new.get(name):
            yield bad(f"spec.{name}", new.get(name), "field is immutable")
    if old.get("completions") != new.get("completions"):
        if old.get("completionMode") != "Indexed":
            yield bad("spec.completions", new.get("completions"), "field is immutable")
        elif new.get("completions") != new.get("parallelism"):
            why = "can only be modified in tandem with spec.parallelism"
            yield bad("spec.completions", new.get("completions"), why)
    if old.get("template") != new.get("template") and not (old.get("suspend") and _directives_only(old, new)):
        yield bad("spec.template", new.get("template"), "field is immutable")
    if new.get("parallelism") is None:
        yield forbidden("spec.parallelism", "cannot be unset")


DIRECTIVES = ("nodeSelector", "affinity", "tolerations", "schedulingGates")


def _directives_only(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Of a suspended job, a queueing system may still say where it goes."""
    kept = [
        {key: value for key, value in spec["template"]["spec"].items() if key not in DIRECTIVES} for spec in (old, new)
    ]
    return kept[0] == kept[1]
