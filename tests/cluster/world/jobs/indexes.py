"""Which indexes of an Indexed Job are over: how they are written, and what the failure of a pod means for its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]

PREFIX = "batch.kubernetes.io/"
INDEX = f"{PREFIX}job-completion-index"
FAILURES = f"{PREFIX}job-index-failure-count"
IGNORED = f"{PREFIX}job-index-ignored-failure-count"


def write(indexes: Iterable[int]) -> str:
    """Indexes as a Job's status has them: ``0,2-4``; two in a row are no range yet."""
    ranges: list[list[int]] = []
    for index in sorted(indexes):
        if ranges and index == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], index]
        else:
            ranges.append([index])
    return ",".join(_range(*ends) for ends in ranges)


def _range(first: int, last: int | None = None) -> str:
    if last is None:
        return str(first)
    return f"{first},{last}" if last == first + 1 else f"{first}-{last}"


def read(text: str | None) -> set[int]:
    """The indexes that a status has."""
    ends = [part.split("-") for part in (text or "").split(",") if part]
    return {index for pair in ends for index in range(int(pair[0]), int(pair[-1]) + 1)}


def index_of(pod: Document) -> int:
    return int(pod["metadata"]["annotations"][INDEX])


def failures_of(pod: Document) -> int:
    """How often the index of a pod had failed before it."""
    return int(pod["metadata"]["annotations"].get(FAILURES, 0))


def ignored_of(pod: Document) -> int:
    return int(pod["metadata"]["annotations"].get(IGNORED, 0))


def action(job: Document, pod: Document) -> tuple[str, str]:
    """What the Job's podFailurePolicy says of a failed pod: Count, FailIndex, FailJob or Ignore, and why."""
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        if why := _matches(rule, pod):
            return rule["action"], f"{why} matching {rule['action']} rule at index {number}"
    return "Count", ""


def _matches(rule: Document, pod: Document) -> str:
    """Which container, or which condition, of a pod a rule is about; empty if none is."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    if codes := rule.get("onExitCodes"):
        for status in _containers(pod):
            code = (status["state"].get("terminated") or {}).get("exitCode")
            named = codes.get("containerName") in (None, status["name"])
            if code and named and (code in codes["values"]) == (codes["operator"] == "In"):
                return f"Container {status['name']} for pod {name} failed with exit code {code}"
        return ""
    for pattern in rule.get("onPodConditions") or ():
        for condition in pod["status"].get("conditions") or ():
            if (condition["type"], condition["status"]) == (pattern["type"], pattern.get("status", "True")):
                return f"Pod {name} has condition {condition['type']}"
    return ""


def _containers(pod: Document) -> list[Document]:
    status = pod["status"]
    return [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]


def fails(job: Document, pod: Document) -> bool:
    """Whether the index of a failed pod is not tried again."""
    what, _ = action(job, pod)
    if what == "FailIndex":
        return True
    return what != "Ignore" and failures_of(pod) >= job["spec"]["backoffLimitPerIndex"]
