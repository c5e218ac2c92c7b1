"""Which unit tests are slow: those of the cluster that the tests play, those that go by HTTP for many
cases, and those that start many processes."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
SLOW = {
    *("archive", "cluster", "project/test_deployment", "project/test_deployment_rendered"),
    *("project/test_deployment_rights", "processes/test_controller_status", "engines/podman/test_disk_quota"),
    *("auth/test_apiserver", "auth/test_limits", "auth/test_matrix", "auth/test_owners", "auth/test_start"),
    *("auth/test_tokens", "pages/test_session", "runs/test_hwinfo", "runs/test_runner"),
}
"""Files and directories."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.path.with_suffix("")
        if path.is_relative_to(HERE) and SLOW & {str(path.relative_to(HERE)), str(path.parent.relative_to(HERE))}:
            item.add_marker(pytest.mark.slow)
