"""Where events are logged to."""

from __future__ import annotations

import subprocess
import sys

import pytest

CONFIGURED = "from amun.telemetry import logs; logs.configure()"


@pytest.mark.parametrize("before", ["pass", CONFIGURED])
def test_standard_output_is_left_to_what_a_command_was_asked_for(before: str) -> None:
    program = (
        f"from amun.telemetry.logs import logger; {before}; logger.warning('said', by='nobody'); print('asked for')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "asked for\n"
    assert "said" in ended.stderr
