"""What the Job controller makes of a Job and its pods at one moment: pure, all effects are those of `jobs`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.cluster.objects.entries import clone
from tests.cluster.world.nodes.conditions import get_condition

from . import indexes, jobpods

Document = dict[str, Any]

EXCEEDED = ("MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes")
SOME_FAILED = ("FailedIndexes", "Job has failed indexes")
TOO_LATE = ("DeadlineExceeded", "Job was active longer than specified deadline")
LIMIT = ("BackoffLimitExceeded", "Job has reached the specified backoff limit")
REACHED = ("CompletionsReached", "Reached expected number of succeeded pods")
INTERIM = {"FailureTarget": "Failed", "SuccessCriteriaMet": "Complete"}


class Sync:
    """One look at a Job. `target` is how it ends: an interim condition's type, reason and message."""

    def __init__(self, job: Document, pods: list[Document], now: datetime) -> None:
        self.job, self.pods, self.spec, self._now = job, pods, job["spec"], now
        self.status: Document = clone(job["status"])
        self.status.setdefault("uncountedTerminatedPods", {})
        alive = [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]
        self.active = [pod for pod in alive if not pod["metadata"].get("deletionTimestamp")]
        self.terminating = [pod for pod in alive if pod["metadata"].get("deletionTimestamp")]
        self._tracked = [pod for pod in pods if jobpods.tracked(pod)]
        self._uncounted = set(self.status["uncountedTerminatedPods"].get("failed") or ())
        self._failed = [pod for pod in self._tracked if self._has_failed(pod)]
        done = {indexes.index_of(pod) for pod in self._tracked if pod["status"].get("phase") == "Succeeded"}
        self.succeeded = indexes.read(self.status.get("completedIndexes")) | done
        self.failed = self._failed_indexes()
        self.delayed = self._delayed()
        if not self.spec.get("suspend") or "startTime" in self.status:
            self.status.setdefault("startTime", f"{now:%Y-%m-%dT%H:%M:%SZ}")
        self.target = self._interim() or self._failure()

    # -- what is ------------------------------------------------------------------------------------------------

    @property
    def _per_index(self) -> bool:
        return self.spec.get("backoffLimitPerIndex") is not None

    @property
    def _only_failed_are_replaced(self) -> bool:
        return self.spec.get("podReplacementPolicy") == "Failed" or bool(self.spec.get("podFailurePolicy"))

    def _has_failed(self, pod: Document) -> bool:
        phase = pod["status"].get("phase")
        if phase == "Failed" or self._only_failed_are_replaced:
            return bool(phase == "Failed")
        return bool(pod["metadata"].get("deletionTimestamp")) and phase != "Succeeded"

    def _failed_indexes(self) -> set[int]:
        if not self._per_index:
            return set()
        over = {indexes.index_of(pod) for pod in self._failed if indexes.fails(self.job, pod)}
        return indexes.read(self.status.get("failedIndexes")) | over

    def _delayed(self) -> dict[int, Document]:
        """Failed pods that stay until another takes their place, which needs to know how often theirs failed."""
        if not self._per_index:
            return {}
        replaced = {indexes.index_of(pod) for pod in self.active}
        last: dict[int, Document] = {}
        for pod in sorted(self._failed, key=lambda pod: indexes.failures_of(pod) + indexes.ignored_of(pod)):
            if indexes.index_of(pod) not in self.succeeded | self.failed | replaced:
                last[indexes.index_of(pod)] = pod
        return last

    def _interim(self) -> tuple[str, str, str] | None:
        for condition in self.status.get("conditions") or ():
            if condition["type"] in INTERIM:
                return condition["type"], condition["reason"], condition["message"]
        return None

    def _failure(self) -> tuple[str, str, str] | None:
        """How the Job has failed, if it has."""
        for pod in self._failed:
            what, why = indexes.action(self.job, pod)
            if what == "FailJob":
                return "FailureTarget", "PodFailurePolicy", why
        counted = self.status.get("failed", 0) + len(self._failed)
        if not self._per_index and counted > self.spec.get("backoffLimit", 6):
            return "FailureTarget", *LIMIT
        left = self.seconds_left()
        if left is not None and left <= 0:
            return "FailureTarget", *TOO_LATE
        most = self.spec.get("maxFailedIndexes")
        if most is not None and len(self.failed) > most:
            return "FailureTarget", *EXCEEDED
        if self.failed and len(self.failed | self.succeeded) >= self.spec["completions"]:
            return "FailureTarget", *SOME_FAILED
        return None

    def seconds_left(self) -> float | None:
        """Until the Job's own deadline."""
        deadline = self.spec.get("activeDeadlineSeconds")
        if deadline is None or self.spec.get("suspend") or "startTime" not in self.status:
            return None
        started = datetime.fromisoformat(self.status["startTime"])
        return float(deadline) - (self._now - started).total_seconds()

    # -- what should be -----------------------------------------------------------------------------------------

    def superfluous(self) -> list[Document]:
        """Active pods of an index that has another one, or that are more than should run."""
        by_index = sorted(self.active, key=lambda pod: (indexes.index_of(pod), pod["status"].get("phase") == "Pending"))
        kept: list[Document] = []
        for pod in by_index:
            if not kept or indexes.index_of(kept[-1]) != indexes.index_of(pod):
                kept.append(pod)
        more = kept[max(self.spec["parallelism"], 0) :]
        return [pod for pod in by_index if pod not in kept or pod in more]

    def missing(self, backoff: float) -> tuple[list[int], float | None]:
        """Indexes for which a pod is to be started now, and when the next one may be if one has to wait."""
        wanted = min(self.spec["completions"] - len(self.succeeded), self.spec["parallelism"])
        waiting = len(self.terminating) if self._only_failed_are_replaced else 0
        count = wanted - len(self.active) - waiting
        taken = {indexes.index_of(pod) for pod in self.active} | self.succeeded | self.failed
        free = [index for index in range(self.spec["completions"]) if index not in taken][: max(count, 0)]
        left = {index: self._pause(index, backoff) for index in free}
        return [index for index in free if left[index] <= 0], min((v for v in left.values() if v > 0), default=None)

    def _pause(self, index: int, backoff: float) -> float:
        """Seconds until an index that failed may be tried again: the longer the more often it has."""
        if index not in self.delayed or not backoff:
            return 0.0
        pod = self.delayed[index]
        ended = [
            datetime.fromisoformat(status["state"]["terminated"]["finishedAt"])
            for status in pod["status"].get("containerStatuses") or ()
            if (status["state"].get("terminated") or {}).get("finishedAt")
        ]
        since = (self._now - max(ended)).total_seconds() if ended else 0.0
        return backoff * 2.0 ** indexes.failures_of(pod) - since

    def suspend(self, suspended: bool, now: str) -> bool:
        """Say in the status whether the Job is suspended; whether that is new."""
        listed = self.status.get("conditions") or []
        old = next((condition for condition in listed if condition["type"] == "Suspended"), None)
        if (old["status"] == "True" if old else False) == suspended:
            return False
        word = "suspended" if suspended else "resumed"
        fresh = _condition("Suspended", f"Job{word.title()}", f"Job {word}", now, "True" if suspended else "False")
        self.status["conditions"] = [each for each in listed if each is not old] + [fresh]
        if suspended:
            self.status.pop("startTime", None)
        else:
            self.status["startTime"] = now
        return True

    # -- what is said -------------------------------------------------------------------------------------------

    def count(self, now: str) -> list[Document]:
        """Write into the status how far the Job is; returns the pods that may go once that is kept."""
        if self.target is None and len(self.succeeded) >= self.spec["completions"] and not self.active:
            self.target = ("SuccessCriteriaMet", *REACHED)
        released = [pod for pod in self._tracked if self._may_go(pod)]
        fresh = [pod["metadata"]["uid"] for pod in released if self._counts(pod)]
        if fresh:
            uncounted = self.status["uncountedTerminatedPods"]
            uncounted["failed"] = [*(uncounted.get("failed") or ()), *fresh]
        ready = sum(1 for pod in self.active if get_condition(pod, "Ready").get("status") == "True")
        self.status.update(ready=ready, terminating=len(self.terminating))
        _set(self.status, "active", len(self.active))
        _set(self.status, "succeeded", len(self.succeeded))
        _set(self.status, "completedIndexes", indexes.write(self.succeeded))
        if self._per_index:
            self.status["failedIndexes"] = indexes.write(self.failed)
        if self.target and self._interim() is None:
            self.status["conditions"] = [*(self.status.get("conditions") or ()), _condition(*self.target, now)]
        return released

    def _may_go(self, pod: Document) -> bool:
        if self.target or pod["status"].get("phase") == "Succeeded":
            return True
        waits = self.delayed.get(indexes.index_of(pod), {}).get("metadata", {}).get("uid")
        return pod in self._failed and waits != pod["metadata"]["uid"]

    def _counts(self, pod: Document) -> bool:
        """Whether a pod that goes is one more failure."""
        if pod["status"].get("phase") == "Succeeded" or pod["metadata"]["uid"] in self._uncounted:
            return False
        failed = pod in self._failed or (self.target is not None and self.target[0] == "FailureTarget")
        return failed and indexes.action(self.job, pod)[0] != "Ignore"

    def close(self, now: str, terminating: int) -> tuple[str, str, str] | None:
        """Write what is known once the pods have gone; returns the event of the Job's end if this is it."""
        uncounted = self.status["uncountedTerminatedPods"].pop("failed", [])
        _set(self.status, "failed", self.status.get("failed", 0) + len(uncounted))
        if self.target is None or terminating:
            return None
        interim, reason, message = self.target
        self.status["conditions"] = [*self.status["conditions"], _condition(INTERIM[interim], reason, message, now)]
        if interim == "FailureTarget":
            return "Warning", reason, message
        self.status["completionTime"] = now
        return "Normal", "Completed", "Job completed"


def _condition(kind: str, reason: str, message: str, now: str, status: str = "True") -> Document:
    times = {"lastProbeTime": now, "lastTransitionTime": now}
    return {"type": kind, "status": status, **times, "reason": reason, "message": message}


def _set(status: Document, name: str, value: Any) -> None:
    """As Go does with what is empty: leave it out."""
    if value:
        status[name] = value
    else:
        status.pop(name, None)
