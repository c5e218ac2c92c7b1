"""Known holes of what builds and runs containers here, and which of them remain.

Some are tried, without harm. Of the others the version of the distribution's package tells: distributions mend old
versions, so a hole is closed if the package is as new as the one that closed it there, if its changelog names the hole,
or if it was made of a version in which the program's authors had closed it. It remains if the newest package that was
looked at has it and the installed one is no newer; else it is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from amun.engines.checks import Check
from amun.engines.podman.podman_cli import Podman

from . import checks, packages, trials
from .facts import Facts
from .outcome import Machine
from .packages import Package


@dataclass(frozen=True)
class Hole:
    """One hole.

    Attributes:
        closed: versions in which it was closed, each with the next one, if any, that is open again.
        consequence: what somebody can do with it, as the end of a sentence that begins with its name.
        source: who says so.
    """

    cve: str
    closed: tuple[tuple[str, str | None], ...]
    consequence: str
    source: str


@dataclass(frozen=True)
class Looked:
    """What packages of a release were looked at: the newest one, and in which version it closed a hole."""

    newest: str
    closed: Mapping[str, str] = field(default_factory=dict)


ADVISORIES = "https://github.com/advisories"
PODMAN = (
    Hole(
        "CVE-2024-1753",
        (("4.9.4", "5.0~"), ("5.0.1", None)),
        "lets a Dockerfile with RUN --mount=from= read and write all files of whoever builds",
        f"{ADVISORIES}/GHSA-874v-pj72-92f3",
    ),
    Hole(
        "CVE-2024-9407",
        (("5.2.4", None),),
        "lets a Dockerfile mount directories of the host by bind-propagation",
        f"{ADVISORIES}/GHSA-fhqq-8f65-5xfc",
    ),
    Hole(
        "CVE-2024-9675",
        (("5.2.5", None),),
        "lets a Dockerfile with RUN --mount=type=cache read and write any directory of the host",
        "https://access.redhat.com/security/cve/cve-2024-9675",
    ),
    Hole(
        "CVE-2024-11218",
        (("5.3.2", None),),
        "lets a Dockerfile that is built by several jobs at once reach files of the host",
        "https://bugzilla.redhat.com/show_bug.cgi?id=2326231",
    ),
)
RUNC_PROC = "lets a container that is started with mounts of its image's choice write to /proc and leave"
RUNC_2025 = (("1.2.8", "1.3~"), ("1.3.3", "1.4~"), ("1.4.0", None))
RUNC = (
    Hole(
        "CVE-2024-21626",
        (("1.1.12", None),),
        "lets an image whose working directory is a leaked file of runc leave its container",
        f"{ADVISORIES}/GHSA-xr7r-f8xq-vfvv",
    ),
    Hole(
        "CVE-2024-45310",
        (("1.1.14", None),),
        "lets two containers that share a volume make empty files anywhere on the host",
        f"{ADVISORIES}/GHSA-jfvp-7x6p-h2pv",
    ),
    Hole("CVE-2025-31133", RUNC_2025, RUNC_PROC, f"{ADVISORIES}/GHSA-9493-h29p-rfm2"),
    Hole("CVE-2025-52565", RUNC_2025, RUNC_PROC, f"{ADVISORIES}/GHSA-qw9x-cqr3-wc7r"),
    Hole("CVE-2025-52881", RUNC_2025, RUNC_PROC, f"{ADVISORIES}/GHSA-cgrx-mc8f-2prm"),
    Hole(
        "CVE-2026-41579",
        (("1.3.6", "1.4~"), ("1.5.0", None)),
        "lets an image whose /dev is a link write to the host, within narrow limits",
        f"{ADVISORIES}/GHSA-xjvp-4fhw-gc47",
    ),
)

HOLES: Mapping[str, tuple[Hole, ...]] = {"podman": PODMAN, "runc": RUNC}
"""By package; `podman build` is Buildah, which Podman's package contains."""

# By the archive of Debian and the changelogs of the packages themselves, on 2026-11-28.
LOOKED: Mapping[tuple[str, str, str], Looked] = {
    ("debian", "12", "podman"): Looked("4.3.1+ds1-8+deb12u1+b3"),
    ("debian", "12", "runc"): Looked("1.1.5+ds1-1+deb12u1", {"CVE-2024-21626": "1.1.5+ds1-1+deb12u1"}),
    ("debian", "13", "podman"): Looked("5.4.2+ds1-2+b2"),
    ("debian", "13", "runc"): Looked(
        "1.1.15+ds1-2+deb13u1",
        dict.fromkeys(("CVE-2025-31133", "CVE-2025-52565", "CVE-2026-41579"), "1.1.15+ds1-2+deb13u1"),
    ),
}


def look(machine: Machine, facts: Facts, place: Path) -> list[Check]:
    """Which holes remain of Podman and of the runtime that was chosen, one check for each.

    Trials need a directory in which programs may be run: one is made below `place`.
    """
    tried: Mapping[str, bool] = {}
    if machine.usable:
        podman = Podman(machine.podman, machine.environment)
        tried = trials.open_mounts(podman, machine, Path(facts.programs["catatonit"]), place)
    programs = {"podman": machine.podman, machine.runtime: facts.programs.get(machine.runtime, "")}
    found = {name: packages.of(program) for name, program in programs.items() if program and name in HOLES}
    return [judged(name, package, packages.release(), tried, facts) for name, package in found.items()]


def judged(
    name: str, package: Package | None, release: tuple[str, str], tried: Mapping[str, bool], facts: Facts
) -> Check:
    """What is known of the holes of one program. `tried` says of some of them whether they are open."""
    title, what = f"known holes of {name}", f"{package.name} {package.version}" if package else f"{name}, of no package"
    states = {hole: tried.get(hole.cve, still_open(hole, package, release)) for hole in HOLES[name]}
    unknown = [hole.cve for hole, is_open in states.items() if is_open is None]
    remaining = [hole for hole, is_open in states.items() if is_open]
    if not remaining and not unknown:
        return Check(title, True, "none", f"{what} has none of {', '.join(hole.cve for hole in states)}.", needed=False)
    why = " ".join(_sentences(remaining, tried))
    if remaining and name == "podman":
        why += " No caller of Amun writes lines of a Dockerfile, and triggers of base images are left out."
    if unknown:
        why = f"{why} Of {what} it is not known whether it has {', '.join(unknown)}.".strip()
    chosen = f"{len(remaining)} remain" if remaining else "not known"
    return Check(title, False, chosen, why, _remedy(name, package, release, remaining, facts), needed=False)


def still_open(hole: Hole, package: Package | None, release: tuple[str, str]) -> bool | None:
    """Whether a package has a hole; None where that is not known."""
    if package is None:
        return None
    looked = LOOKED.get((*release, package.name))
    if hole.cve in package.named or _closed_there(hole, package, looked) or _closed_upstream(hole, package):
        return False
    return True if looked is not None and not package.later_than(looked.newest) else None


def _closed_there(hole: Hole, package: Package, looked: Looked | None) -> bool:
    return looked is not None and hole.cve in looked.closed and package.at_least(looked.closed[hole.cve])


def _closed_upstream(hole: Hole, package: Package) -> bool:
    return any(
        package.upstream_at_least(since) and (until is None or not package.upstream_at_least(until))
        for since, until in hole.closed
    )


def _sentences(remaining: list[Hole], tried: Mapping[str, bool]) -> Iterator[str]:
    for hole in remaining:
        how = "as was tried" if hole.cve in tried else "by the version of its package"
        yield f"{hole.cve} remains, {how}: it {hole.consequence} ({hole.source})."


def _remedy(
    name: str, package: Package | None, release: tuple[str, str], remaining: list[Hole], facts: Facts
) -> str | None:
    """What closes most of them."""
    looked = LOOKED.get((*release, name))
    if package is not None and looked is not None and not package.at_least(looked.newest):
        return f"sudo apt-get update && sudo apt-get install --only-upgrade {package.name}"
    if name == "runc" and remaining:
        return f"{checks.install(facts, 'crun')}  # which is tried before runc"
    later = f"a later release of the distribution, or a later {name}"
    return (f"{later}; or run Amun as a user who is not root" if facts.root else later) if remaining else None
