"""How much one caller may ask, and what they are told when it was too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amun.auth import configuration, rate_limits
from amun.auth.callers import Caller
from amun.auth.configuration import USUAL
from amun.auth.rate_limits import Limits, Rates
from amun.errors import TooManyRequests
from amun.settings import Settings
from tests.api.conftest import assert_error
from tests.conftest import ROOT
from tests.support.service_with_keys import DOCUMENT, Guarded

ALICE, BOB = Caller("alice"), Caller("bob", admin=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that limits go by, to be set."""
    now = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def asked(counted: Limits, caller: Caller, times: int) -> list[int]:
    """The seconds to wait that each of so many requests was answered with; 0 for those that went through."""
    waits = []
    for _ in range(times):
        try:
            counted.request(caller)
            waits.append(0)
        except TooManyRequests as exc:
            waits.append(exc.after)
    return waits


def test_the_window_moves(clock: list[float]) -> None:
    counted = Limits(Rates(requests=3))
    assert asked(counted, ALICE, 2) == [0, 0]
    clock[0] += 40
    assert asked(counted, ALICE, 3) == [0, 20, 20]
    clock[0] += 19
    assert asked(counted, ALICE, 1) == [1]
    clock[0] += 2
    assert asked(counted, ALICE, 3) == [0, 0, 39]


def test_what_was_refused_is_not_counted(clock: list[float]) -> None:
    counted = Limits(Rates(requests=1))
    assert asked(counted, ALICE, 1) == [0]
    for _ in range(59):
        clock[0] += 1
        assert asked(counted, ALICE, 1) != [0]
    clock[0] += 2
    assert asked(counted, ALICE, 1) == [0]


def test_callers_are_counted_apart_by_name_wherever_they_ask_from(clock: list[float]) -> None:
    counted = Limits(Rates(requests=2))
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        last = asked(counted, Caller("alice", address=address), 1)
    assert last != [0]
    assert asked(counted, BOB, 3)[-1] > 0
    assert asked(counted, Caller(None, admin=True, address="alice"), 2) == [0, 0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "192.0.2.1", False),
    ],
)
def test_who_has_no_name_is_counted_by_address_and_a_whole_ipv6_network_as_one(
    clock: list[float], one: str, other: str, same: bool
) -> None:
    counted = Limits(Rates(requests=1))
    assert asked(counted, Caller(None, admin=True, address=one), 1) == [0]
    assert (asked(counted, Caller(None, admin=True, address=other), 1) != [0]) is same


def test_zero_is_any_number() -> None:
    counted = Limits(Rates())
    assert asked(counted, ALICE, 10_000) == [0] * 10_000
    counted.submission(ALICE)
    counted.opening(ALICE, pytest.fail)


def test_what_is_open_is_asked_for_only_where_it_matters() -> None:
    counted = Limits(Rates(open=2))
    counted.opening(Caller(None, admin=True), pytest.fail)  # nobody's inspections cannot be told apart
    counted.opening(ALICE, lambda: ["one"])
    with pytest.raises(TooManyRequests, match="2 of your inspections are not over yet") as raised:
        counted.opening(ALICE, lambda: ["one", "two"])
    assert raised.value.headers == {"Retry-After": str(rate_limits.OPEN_PAUSE)}


# -- in the service ---------------------------------------------------------------------------------------------------


def test_too_many_requests_are_429_in_the_one_shape_and_say_when_to_come_back(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, request_rate=3)
    answers = [guarded.ask("alice", "GET", "/api/v1/version") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    document = assert_error(answers[3])
    assert document["error"] == "Too many requests: one caller may make 3 a minute."
    assert 50 <= int(answers[3].headers["Retry-After"]) <= 60
    assert guarded.ask("bob", "GET", "/api/v1/version").status_code == 200
    assert guarded.ask("alice", "GET", "/liveness").status_code == 200
    assert guarded.ask("wrong", "GET", "/api/v1/version").status_code == 401
    metrics = guarded.ask(None, "GET", "/metrics").text
    assert 'amun_http_responses_total{method="GET",route="/api/v1/version",status="429"} ' in metrics


@pytest.mark.parametrize("script", ["http://127.0.0.1/x", "http://10.1.2.3/x", "ftp://example.org/x"])
def test_a_dry_run_refuses_what_a_submission_refuses(tmp_path: Path, script: str) -> None:
    guarded = Guarded(tmp_path)
    body = {**DOCUMENT, "script": script}
    said = [guarded.ask("alice", "POST", f"/api/v1/inspect{query}", json=body) for query in ("", "?dry_run=true")]
    assert [answer.status_code for answer in said] == [400, 400]
    assert said[0].json() == said[1].json() | {"parameters": said[0].json()["parameters"]}


def test_submissions_are_counted_apart_and_neither_dry_runs_nor_what_is_not_valid(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, submission_rate=2)

    def post(path: str = "/api/v1/inspect", **changes: Any) -> Any:
        return guarded.ask("alice", "POST", path, json={**DOCUMENT, **changes})

    for _ in range(4):
        assert post("/api/v1/inspect?dry_run=true").status_code == 200
        assert post(base="NO").status_code == 400
    answers = [post() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert assert_error(answers[2])["error"] == "Too many submissions: one caller may make 2 a minute."
    assert 50 <= int(answers[2].headers["Retry-After"]) <= 60
    assert guarded.ask("alice", "GET", "/api/v1/inspect").json()["total"] == 2
    guarded.submit("bob")


def test_open_inspections_are_counted_by_whose_they_are_until_they_are_over(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, open_limit=2)
    mine = [guarded.submit("root"), guarded.submit("root")]
    guarded.submit("alice")
    refused = guarded.ask("root", "POST", "/api/v1/inspect", json=DOCUMENT)
    assert refused.status_code == 429
    assert assert_error(refused)["error"] == ("2 of your inspections are not over yet, and one caller may have 2.")
    assert refused.headers["Retry-After"] == "15"
    guarded.engine.finish(guarded.engine.declared(mine[0]))
    mine.append(guarded.submit("root"))
    assert guarded.ask("root", "POST", "/api/v1/inspect", json=DOCUMENT).status_code == 429
    assert guarded.ask("root", "DELETE", f"/api/v1/inspect/{mine[1]}").status_code == 202
    guarded.submit("root")


def test_with_nobody_asked_requests_are_counted_by_address(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, auth="none", host="0.0.0.0", request_rate=2)
    first = [guarded.raw("/api/v1/version", client=("192.0.2.1", port)).status for port in range(3)]
    other = guarded.raw("/api/v1/version", client=("192.0.2.2", 1)).status
    assert (first, other) == ([200, 200, 429], 200)
    assert guarded.raw("/api/v1/version", client=None).status == 200


# -- what goes where nothing is set -----------------------------------------------------------------------------------

NONE = Rates()


def test_the_usual_limits_are_those_of_the_documentation() -> None:
    page = " ".join((ROOT / "docs/security.rst").read_text().split())
    assert f"{USUAL.requests} requests and {USUAL.submissions} submissions a minute" in page
    assert f"have {USUAL.open} unfinished inspections" in page


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, NONE),
        ({"auth": "none"}, NONE),
        ({"auth": "none", "host": "::"}, USUAL),
        ({"auth": "keys"}, USUAL),
        ({"auth": "token", "host": "0.0.0.0"}, USUAL),
        ({"request_rate": 5}, Rates(requests=5)),
        ({"auth": "keys", "request_rate": 0, "submission_rate": 0, "open_limit": 0}, NONE),
        ({"auth": "keys", "open_limit": 7}, Rates(USUAL.requests, USUAL.submissions, 7)),
    ],
)
def test_the_usual_limits_are_off_where_only_this_machine_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: dict[str, Any], expected: Rates
) -> None:
    found: list[Rates] = []
    monkeypatch.setattr(configuration, "Limits", found.append)
    configuration.limits(Settings(state_dir=tmp_path, **given))
    assert found == [expected]
