"""The command line against a real service: a stack is tried, shown, and compared with another."""

from __future__ import annotations

import json
import re

import pytest

from tests.conftest import Service
from tests.support.command_line import amun

pytestmark = pytest.mark.podman


def test_a_command_is_run_shown_and_compared(service: Service, base: str, done: str) -> None:
    options = ["--base", base, "--repeat", "2", "--warmup", "1", "--metric", "answer:higher"]
    ran = amun("--url", service.url, "run", *options, "--json", "--", "printf", '{"answer": %d}\n', "42")
    assert ran.exit_code == 0, ran.output
    result = json.loads(ran.stdout)
    assert [item["result"]["stdout"] for item in result["items"]] == [{"answer": 42}] * 3

    shown = amun("--url", service.url, "show", result["inspection_id"])
    assert shown.exit_code == 0, shown.output
    assert "2 of 3 items counted, 1 warm-up" in shown.stdout
    assert re.search(r"(?m)^warm-up 0 .*█", shown.stdout)
    assert re.search(r"(?m)^ answer +higher +2 +42 ", shown.stdout)

    compared = amun("--url", service.url, "compare", done, result["inspection_id"], "--metric", "wall_time")
    assert compared.exit_code == 0, compared.output
    assert re.search(r"(?m)^  A +█", compared.stdout)
    assert "What differs" in compared.stdout


def test_what_measured_nothing_is_shown_and_cannot_be_compared(service: Service, done: str, build_only: str) -> None:
    shown = amun("--url", service.url, "show", build_only)
    assert shown.exit_code == 0, shown.output
    assert "environment is there" in shown.stdout or re.search(r"(?m)^build +[█░]", shown.stdout)
    assert amun("--url", service.url, "compare", done, build_only).exit_code == 2
