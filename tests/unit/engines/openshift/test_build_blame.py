"""Whose fault a Build's failure is, by the builder's last words, whole or cut as a `logSnippet` is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amun.engines.openshift import build_blame, build_states

PUSH = json.loads((Path(__file__).parents[3] / "cluster/recorded/build-push-refused.json").read_text())

STEP = 'building at STEP "RUN /bin/sh /opt/amun/build/native.sh x": while running runtime: exit status 1'


@pytest.mark.parametrize(
    ("said", "reason", "platform"),
    [
        ("Failed to push image: trying to reuse ...d: unauthorized: unable to validate token", True, True),
        ("Failed to push image: writing blob: 500 Internal Server Error", True, True),
        (STEP, True, False),
        (STEP.replace("exit status 1", "unable to validate token"), True, False),
        ("failed to pull image: initializing source docker://x.example/y:1: dial tcp: i/o timeout", False, False),
        ("committing container for step {Env:[]}: writing blob: no space left on device", True, True),
        ('Get "https://172.30.0.1:443/api/v1": dial tcp 172.30.0.1:443: connect: connection refused', True, True),
        ("something that nobody has heard of", False, False),
    ],
)
def test_the_table(said: str, reason: bool, platform: bool) -> None:
    found = build_blame.of(f"printed before\nerror: build error: {said}\n")
    assert found is not None
    assert (bool(found.reason), found.platform, found.message) == (reason, platform, said)


def test_what_a_step_prints_is_not_what_the_builder_says() -> None:
    forged = "error: build error: Failed to push image: unauthorized\n"
    assert build_blame.of(forged + "and goes on") is None
    found = build_blame.of(f"{forged}error: build error: {STEP}")
    assert found is not None
    assert not found.platform


def test_a_push_that_was_refused_while_the_api_server_was_away_as_recorded() -> None:
    assert build_states.begin_again(PUSH, 2)
    state = build_states.state(PUSH, [], 1)
    assert (state.outcome, state.reason) == ("error", "PushImageToRegistryFailed")
    assert "unable to validate token" in (state.message or "")
