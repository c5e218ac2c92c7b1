"""Everything that may be said to a caller when something is wrong, and the status it is said with.

::

    AmunError                    500
     ├── InvalidDocument         400   names every offending field
     │    └── InvalidSpecification
     ├── MalformedHost           400   no Host, or several
     ├── Unauthenticated         401
     ├── Forbidden               403
     ├── InspectionNotFound      404
     ├── ItemNotFound            404
     ├── Conflict                409
     ├── RequestTimeout          408
     ├── RequestTooLarge         413
     ├── Misdirected             421   asked by a name that is not this service's
     ├── Infeasible              422   no hardware here can ever serve it
     ├── Unlike                  422   what was measured on unlike hardware is not compared
     ├── TooManyRequests         429   says after how many seconds to come back
     └── EngineUnavailable       503
          ├── Unreadable          500  what is kept cannot be understood, now or later
          ├── Rejected            500  the engine's platform says no, and will say so again
          └── ArchiveUnavailable

Whatever is raised below the API and should reach a caller is one of these; all else is a defect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

NAMED = 20
"""Fields that the sentence about a document names; `details` has more."""

INTERNAL = "The service failed to answer this request; the failure has been logged."
"""All that is said of a defect."""


@dataclass(frozen=True)
class Problem:
    """One offending field of a specification: its JSON path and what is wrong with it."""

    path: str
    message: str

    def to_document(self) -> dict[str, str]:
        return {"path": self.path, "message": self.message}


class Problems(list[Problem]):
    """What is wrong with a document: those that are named, and the number of the others, `omitted`."""

    def __init__(self, named: Iterable[Problem] = (), omitted: int = 0) -> None:
        super().__init__(named)
        self.omitted = omitted


class AmunError(Exception):
    """Base of all errors that are shown to callers; the message is one sentence for a person."""

    status: ClassVar[int] = 500

    def __init__(self, message: str, *, parameters: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.parameters = parameters

    @property
    def details(self) -> Sequence[Problem]:
        return ()

    @property
    def details_omitted(self) -> int:
        """How many problems there are beside those of `details`."""
        return 0

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer's headers say of it."""
        return {}


class InvalidDocument(AmunError):
    """What was posted was refused; `details` names all offending fields."""

    status = 400
    what: ClassVar[str] = "document"

    def __init__(self, details: Sequence[Problem]) -> None:
        named = list(dict.fromkeys(problem.path or "(document)" for problem in details))
        omitted = details.omitted if isinstance(details, Problems) else 0
        rest = len(named) + omitted - NAMED
        fields = ", ".join(named[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
        super().__init__(f"The {self.what} is not valid: {fields}.")
        self._details = tuple(details)
        self._omitted = omitted

    @property
    def details(self) -> Sequence[Problem]:
        return self._details

    @property
    def details_omitted(self) -> int:
        return self._omitted


class InvalidSpecification(InvalidDocument):
    """The specification was refused."""

    what = "specification"


class Unauthenticated(AmunError):
    """It is not known who asks."""

    status = 401

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(AmunError):
    """It is known who asks, and they may not."""

    status = 403


class InspectionNotFound(AmunError):
    """There is no such inspection."""

    status = 404


class ItemNotFound(AmunError):
    """The inspection is there, but it has no such item (or no script at all)."""

    status = 404


class Conflict(AmunError):
    """The request contradicts what already is: already over, or an Idempotency-Key used for another body."""

    status = 409


class RequestTooLarge(AmunError):
    """The body has more bytes than a submission may have."""

    status = 413


class RequestTimeout(AmunError):
    """The body did not come in time."""

    status = 408


class MalformedHost(AmunError):
    """The request does not say in one header which host it is for."""

    status = 400


class Misdirected(AmunError):
    """The request is for a host that this service is not known by."""

    status = 421


class Infeasible(AmunError):
    """No hardware here can ever serve the request."""

    status = 422


class Unlike(AmunError):
    """The hardware differs, in what `details` names."""

    status = 422

    def __init__(self, details: Sequence[Problem]) -> None:
        paths = ", ".join(problem.path for problem in details)
        super().__init__(f"The inspections ran on unlike hardware: {paths}. Only `allow_unlike` compares them.")
        self._details = tuple(details)

    @property
    def details(self) -> Sequence[Problem]:
        return self._details


class TooManyRequests(AmunError):
    """The caller has asked for more than one caller may; `after` so many seconds there will be room again."""

    status = 429

    def __init__(self, message: str, after: int) -> None:
        super().__init__(message)
        self.after = after

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self.after)}


class Busy(TooManyRequests):
    """All callers together have asked for more than there is room for."""

    status = 503


class EngineUnavailable(AmunError):
    """The engine (or the disk under it) is out of reach; trying again later may help."""

    status = 503


class Unreadable(EngineUnavailable):
    """What the engine kept cannot be understood, and trying again will not help."""

    status = 500


class Rejected(EngineUnavailable):
    """The engine's platform refuses it for good: what is wrong has to be mended before trying again helps."""

    status = 500


class ArchiveUnavailable(EngineUnavailable):
    """The archive is out of reach; `detail` says what is known of why, for those who run the service."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail or message
