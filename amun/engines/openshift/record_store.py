"""Declaring inspections and finding them: what the API does with records."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace

from amun.engines.kubernetes import kinds, names, records
from amun.engines.kubernetes.api_client import AlreadyThere, Cluster, NotFound
from amun.engines.kubernetes.records import Record
from amun.errors import Conflict, EngineUnavailable, InspectionNotFound, Unreadable
from amun.model.identifiers import is_valid
from amun.model.inspection import Accepted, Inspection, Submission

from .build_config_builder import Environments


class Declarations:
    """The records of the namespace, read and written without a cache: what is answered is so."""

    def __init__(self, cluster: Cluster, environments: Environments) -> None:
        self._cluster = cluster
        self._environments = environments

    def declare(self, submission: Submission) -> Accepted:
        """All of it, or nothing: the record is made last, by one request.

        A Secret without a record is nothing; the controller removes it (`Retention`).
        """
        inspection = submission.inspection
        secret = records.to_secret(submission)  # refuses what is too large before all else
        self._environments.check(submission.context)
        claim = self._environments.claim(inspection, submission.context, submission.logins)
        record = Record(inspection, claim.name, claim.uid, claim.cached)
        try:
            with contextlib.suppress(AlreadyThere):
                self._cluster.create(kinds.SECRETS, secret)
            self._cluster.create(kinds.CONFIG_MAPS, records.to_document(record))
        except AlreadyThere:
            pass  # our own: the answer to the first try was lost
        except EngineUnavailable:
            with contextlib.suppress(EngineUnavailable):
                self._environments.withdraw(claim)
            raise
        return Accepted(inspection.id, claim.cached)

    def declare_once(self, submission: Submission, key: str, fingerprint: str) -> Accepted:
        """The key is kept before the inspection, with its id: a crash between the two loses and doubles nothing."""
        name = f"idempotency-{hashlib.sha256(key.encode()).hexdigest()[:40]}"
        annotations = {"amun/id": submission.inspection.id, "amun/fingerprint": fingerprint}
        metadata = {"name": name, "labels": names.labels(names.KEY), "annotations": annotations}
        try:
            self._cluster.create(kinds.CONFIG_MAPS, {"metadata": metadata, "immutable": True})
        except AlreadyThere:
            return self._declared_before(submission, name, fingerprint)
        return self.declare(submission)

    def _declared_before(self, submission: Submission, name: str, fingerprint: str) -> Accepted:
        kept = self._cluster.get(kinds.CONFIG_MAPS, name)["metadata"]["annotations"]
        if kept["amun/fingerprint"] != fingerprint:
            raise Conflict("This Idempotency-Key was used for another specification before.")
        found = self._cluster.find(kinds.CONFIG_MAPS, kept["amun/id"])
        if found is not None:
            return Accepted(kept["amun/id"], records.from_document(found).cached)
        return self.declare(replace(submission, inspection=replace(submission.inspection, id=kept["amun/id"])))

    def whole(self, inspection: Inspection) -> Inspection:
        """The inspection with all of its specification. Raises `InspectionNotFound`, `Unreadable`."""
        if not inspection.abridged:
            return inspection
        kept = self._cluster.find(kinds.SECRETS, inspection.id)
        if kept is None:
            if self._cluster.find(kinds.CONFIG_MAPS, inspection.id) is None:
                raise InspectionNotFound(f"There is no inspection {inspection.id!r}.")
            raise Unreadable("The specification of this inspection is gone: somebody has removed its Secret.")
        try:
            return records.whole(inspection, kept)
        except records.Damaged as exc:
            raise Unreadable(f"The specification of this inspection cannot be read: {exc}") from exc

    def adopt(self, record: Record) -> None:
        """Make the Secret of a record its own, so that it goes with it."""
        with contextlib.suppress(NotFound):
            self._cluster.patch(kinds.SECRETS, record.inspection.id, records.owned(record.inspection.id, record.uid))

    def cancel(self, inspection_id: str, moment: str) -> None:
        """Note that it is to be stopped. Raises `InspectionNotFound`."""
        with _found(inspection_id):
            self._cluster.patch(kinds.CONFIG_MAPS, inspection_id, records.cancelled(moment))

    def delete(self, inspection_id: str) -> None:
        """Its Job and pods go with it. Raises `InspectionNotFound`."""
        with _found(inspection_id):
            self._cluster.remove(kinds.CONFIG_MAPS, inspection_id)


def check_id(inspection_id: str) -> None:
    """Raise `InspectionNotFound` for what no inspection is named: it must not become part of an address."""
    if not is_valid(inspection_id):
        raise InspectionNotFound(f"There is no inspection {inspection_id!r}.")


@contextlib.contextmanager
def _found(inspection_id: str) -> Iterator[None]:
    """What is done in it is done to an inspection that is there, or raises `InspectionNotFound`."""
    check_id(inspection_id)
    try:
        yield
    except NotFound as exc:
        raise InspectionNotFound(f"There is no inspection {inspection_id!r}.") from exc
