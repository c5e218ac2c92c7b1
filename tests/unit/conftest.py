"""Which unit tests are slow: those of the cluster that the tests play, those that go by HTTP for many
cases, and those that start many processes."""

from __future__ import annotations

import pytest

SLOW = (
    *("test_apiserver_", "test_archive_", "test_deployment", "test_vitals", "test_world"),
    *("test_auth_apiserver", "test_auth_limits", "test_auth_matrix", "test_auth_owners", "test_auth_start"),
    *("test_auth_tokens", "test_disk", "test_hwinfo", "test_pages_session", "test_runner"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
