"""What a Build says, in Amun's words: pure functions of the objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace as _with
from typing import Any

from amun.engines.kubernetes import names, pending_reasons
from amun.environments import build_log
from amun.environments.allowance import Allowance
from amun.model import timestamps
from amun.model.inspection import BuildState, Inspection

from . import build_blame

Document = Mapping[str, Any]

ONGOING = frozenset({"New", "Pending", "Running"})

PLATFORM = frozenset(
    {
        "BuildPodDeleted",
        "BuildPodEvicted",
        "BuildPodExists",
        "CannotCreateBuildPod",
        "CannotRetrieveServiceAccount",
        "ExceededRetryTimeout",
        "FailedContainer",
        "FetchImageContentFailed",
        "MissingPushSecret",
        "NoBuildContainerStatus",
        "PushImageToRegistryFailed",
    }
)
"""Reasons for which a Build fails through no fault of what is built (StatusReason… in OpenShift's build API)."""

WHOLE = "2026-01-01T00:00:00"

CANCELLED = "Cancelled"
"""Why Amun ends a Build that nobody waits for: should somebody wait for it after all, it begins again."""

GENERIC = frozenset({"", "GenericBuildFailed"})
"""Reasons that say nothing: the log is asked (`blame`)."""

OWN_REASONS = frozenset({"Cancelled", "DeadlineExceeded", "OutOfMemoryKilled", pending_reasons.STORAGE})
"""Reasons of failed builds of which their logs say nothing."""

PULL = frozenset({"PullBuilderImageFailed", "InvalidImageReference"})


def number(build: Document) -> int:
    """Which Build of its BuildConfig it is, from 1."""
    return names.number(build, names.ANNOTATION_BUILD_NUMBER)


def newest(builds: Iterable[Document]) -> Document | None:
    """The last Build that was started of one BuildConfig."""
    return max(builds, key=number, default=None)


def tries(there: Sequence[Document], attempts: int) -> int:
    """The last number that a Build may have: those that a quota refused never were, and what a limit ends is no try."""
    last = newest(there)
    missing = 0 if last is None else max(0, number(last) - len(there))
    return attempts + missing + sum(limit(one) is not None or gone_at(one) is not None for one in there)


def gone_at(build: Document) -> str | None:
    """When it was found that a Build's image cannot be had any more."""
    moment: str | None = (build["metadata"].get("annotations") or {}).get(names.GONE)
    return moment


def replaceable(there: Sequence[Document], inspection: Inspection) -> bool:
    """Whether the newest image of an environment is gone, and is to be built again for an inspection: it is, once."""
    last = newest(there)
    if last is None or gone_at(last) is None:
        return False
    return sum((gone_at(one) or "") >= inspection.created for one in there) <= 1


def ongoing(build: Document) -> bool:
    """Whether it waits or works."""
    return phase(build) in ONGOING


def phase(build: Document) -> str:
    """The Build's own word; it has none for a moment after it was made."""
    return _status(build).get("phase") or "New"


def begin_again(build: Document, attempts: int) -> bool:
    """Whether the platform failed this Build, or somebody stopped it whom it did not belong to, and another may do."""
    ended = stopped(build)
    if ended is not None and ended[0] != CANCELLED:
        return False
    return phase(build) == "Cancelled" or (_fault(build) is not None and number(build) < attempts)


def given(build: Document) -> Allowance | None:
    """The limits of a Build, None where it lacks one."""
    spec = build.get("spec") or {}
    limits, deadline = (spec.get("resources") or {}).get("limits") or {}, spec.get("completionDeadlineSeconds")
    return (
        Allowance(limits["cpu"], limits["memory"], deadline) if deadline and {"cpu", "memory"} <= set(limits) else None
    )


def limit(build: Document) -> str | None:
    """By which of its limits a Build has ended: `DeadlineExceeded` or `OutOfMemoryKilled`, None if by none."""
    if phase(build) != "Failed" or _fault(build) is not None:
        return None
    reason = _failed(build, BuildState()).reason
    return reason if reason in ("DeadlineExceeded", "OutOfMemoryKilled") else None


def goes_on(build: Document, inspection: Inspection) -> bool:
    """Whether a limit has ended this Build, and the inspection allows more: another Build is to have it."""
    reason, had = limit(build), given(build)
    return reason is not None and had is not None and Allowance.of(inspection.specification.build).exceeds(had, reason)


def decisive(there: Iterable[Document], inspection: Inspection) -> Document | None:
    """Of the Builds of an environment that by which an inspection's build is over, or goes on.

    The newest; but one that a limit has ended while the inspection waited, unless it allows more, is the end for it.
    """
    ordered = sorted(there, key=number)
    for build in ordered:
        ended = _moment(build, "completionTimestamp") or ""
        waited = inspection.created[: len(WHOLE)] <= ended[: len(WHOLE)]  # Builds' times have whole seconds
        if waited and limit(build) and not goes_on(build, inspection):
            return build
    return ordered[-1] if ordered else None


def late(build: Document, inspection: Inspection, now: str) -> bool:
    """Whether a Build that others allow more time takes longer, or took longer, than this inspection allows it."""
    had, allowed = given(build), Allowance.of(inspection.specification.build)
    ended = _moment(build, "completionTimestamp")
    if had is None or had.timeout <= allowed.timeout or (ended is not None and ended < inspection.created):
        return False
    if allowed.exceeds(_with(had, timeout=allowed.timeout), "DeadlineExceeded"):
        return False
    lasted = timestamps.between(_moment(build, "startTimestamp"), ended or now)
    return lasted is not None and lasted > allowed.timeout + 1  # the times have whole seconds


def too_late(build: Document, inspection: Inspection) -> BuildState:
    """The state of a build that is `late` for an inspection."""
    timeout, started = inspection.specification.build.timeout, _moment(build, "startTimestamp") or ""
    return BuildState(
        state="terminated",
        outcome="failed",
        reason="DeadlineExceeded",
        message=f"The build took longer than {timeout} s.",
        exit_code=1,
        started_at=started,
        finished_at=timestamps.timestamp(timestamps.seconds(started) + timeout),
        container=build["metadata"]["name"],
    )


def refused(reason: str, message: str, since: str | None) -> BuildState:
    """The state of a build that was refused before it began."""
    return BuildState(
        state="terminated", outcome="failed", reason=reason, message=message, exit_code=1, finished_at=since
    )


def settled(build: Document, pods: Sequence[Document]) -> bool:
    """Whether nothing more comes of it: the builder itself says `Failed` before the last lines of its log are there."""
    if phase(build) != "Failed" or _status(build).get("logSnippet"):
        return not ongoing(build)
    return all(_ended(pod) and not _left(pod) for pod in pods)


def looks_at_pods(build: Document) -> bool:
    """Whether a Build's pods have to say something about it that it does not say itself."""
    return phase(build) in ("New", "Pending") or (phase(build) == "Failed" and not _status(build).get("logSnippet"))


def _ended(pod: Document) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _fault(build: Document) -> build_blame.Blame | None:
    """What the platform failed a Build for; None for one that it did not."""
    word, reason = phase(build), _reason(build)
    if _wrote_too_much(build):
        return None
    if word == "Error" or (word == "Complete" and image(build) is None) or (word == "Failed" and reason in PLATFORM):
        return build_blame.Blame(reason or "NoImage", True, _message(build) or "The build left no image.")
    if word != "Failed" or reason not in GENERIC or _past_deadline(build):
        return None
    found = build_blame.of(_last_words(build))
    return found if found is not None and found.platform else None


def _last_words(build: Document) -> str:
    return _status(build).get("logSnippet") or ""


def _left(pod: Document) -> str:
    """The last lines of its log, which the builder's container leaves as its message, and the Build is to have."""
    listed = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((said for one in listed if (said := (_terminated(one) or {}).get("message"))), "")


def _terminated(status: Document) -> Document | None:
    ended: Document | None = (status.get("state") or {}).get("terminated")
    return ended


def stopped(build: Document) -> tuple[str, str] | None:
    """Why Amun itself ended a Build: a reason and a sentence."""
    annotations = build["metadata"].get("annotations") or {}
    reason, _, message = annotations.get(names.STOPPED, "").partition(": ")
    return (reason, message) if reason else None


def image(build: Document) -> str | None:
    """The image that it pushed, by digest."""
    status = _status(build)
    digest = ((status.get("output") or {}).get("to") or {}).get("imageDigest")
    reference = status.get("outputDockerImageReference") or ""
    repository, colon, tag = reference.rpartition(":")
    return f"{repository if colon and '/' not in tag else reference}@{digest}" if digest and reference else None


def state(build: Document | None, pods: Sequence[Document], attempts: int, wanted: bool = True) -> BuildState:
    """Where a build stands for one who still wants it, or not; `pods` are those of the Build (`looks_at_pods`)."""
    if build is None:
        return BuildState(reason="BuildQueued", message="The build waits for its turn.")
    if wanted and begin_again(build, attempts):
        fault = _fault(build)
        message = _message(build) if fault is None else fault.message
        return BuildState(reason="Restarting", message=message, container=build["metadata"]["name"])
    known = BuildState(container=build["metadata"]["name"], started_at=_moment(build, "startTimestamp"))
    word = phase(build)
    if word in ("New", "Pending"):
        return _waiting(build, pods, known)
    if not settled(build, pods):
        return _with(known, state="running")
    return _over(build, pods, known)


def _waiting(build: Document, pods: Sequence[Document], known: BuildState) -> BuildState:
    ended = stopped(build)
    if ended is not None and ended[0] != CANCELLED:  # whether or not the cluster has taken notice of that
        return _with(known, state="terminated", outcome="error", reason=ended[0], message=ended[1])
    why = next(filter(None, map(pending_reasons.why, pods)), None)
    if why is None and _reason(build):
        why = pending_reasons.Why(
            pending_reasons.reason_of(_message(build) or "", _reason(build)), _message(build) or ""
        )
    why = why or pending_reasons.Why("BuildPending", "The cluster is about to start the build.")
    return _with(known, reason=why.reason, message=why.message, started_at=None)


def _over(build: Document, pods: Sequence[Document], known: BuildState) -> BuildState:
    known = _with(known, state="terminated", finished_at=_moment(build, "completionTimestamp") or _end(pods))
    word, ended, fault = phase(build), stopped(build), _fault(build)
    if fault is not None:
        return _with(known, outcome="error", reason=fault.reason, message=fault.message, exit_code=1)
    if word == "Complete":
        return _with(known, outcome="succeeded", reason="Completed", exit_code=0, image=image(build))
    if word == "Cancelled":
        if ended is not None and ended[0] != CANCELLED:
            return _with(known, outcome="error", reason=ended[0], message=ended[1])
        return _with(known, outcome="failed", reason="Cancelled", message="Nobody waits for the build any more.")
    return _failed(build, known)


def _end(pods: Sequence[Document]) -> str | None:
    """When the last container of these ended."""
    statuses = [one for pod in pods for one in (pod.get("status") or {}).get("containerStatuses") or ()]
    ends = [end for one in statuses if (end := (_terminated(one) or {}).get("finishedAt"))]
    return timestamps.timestamp(timestamps.seconds(max(ends))) if ends else None


def _failed(build: Document, known: BuildState) -> BuildState:
    known = _with(known, outcome="failed", exit_code=1)
    if _past_deadline(build):
        return _with(known, reason="DeadlineExceeded", message="The build was still running at its deadline.")
    if _reason(build) == "OutOfMemoryKilled":
        message = "The build needed more memory than it had requested."
        return _with(known, reason="OutOfMemoryKilled", message=message, exit_code=137)
    if _wrote_too_much(build):
        return _with(known, reason=pending_reasons.STORAGE, message="The build wrote more to disk than it may.")
    failure = build_log.failed_step(_last_words(build))
    reason = "ErrImagePull" if _reason(build) in PULL else failure.reason
    return _with(known, reason=reason, message=failure.message)


def explained(state: BuildState, failure: build_log.Failure) -> BuildState:
    """A failed build with what its whole log says of why."""
    reason = state.reason if state.reason == "ErrImagePull" else failure.reason
    return _with(state, reason=reason, message=failure.message)


def unquoted(state: BuildState) -> BuildState:
    """A failed build without what its last lines say of why: they may have what nobody should read."""
    if state.outcome != "failed" or state.reason in OWN_REASONS:
        return state
    return _with(state, message="The build failed; its log says why.")


def _wrote_too_much(build: Document) -> bool:
    return _reason(build) == "BuildPodEvicted" and pending_reasons.wrote_too_much(_message(build))


def _past_deadline(build: Document) -> bool:
    """Whether it was ended by completionDeadlineSeconds, which has no reason of its own."""
    deadline = build["spec"].get("completionDeadlineSeconds")
    lasted = timestamps.between(_moment(build, "startTimestamp"), _moment(build, "completionTimestamp"))
    if _reason(build) in ("BuildDeadlineExceeded", "DeadlineExceeded"):
        return True
    # The times have whole seconds, and the pod's own clock begins a moment after the Build's.
    generic = _reason(build) == "GenericBuildFailed"
    return generic and deadline is not None and lasted is not None and lasted >= deadline - 1


def _status(build: Document) -> Document:
    return build.get("status") or {}


def _reason(build: Document) -> str:
    return _status(build).get("reason") or ""


def _message(build: Document) -> str | None:
    return _status(build).get("message")


def _moment(build: Document, name: str) -> str | None:
    moment = _status(build).get(name)
    return None if moment is None else timestamps.timestamp(timestamps.seconds(moment))
