"""What nobody expected ends as an error that says so, and holds up nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from amun.application.controller import Controller
from amun.engines import unexpected
from amun.engines.podman.runs.container import Container
from amun.engines.unexpected import TRIES
from amun.model import status
from amun.model.inspection import Inspection
from tests.support.archive_doubles import MemoryEngine


class BuildsNot(MemoryEngine):
    """An engine with a defect: it fails at one inspection, and at its housekeeping."""

    broken = ""

    def build(self, inspection: Inspection) -> None:
        if inspection.id == self.broken:
            raise TypeError("'NoneType' object has no attribute 'get'")
        super().build(inspection)

    def tend(self) -> None:
        raise KeyError("chores")


def test_an_inspection_at_which_the_service_fails_ends_as_its_error_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged = structlog.testing.CapturingLogger()
    monkeypatch.setattr(unexpected, "logger", logged)
    engine = BuildsNot()
    engine.broken, other = engine.add(), engine.add()
    controller = Controller(engine)
    for _ in range(TRIES + 3):
        controller.sweep()
    verdict = status.verdict(engine.observe(engine.broken))
    assert (verdict.phase, verdict.reason) == ("error", "InternalError")
    assert verdict.message is not None
    assert "NoneType" not in verdict.message  # nothing of the inside
    assert not status.verdict(engine.observe(other)).over
    for what in (engine.broken, "housekeeping"):
        told = [call.method_name for call in logged.calls if call.kwargs["what"] == what]
        assert len(told) >= TRIES
        assert told == ["exception", *["warning"] * (len(told) - 1)]  # one traceback


@pytest.mark.parametrize("said", [{"Name": "vfs", "Data": None}, {"Name": "btrfs"}, None, {"Name": "zfs", "Data": {}}])
def test_containers_of_every_storage_driver_are_understood(said: Any) -> None:
    """As Podman 4.3.1 says it of vfs; of the others only overlay has an UpperDir."""
    state = {"Status": "exited", "ExitCode": 3, "Pid": 0, "ConmonPid": 7}
    found = Container.from_inspection({"State": state, "GraphDriver": said, "Mounts": None})
    assert (found.exit_code, found.writable) == (3, ())
