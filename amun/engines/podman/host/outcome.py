"""How to use Podman on a machine, as the checks of it came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from amun.engines.checks import Check
from amun.engines.podman.runs import usage

NETWORK_OF_BUILDS, HOST_ACCESS = EXPOSURES = ("network of builds", "host access of runs")
"""Names of the checks that say what of this machine is within reach."""


@dataclass(frozen=True)
class Wishes:
    """What settings say of the machine; `auto` and None leave the choice to what is found."""

    run_network: str = "auto"
    build_network: str = "auto"
    pids_limit: int = 512
    run_host_access: str = "closed"
    build_proxy_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """How to use Podman here.

    `environment` is complete: Podman needs no other variable. `run_network` is for `podman kube play --network`,
    `build_network` and `build_doors` are for `namespace.build_command`. Builds mount `build_volumes`, and are given
    a control group of their own in BUILD_GROUP where there is one, see `cgroups.parent_of_steps`, and the filter of
    system calls `build_seccomp`, if any. `limits` are those of cpu, memory and pids that are really applied to runs:
    one that is missing must not be asked for, Podman would refuse; `build_limits` are those of builds. `counts_disk`
    says whether what they write is counted. With `selinux` the state directory is labelled for containers, and what is
    created in it inherits that.
    """

    podman: str
    version: str
    environment: dict[str, str]
    runtime: str
    run_network: str
    build_network: str
    build_doors: str
    build_volumes: tuple[str, ...]
    build_group: str | None
    build_seccomp: str | None
    build_limits: tuple[str, ...]
    limits: tuple[str, ...]
    selinux: bool
    rootless: bool
    checks: tuple[Check, ...]
    counts_disk: bool = True

    @property
    def usable(self) -> bool:
        """Whether the engine can work here."""
        return all(check.ok for check in self.checks if check.needed)

    @property
    def weak_limits(self) -> dict[str, str]:
        """How those limits of runs are enforced that control groups do not enforce, see `usage.weak_limits`."""
        return {**usage.weak_limits(self.limits), **self._weak_disk}

    @property
    def weak_build_limits(self) -> dict[str, str]:
        """The same of builds."""
        return {**usage.weak_limits(self.build_limits), **self._weak_disk}

    @property
    def _weak_disk(self) -> dict[str, str]:
        return {} if self.counts_disk else {"disk": "none"}

    @property
    def exposures(self) -> list[Check]:
        """What strangers' code reaches of this machine although it should not."""
        return [check for check in self.checks if check.name in EXPOSURES and not check.ok]

    @property
    def _problems(self) -> list[Check]:
        return [check for check in self.checks if check.needed and not check.ok]

    @property
    def lasting(self) -> bool:
        """Whether what is in the way stays there until somebody mends it."""
        return any(check.lasting for check in self._problems)

    @property
    def problem(self) -> str | None:
        """What is in the way, and the command that helps, in one line; None if nothing is."""
        found = self._problems
        return " ".join(f"{check.why} Try: {check.remedy}" if check.remedy else check.why for check in found) or None

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Machine:
        """The inverse of `to_document`; raises TypeError or KeyError for anything else."""
        lists = {name: tuple(document[name]) for name in ("build_volumes", "build_limits", "limits")}
        return cls(**{**document, **lists, "checks": tuple(Check(**check) for check in document["checks"])})
