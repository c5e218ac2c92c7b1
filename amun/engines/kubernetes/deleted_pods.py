"""Attempts that somebody took away: a pod or a Job that was deleted by hand, with all that it had left.

For a Job's controller such an item has failed, as if its script had: deleting is no disruption. So a further Job makes
the next attempt at it, of a name that says which: two controllers make one, and after a crash it is found again.
A Job that the record notes, and that is not there, was deleted; one that it does not note was never made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from . import names

Document = Mapping[str, Any]

ALL = ""
"""In a record's note: the Job of all items."""

MESSAGE = "Somebody has deleted the pod of the run, and what it left went with it."


class Tried(NamedTuple):
    """The last attempt at an item for which a Job was made.

    Attributes:
        over: no Job starts a pod for it any more.
        succeeded: its Job says that it has succeeded.
    """

    attempt: int
    over: bool
    succeeded: bool


def tried(
    inspection_id: str, item: int, pods: Sequence[Document], jobs: Sequence[Document], made: Mapping[str, int]
) -> Tried:
    """Where the last attempt at an item stands, by its pods, the inspection's Jobs and what its record notes."""
    there = {job["metadata"]["name"]: job for job in jobs}
    further = [names.number(job, names.ATTEMPT) for job in jobs if names.number(job, names.ITEM, -1) == item]
    attempt = max([made.get(str(item), 1), *further])
    main = attempt == 1
    job = there.get(inspection_id if main else names.again(inspection_id, item, attempt))
    index = item if main else 0
    seen = max((names.number(pod, names.ATTEMPT, 1) + names.number(pod, names.FAILURES) for pod in pods), default=1)
    if job is None:
        noted = ALL in made if main else made.get(str(item)) == attempt
        return Tried(max(attempt, seen), noted, False)
    succeeded = index in _indexes(job, "completedIndexes")
    return Tried(max(attempt, seen), succeeded or index in _indexes(job, "failedIndexes") or over(job), succeeded)


def over(job: Document | None) -> bool:
    """Whether a Job starts no pods any more."""
    conditions = ((job or {}).get("status") or {}).get("conditions") or ()
    return any(
        condition["type"] in ("Complete", "Failed") and condition["status"] == "True" for condition in conditions
    )


def _indexes(job: Document, name: str) -> set[int]:
    """Indexes as a Job's status writes them: ``0,2-4``."""
    found: set[int] = set()
    for part in filter(None, ((job.get("status") or {}).get(name) or "").split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
