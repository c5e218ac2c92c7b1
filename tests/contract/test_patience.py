"""Waits are multiples of a first build's time: so they hold on a cluster that is ten times as slow, too."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from amun.engines.openshift import build_states
from tests.support.standin_base import quick

from .sites import FIRST_BUILD, Desk, OpenShiftSite, patience

pytestmark = [pytest.mark.openshift, pytest.mark.slow]


def test_patience_grows_with_the_first_build_and_is_never_less_than_here() -> None:
    assert patience(0.1) == 1.0
    assert patience(FIRST_BUILD) == 1.0
    assert patience(30 * FIRST_BUILD) == 30.0


def test_what_takes_ten_times_as_long_is_waited_for(tmp_path: Path) -> None:
    site = OpenShiftSite(tmp_path, slower=10.0)
    try:
        desk = Desk(site)
        with desk.controlled():
            begun = time.monotonic()
            first = desk.submit(quick())
            desk.wait(lambda: any(map(build_states.image, site.server.store.list("Build"))), 600)
            site.patience = patience(time.monotonic() - begun)
            desk.end(first, "succeeded")
            made = desk.submit(script="echo ran")
            desk.end(made, "succeeded")
            assert desk.output(made) == "ran\n"
            desk.clear()
            desk.settle()
    finally:
        site.close()
