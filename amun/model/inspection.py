"""The values that cross between engines, the controller and the API: what is, never how it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .login import Login
from .specification import Specification

State = Literal["scheduling", "waiting", "running", "terminated"]
Outcome = Literal["succeeded", "failed", "error"]


@dataclass(frozen=True)
class Inspection:
    """One accepted specification. Never changes once it is declared.

    Attributes:
        id: see `amun.model.identifiers`.
        script_sha256: of the bytes that will run, None when only the build was asked for.
        environment: digest of the environment, ``sha256:…``.
        created: when it was accepted, RFC 3339 in UTC.
        owner: name of the caller who submitted it, None where nobody was asked.
        private: whether its build asks hosts with a password, so that its environment is its owner's alone.
        abridged: whether `specification` lacks what may hold secrets; `Engine.whole` has all of it.
    """

    id: str
    specification: Specification
    script_sha256: str | None
    environment: str
    created: str
    owner: str | None = None
    private: bool = False
    abridged: bool = False

    @property
    def items(self) -> range:
        """Indices of its items; the first `specification.warmup` of them are the warm-ups."""
        return range(0 if self.script_sha256 is None else self.specification.items)


@dataclass(frozen=True)
class Submission:
    """What an engine is asked to declare: an inspection, its script's bytes, its environment's build context.

    `logins` is what hosts are asked with while the environment is built. The engine keeps it where nobody else reads
    it, until the build has ended.
    """

    inspection: Inspection
    script: bytes | None
    context: Mapping[str, bytes]
    logins: tuple[Login, ...] = ()


@dataclass(frozen=True)
class Accepted:
    """What became of a submission: the inspection's id, and whether its environment was there (or on its way)."""

    id: str
    cached: bool


@dataclass(frozen=True)
class BuildState:
    """Where a build stands; the words are those of a container status.

    Attributes:
        image: a reference by digest.
        weak_limits: how those limits are enforced that no control group enforces, ``fallback`` or ``none``, by name:
            ``cpu``, ``memory``, ``processes``; ``disk`` where it is not counted. None where the engine does not tell.
    """

    state: State = "waiting"
    outcome: Outcome | None = None
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    image: str | None = None
    cached: bool = False
    container: str | None = None
    weak_limits: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ItemState:
    """Where one run of the script stands. `outcome` is None until it is over; `attempt` counts from 1.

    Attributes:
        placed_at: when it was given its place, RFC 3339 like the others.
        pulled_at: when its node had the image, where that had to be fetched.
        weak_limits: as those of `BuildState`.
    """

    item: int
    state: State = "waiting"
    outcome: Outcome | None = None
    reason: str | None = None
    message: str | None = None
    exit_code: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    attempt: int = 1
    node: str | None = None
    hardware_match: bool | None = None
    container: str | None = None
    placed_at: str | None = None
    pulled_at: str | None = None
    weak_limits: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Observation:
    """All that an engine knows of one inspection at one moment.

    Attributes:
        items: one state for each item, by index; empty when there is no script.
        cancelled_at: when cancelling was asked for.
        finished_at: when the controller closed the inspection; nothing changes after it.
        data_stored: whether the archive has it.
        defect: what is wrong with the kept state, where it cannot be read.
    """

    inspection: Inspection
    build: BuildState
    items: tuple[ItemState, ...] = ()
    cancelled_at: str | None = None
    finished_at: str | None = None
    data_stored: bool = False
    defect: str | None = None


@dataclass(frozen=True)
class Node:
    """A kind of machine inspections may be placed on; `free` is how many of `count` could take one now.

    Attributes:
        hwinfo: what the hwinfo program saw there, in py-cpuinfo's structure.
        cpu: processors that may be asked for, in cores.
        memory: bytes that may be asked for.
    """

    name: str
    architecture: str
    cpu: float
    memory: int
    hwinfo: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[Mapping[str, Any], ...] = ()
    count: int = 1
    free: int = 1
