"""Which known holes remain, by what is installed: the package's own changelog, its version, and what was tried."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from amun.engines.checks import Check
from amun.engines.podman.host import checks, holes, packages
from amun.engines.podman.host.facts import Facts
from amun.engines.podman.host.holes import HOLES
from amun.engines.podman.host.packages import Package

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg") is None, reason="versions are compared by dpkg, which is not here")
needs_rpm = pytest.mark.skipif(shutil.which("rpm") is None, reason="versions are compared by rpm, which is not here")

BOOKWORM, TRIXIE, UBUNTU = ("debian", "12"), ("debian", "13"), ("ubuntu", "24.04")
FACTS = Facts(podman="/usr/bin/podman", distribution="debian")


def states(name: str, version: str, release: tuple[str, str], *named: str, manager: str = "dpkg") -> dict[str, object]:
    """Of each hole of a package whether it is open, None where that is not known."""
    package = Package(name, version, manager, frozenset(named))
    return {hole.cve: holes.still_open(hole, package, release) for hole in HOLES[name]}


def judged(
    name: str, version: str | None, release: tuple[str, str], tried: dict[str, bool] | None = None, *named: str
) -> Check:
    package = None if version is None else Package(name, version, "dpkg", frozenset(named))
    return holes.judged(name, package, release, tried or {}, FACTS)


@needs_dpkg
class TestOfDebian:
    def test_what_the_distribution_has_mended_in_an_old_version_is_closed(self) -> None:
        assert states("runc", "1.1.5+ds1-1", BOOKWORM)["CVE-2024-21626"] is True
        assert states("runc", "1.1.5+ds1-1+deb12u1", BOOKWORM)["CVE-2024-21626"] is False
        assert states("runc", "1.1.15+ds1-2+b4", TRIXIE)["CVE-2025-31133"] is True
        assert states("runc", "1.1.15+ds1-2+deb13u1", TRIXIE)["CVE-2025-31133"] is False

    def test_what_the_authors_had_closed_before_is_closed(self) -> None:
        assert set(states("podman", "5.4.2+ds1-2+b2", TRIXIE).values()) == {False}
        assert states("runc", "1.1.15+ds1-2+b4", TRIXIE)["CVE-2024-45310"] is False

    def test_what_no_package_of_the_release_has_closed_remains(self) -> None:
        assert set(states("podman", "4.3.1+ds1-8+deb12u1+b3", BOOKWORM).values()) == {True}
        assert states("runc", "1.1.15+ds1-2+deb13u1", TRIXIE)["CVE-2025-52881"] is True

    def test_a_later_package_has_closed_what_its_changelog_names_and_of_the_rest_it_is_not_known(self) -> None:
        found = states("runc", "1.1.5+ds1-1+deb12u2", BOOKWORM, "CVE-2025-31133")
        assert found["CVE-2025-31133"] is False
        assert found["CVE-2024-21626"] is False
        assert found["CVE-2025-52881"] is None


@needs_dpkg
class TestElsewhere:
    def test_of_a_distribution_that_was_not_looked_at_the_changelog_tells_or_nobody(self) -> None:
        found = states("podman", "4.9.3+ds1-1ubuntu0.2", UBUNTU, "CVE-2024-1753")
        assert found == {
            "CVE-2024-1753": False, "CVE-2024-9407": None, "CVE-2024-9675": None, "CVE-2024-11218": None,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("version", "closed"),
        [
            ("4.9.3", None), ("4.9.4", False), ("5.0.0~rc7", None), ("5.0.0", None), ("5.0.1", False), ("1:5.2", False),
        ],
    )  # fmt: skip
    def test_a_hole_may_be_closed_in_several_branches(self, version: str, closed: bool | None) -> None:
        assert states("podman", version, UBUNTU)["CVE-2024-1753"] is closed

    def test_a_branch_that_came_between_is_open_again(self) -> None:
        assert states("runc", "1.2.8", UBUNTU)["CVE-2025-52881"] is False
        assert states("runc", "1.3.2", UBUNTU)["CVE-2025-52881"] is None
        assert states("runc", "1.3.3", UBUNTU)["CVE-2025-52881"] is False


@needs_rpm
def test_versions_of_rpm_are_compared_by_rpm() -> None:
    package = Package("podman", "5.4.2-1.fc42", "rpm")
    assert package.upstream_at_least("5.3.2")
    assert not package.upstream_at_least("5.10")
    assert package.at_least("5.4.2-1.fc42")
    assert not package.later_than("5.4.2-1.fc42")


# -- what is said -----------------------------------------------------------------------------------------------------


@needs_dpkg
def test_each_hole_that_remains_is_named_with_what_it_lets_do_and_who_says_so() -> None:
    check = judged("podman", "4.3.1+ds1-8+deb12u1+b3", BOOKWORM, {"CVE-2024-1753": True})
    assert (check.ok, check.needed, check.chosen) == (False, False, "4 remain")
    for hole in HOLES["podman"]:
        assert f"{hole.cve} remains" in check.why
        assert hole.consequence in check.why
        assert hole.source in check.why
    assert "CVE-2024-1753 remains, as was tried" in check.why
    assert "CVE-2024-9407 remains, by the version of its package" in check.why


@needs_dpkg
def test_what_was_tried_stands_above_what_versions_tell() -> None:
    tried = {"CVE-2024-1753": False, "CVE-2024-9675": True}
    why = judged("podman", "5.4.2+ds1-2+b2", TRIXIE, tried).why
    assert "CVE-2024-9675 remains, as was tried" in why
    assert "CVE-2024-1753" not in why


@needs_dpkg
def test_an_update_that_closes_holes_is_the_remedy() -> None:
    assert "--only-upgrade runc" in (judged("runc", "1.1.15+ds1-2+b4", TRIXIE).remedy or "")
    assert "crun" in (judged("runc", "1.1.5+ds1-1+deb12u1", BOOKWORM).remedy or "")


@needs_dpkg
def test_without_holes_all_is_well() -> None:
    check = judged("podman", "5.4.2+ds1-2+b2", TRIXIE)
    assert (check.ok, check.chosen) == (True, "none")


def test_of_a_program_of_no_package_nothing_is_known_but_what_was_tried() -> None:
    check = judged("podman", None, BOOKWORM, {"CVE-2024-1753": True})
    assert (check.ok, check.chosen) == (False, "1 remain")
    assert "it is not known whether it has CVE-2024-9407, CVE-2024-9675, CVE-2024-11218" in check.why
    assert judged("runc", None, BOOKWORM).chosen == "not known"


# -- whose rights a hole would give -----------------------------------------------------------------------------------


def test_whoever_builds_as_root_is_told_so_and_why_no_other_way_works() -> None:
    root = checks.user_of_builds(replace(FACTS, version="4.3.1"), "mkdir: permission denied")
    assert (root.ok, root.needed, root.chosen) == (False, False, "root")
    assert "does not build in a user namespace here: mkdir: permission denied" in root.why
    assert "Amun does not ask for one" in checks.user_of_builds(FACTS, None).why


def test_who_is_not_root_builds_in_a_user_namespace() -> None:
    check = checks.user_of_builds(replace(FACTS, root=False, user="ada"), None)
    assert (check.ok, check.chosen) == (True, "ada")


# -- packages ---------------------------------------------------------------------------------------------------------


def stand_in(directory: Path, name: str, program: str) -> None:
    """A program of this name, first on PATH."""
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{program}\n")
    (directory / name).chmod(0o755)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is all of PATH, and none of the machine's documentation."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(packages, "DOCUMENTATION", tmp_path / "doc")
    return tmp_path / "bin"


DPKG = """case $1 in
--search) [ "$2" = "$OWNED" ] && echo "runc:amd64: $2" ;;
--show) printf '%s' "$VERSION" ;;
esac"""


def test_the_package_of_a_program_is_found_with_what_its_changelog_names(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runc").write_text("")
    (tmp_path / "link").symlink_to("runc")
    (tmp_path / "doc" / "runc").mkdir(parents=True)
    text = "runc (1.1.5-2)\n  * Closes CVE-2024-21626, CVE-2025-31133.\n"
    (tmp_path / "doc" / "runc" / "changelog.Debian.gz").write_bytes(gzip.compress(text.encode()))
    monkeypatch.setenv("OWNED", str((tmp_path / "runc").resolve()))
    monkeypatch.setenv("VERSION", "1.1.5-2")
    stand_in(alone, "dpkg-query", DPKG)
    named = frozenset({"CVE-2024-21626", "CVE-2025-31133"})
    assert packages.of(str(tmp_path / "link")) == Package("runc", "1.1.5-2", "dpkg", named)
    assert packages.of(str(alone)) is None


def test_a_package_without_a_version_is_not_installed(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWNED", str((tmp_path / "runc").resolve()))
    monkeypatch.setenv("VERSION", "")
    stand_in(alone, "dpkg-query", DPKG)
    assert packages.of(str(tmp_path / "runc")) is None


def test_without_a_package_manager_there_are_no_packages(alone: Path) -> None:
    assert packages.of("/usr/bin/podman") is None


def test_a_package_of_rpm_is_found_with_what_its_changelog_names(alone: Path) -> None:
    program = 'case "$*" in *--changelog*) echo "- fix CVE-2024-1753" ;; *) echo "podman 4.9.4-1.el9" ;; esac'
    stand_in(alone, "rpm", program)
    assert packages.of("/usr/bin/podman") == Package("podman", "4.9.4-1.el9", "rpm", frozenset({"CVE-2024-1753"}))
