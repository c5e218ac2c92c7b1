"""Who asks, and who can tell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

EXTENSION = "amun.caller"
"""Where the ASGI scope says who asks: among the extensions, which all copies of a scope share."""


@dataclass(frozen=True)
class Caller:
    """Who asks. Raises ValueError for one who has no name and does not see all: nothing could be told to be theirs.

    Attributes:
        name: what inspections are recorded with; None where nobody is asked who they are.
        admin: sees, cancels and deletes everybody's inspections.
        address: where they ask from.
    """

    name: str | None
    admin: bool = False
    address: str = ""

    def __post_init__(self) -> None:
        if not self.name and not self.admin:
            raise ValueError("a caller needs a name")


ANYBODY = Caller(None, admin=True)
"""Whoever asks where nobody is asked who they are: all inspections are theirs."""


class Reviewer(ABC):
    """Tells whose a credential is. Asked from many threads at once."""

    @abstractmethod
    def review(self, credential: str) -> Caller:
        """Who comes with this credential; takes as long as asking whoever knows.

        Raises `Unauthenticated` for nobody's, `Forbidden` for somebody who may not use this service, and
        `EngineUnavailable` where it cannot be told now.
        """

    def recall(self, credential: str) -> Caller | None:
        """What `review` would say, where that can be said at once; None where not. Raises as `review`."""
        return None

    @abstractmethod
    def check(self) -> None:
        """Raise `EngineUnavailable`, saying what is missing, unless callers can be known now."""


def note(scope: MutableMapping[str, Any], caller: Caller) -> None:
    """Note who asks in the scope of their request."""
    scope.setdefault("extensions", {})[EXTENSION] = caller


def caller_of(scope: MutableMapping[str, Any]) -> Caller:
    """Who asks, as noted. Raises KeyError where nobody has seen to it: better a defect than a guest."""
    caller: Caller = scope["extensions"][EXTENSION]
    return caller
