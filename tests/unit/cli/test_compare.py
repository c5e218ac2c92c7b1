"""`amun compare`: the verdict first, bars and intervals, what differs; and unlike hardware refused with the reason."""

from __future__ import annotations

import json
import re

import pytest
from requests_mock import Mocker

from amun.validation import schema
from tests.support.command_line import amun
from tests.support.measurement_answers import A, B, a_comparison, a_pair, compared

URL = "http://127.0.0.1:8080/api/v1/compare"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMUN_URL", "AMUN_TOKEN", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def lines(text: str) -> list[str]:
    return [re.sub(" +", " ", line).strip() for line in text.splitlines()]


def test_the_answer_that_is_shown_here_is_one_of_the_contract() -> None:
    assert schema.validator("Comparison").is_valid(a_comparison(compared("wall_time", a_pair())))


def test_the_verdict_comes_first_and_every_number_of_a_pair_is_there(requests_mock: Mocker) -> None:
    requests_mock.post(URL, json=a_comparison(compared("wall_time", a_pair())))
    result = amun("compare", A, B)
    assert result.exit_code == 0, result.output
    shown = lines(result.stdout)
    assert shown[0] == "B is 1.31 to 1.35 times as fast as A by wall_time (95 %, n = 20 + 18)."
    assert f"B {B}: 20 of 20 items counted." in shown
    assert "wall_time lower is better" in shown
    assert "B / A: p < 0.0001 (corrected); Cliff's delta -0.98; 3.1 % could have been seen; 5 % needs 9 runs each " in (
        " ".join(shown)
    )
    assert "6 tests; p is corrected for all of them (Holm)." in shown


def test_bars_are_as_long_as_the_medians_and_the_interval_lies_beside_one(requests_mock: Mocker) -> None:
    requests_mock.post(URL, json=a_comparison(compared("wall_time", a_pair())))
    rows = amun("compare", A, B).stdout.splitlines()
    bars = {row[2]: row.count("█") for row in rows if re.match(r"  [AB] +█", row)}
    assert bars == {"A": 60, "B": 45}
    ratio = next(row for row in rows if "●" in row)
    assert re.search(r"B / A +├─*●─*┤ +│ +0.7500, 95 %: 0.7410 to 0.7620", ratio)


def test_an_interval_around_one_crosses_the_line_and_no_difference_is_no_failure(requests_mock: Mocker) -> None:
    verdict = "No difference shown: under 9 % could not have been seen with n = 5 + 5."
    same = a_pair(
        ratio=1.01, interval={"low": 0.93, "high": 1.08}, p_corrected=0.4, different=False, verdict=verdict,
        needed={"difference": 0.05, "runs": 17, "more": 12},
    )  # fmt: skip
    requests_mock.post(URL, json=a_comparison(compared("wall_time", same), verdict=verdict))
    result = amun("compare", A, B)
    assert result.exit_code == 0
    assert re.search(r"├─+┼─*●─+┤", result.stdout)
    assert "p 0.4 (corrected)" in result.stdout
    assert "5 % needs 17 runs each, 12 more" in result.stdout
    hopeless = a_pair(detectable=18.0, needed={"difference": 0.05, "runs": 528774, "more": 528769})
    requests_mock.post(URL, json=a_comparison(compared("wall_time", hopeless)))
    shown = amun("compare", A, B).stdout
    assert "a factor of 19 could have been seen; 5 % needs 528774 runs each, more than an inspection may have" in shown


def test_what_cannot_be_told_is_left_out(requests_mock: Mocker) -> None:
    unknown = a_pair(
        ratio=None, interval=None, detectable=None, cliffs_delta=None, p_corrected=None,
        medians=[0.0, None], needed={"difference": 0.05, "runs": None, "more": None},
    )  # fmt: skip
    requests_mock.post(URL, json=a_comparison(compared("steal", unknown)))
    shown = amun("compare", A, B).stdout
    assert "no ratio" in shown
    assert "no value, n = 18" in shown
    assert "B / A: p - (corrected)." in shown


def test_three_inspections_are_three_bars_and_three_pairs(requests_mock: Mocker) -> None:
    pairs = (a_pair(), a_pair(labels=["A", "C"], b="c"), a_pair(labels=["B", "C"], medians=[1.5, 1.4]))
    requests_mock.post(URL, json=a_comparison(compared("wall_time", *pairs)))
    shown = amun("compare", A, B, "c").stdout
    assert len(re.findall(r"(?m)^  [ABC] +█", shown)) == 3
    assert re.findall(r"(?m)^  (\w / \w) +.*●", shown) == ["B / A", "C / A", "C / B"]
    assert requests_mock.last_request.json()["inspections"] == [A, B, "c"]


def test_of_very_many_metrics_the_rest_is_told_in_brief(requests_mock: Mocker) -> None:
    requests_mock.post(URL, json=a_comparison(*(compared(f"m{number}", a_pair()) for number in range(30))))
    shown = lines(amun("compare", A, B).stdout)
    assert "m15 lower is better" in shown
    assert "m16: B is 1.31 to 1.35 times as fast as A (95 %, n = 20 + 18)." in shown
    assert "m29: B is 1.31 to 1.35 times as fast as A (95 %, n = 20 + 18)." in shown


def test_what_differs_is_listed_and_a_long_value_is_cut(requests_mock: Mocker) -> None:
    differences = {
        "specification": [
            {"path": "script", "values": ["a\nb", "x" * 500]},
            {"path": "packages", "values": [["gcc", "make"], []]},
            {"path": "build.requests", "values": [{"cpu": 1}, None]},
        ],
        "packages": [{"kind": "python", "name": "numpy", "versions": ["1.26.4", None]}],
    }
    requests_mock.post(URL, json=a_comparison(differences=differences))
    shown = lines(amun("compare", A, B).stdout)
    assert f"script a b {'x' * 59}…" in shown
    assert "packages gcc, make none" in shown
    assert 'build.requests {"cpu": 1} -' in shown
    assert "numpy (python) 1.26.4 -" in shown
    requests_mock.post(URL, json=a_comparison())
    assert "They were asked for alike, and have the same packages." in lines(amun("compare", A, B).stdout)


def test_options_are_passed_on(requests_mock: Mocker) -> None:
    requests_mock.post(URL, json=a_comparison())
    options = ("--metric", "a.b", "--metric", "wall_time", "--confidence", "0.99", "--allow-unlike", "--clean")
    amun("compare", A, B, *options)
    assert requests_mock.last_request.json() == {
        "inspections": [A, B],
        "metrics": ["a.b", "wall_time"],
        "confidence": 0.99,
        "allow_unlike": True,
        "clean": True,
    }


def test_unlike_hardware_is_refused_with_the_fields_and_the_option(requests_mock: Mocker) -> None:
    details = [{"path": "hwinfo.cpu_info.model", "message": "A: 85; B: 106\x1b[2J"}]
    refusal = {"error": "They ran on unlike hardware.", "parameters": {}, "details": details}
    requests_mock.post(URL, status_code=422, json=refusal)
    result = amun("compare", A, B)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "hwinfo.cpu_info.model A: 85; B: 106" in lines(result.stderr)
    assert "--allow-unlike" in result.stderr
    assert "\x1b" not in result.stderr
    assert json.loads(amun("compare", A, B, "--json").stdout)["details"][0]["path"] == "hwinfo.cpu_info.model"


def test_unlike_hardware_that_was_allowed_is_said(requests_mock: Mocker) -> None:
    unlike = [{"path": "cpu_info.model", "values": [85, 106]}]
    requests_mock.post(URL, json=a_comparison(alike=False, unlike=unlike))
    shown = lines(amun("compare", A, B, "--allow-unlike").stdout)
    assert "Unlike hardware, compared all the same:" in shown
    assert "cpu_info.model 85 106" in shown


@pytest.mark.parametrize(("status", "code"), [(400, 2), (404, 2), (409, 2), (503, 3)])
def test_who_cannot_be_compared_is_an_error(requests_mock: Mocker, status: int, code: int) -> None:
    requests_mock.post(URL, status_code=status, json={"error": "No item of it counts yet."})
    result = amun("compare", A, B)
    assert result.exit_code == code
    assert "No item of it counts yet." in result.stderr


def test_one_inspection_is_nothing_to_compare() -> None:
    assert amun("compare", A).exit_code == 2


def test_the_json_is_what_the_service_said(requests_mock: Mocker) -> None:
    document = a_comparison(compared("wall_time", a_pair()))
    requests_mock.post(URL, json=document)
    assert json.loads(amun("compare", A, B, "--json").stdout) == document


def test_no_text_of_a_stranger_reaches_the_terminal_as_it_is(requests_mock: Mocker) -> None:
    evil = "\x1b]0;owned\x07\u202e[red]evil"
    document = a_comparison(
        compared(evil, a_pair(verdict=evil, labels=[evil, "B"]), unit=evil, better="lower"),
        verdict=evil,
        unlike=[{"path": evil, "values": [evil, evil]}],
        differences={
            "specification": [{"path": evil, "values": [evil, None]}],
            "packages": [{"kind": evil, "name": evil, "versions": [evil, evil]}],
        },
    )
    document["inspections"][0] = {**document["inspections"][0], "label": evil, "inspection_id": evil}
    requests_mock.post(URL, json=document)
    result = amun("compare", A, B)
    assert result.exit_code == 0, result.output
    assert not set("\x1b\x07\u202e") & set(result.stdout)
    assert "[red]evil" in result.stdout
