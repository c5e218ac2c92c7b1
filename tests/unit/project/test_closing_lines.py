"""The closing lines of `make test`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.closing_lines import closing

_TESTS = """
import pathlib, pytest

def test_passes(): pass

def test_is_flaky():
    tried = pathlib.Path("tried")
    again, _ = tried.exists(), tried.touch()
    assert again, "what it said the first time"

def test_fails(): assert False

@pytest.mark.skip(reason="no such device here")
@pytest.mark.parametrize("number", [1, 2])
def test_cannot_be_run(number): pass

@pytest.fixture
def broken(): raise ValueError

def test_has_a_broken_fixture(broken): pass
"""


def _tried(directory: Path, number: int, *options: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml=lane.{number}.xml", *options, "test_it.py"]
    subprocess.run(command, cwd=directory, check=False, capture_output=True)


def test_flakes_failures_and_skips_are_named_and_counted(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(_TESTS)
    _tried(tmp_path, 1)
    _tried(tmp_path, 2, "--last-failed")
    lines = closing(tmp_path).splitlines()
    assert "Skipped, 2 times: no such device here" in lines
    assert "Failed: test_it::test_fails" in lines
    assert "Failed: test_it::test_has_a_broken_fixture" in lines
    flaky = lines.index("Flaky, failed once and passed when tried again: test_it::test_is_flaky")
    assert any("what it said the first time" in line for line in lines[flaky:])
    assert lines[-1] == "2 passed, 2 failed, 2 skipped"


def test_without_a_second_try_nothing_is_flaky(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_passes(): pass\n")
    _tried(tmp_path, 1)
    assert closing(tmp_path) == "1 passed, 0 failed, 0 skipped"
