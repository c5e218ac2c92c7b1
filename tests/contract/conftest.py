"""Fixtures of the contract: a site for each engine, once a session, and a desk for each test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from . import real
from .sites import Desk, OpenShiftSite, PodmanSite, Site


def _podman(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    base: str = request.getfixturevalue("base")  # skips where there is no Podman
    return PodmanSite(tmp_path_factory.mktemp("podman") / "state", base)


def _openshift(_request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return OpenShiftSite(tmp_path_factory.mktemp("openshift"))


SITES: dict[str, Callable[[pytest.FixtureRequest, pytest.TempPathFactory], Site]] = {
    "podman": _podman,
    "openshift": _openshift,
}
"""Every engine that must keep the contract, by name; a marker of the same name says what its tests need."""

if real.VARIABLE in os.environ:  # where a test takes minutes

    def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Say of each test how long it took, as it goes."""
        if report.when != "call" or not (report.passed or report.failed) or hasattr(report, "wasxfail"):
            return None
        return report.outcome, ".F"[report.failed], f"{report.outcome.upper()} in {report.duration:.0f} s"

    SITES["cluster"] = lambda _request, paths: real.RealSite(paths.mktemp("cluster"))


@pytest.fixture(scope="session", params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in SITES])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = SITES[request.param](request, tmp_path_factory)
    yield made
    made.close()


@pytest.fixture
def idle(site: Site) -> Iterator[Desk]:
    """A desk without a controller: nothing moves unless the test has one come. All is deleted in the end."""
    desk = Desk(site)
    yield desk
    desk.clear()


@pytest.fixture
def desk(site: Site) -> Iterator[Desk]:
    """A desk with a controller at work."""
    desk = Desk(site)
    with desk.controlled():
        yield desk
        desk.clear()
        desk.settle()
