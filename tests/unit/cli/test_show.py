"""`amun show`, `amun open` and `amun list`: the time line, what was measured, and where the page is."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from requests_mock import Mocker
from rich.console import Console

from amun.cli.summary_view import summary_view
from amun.validation import schema
from tests.support.command_line import amun
from tests.support.measurement_answers import A, a_detail, a_metric, a_run, a_step, a_summary

API = f"http://127.0.0.1:8080/api/v1/inspect/{A}"
TIMELINE = [
    a_step("queue", None, 0, 5, reason="Unschedulable", message="0 of 3 nodes match."),
    a_step("build", None, 5, 10),
    a_step("start", 0, 10, 11),
    a_step("run", 0, 11, 15),
    a_step("wait", 1, 10, 15),
    a_step("run", 1, 15, 20),
]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMUN_URL", "AMUN_TOKEN", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def serve(mock: Mocker, detail: dict[str, Any], summary: dict[str, Any] | None = None) -> None:
    mock.get(API, json=detail)
    if summary is None:
        mock.get(f"{API}/summary", status_code=404, json={"error": "It has no script."})
    else:
        mock.get(f"{API}/summary", json=summary)


def lines(text: str) -> list[str]:
    return [re.sub(" +", " ", line).strip() for line in text.splitlines()]


# ---- the time line --------------------------------------------------------------------------------------------------


def test_waiting_is_drawn_and_summed_up_apart_from_work(requests_mock: Mocker) -> None:
    serve(requests_mock, a_detail(TIMELINE))
    result = amun("show", A)
    assert result.exit_code == 0, result.output
    drawn = {
        line[:9].strip(): line[10:70] for line in result.stdout.splitlines() if line[:4] in ("buil", "warm", "item")
    }
    assert drawn["build"] == "░" * 15 + "█" * 15 + " " * 30
    assert drawn["warm-up 0"] == " " * 30 + "▒" * 3 + "█" * 12 + " " * 15
    assert drawn["item 1"] == " " * 30 + "░" * 15 + "█" * 15
    assert "item 1 ░░░░░░░░░░░░░░░███████████████ 5.00 s 5.00 s" in lines(result.stdout)
    assert "queue: Unschedulable: 0 of 3 nodes match." in lines(result.stdout)
    assert "20.0 s in all" in result.stdout


def test_what_goes_on_yet_is_drawn_up_to_now(requests_mock: Mocker) -> None:
    serve(requests_mock, a_detail([*TIMELINE[:-1], a_step("run", 1, 15, None)], "running"), a_summary(counted=0))
    result = amun("show", A)
    assert result.exit_code == 4
    assert re.search(r"item 1 +.*█+ +5.00 s +\d+ (h|min|s)", result.stdout)


def test_what_is_said_of_the_whole_is_not_said_again_of_a_step(requests_mock: Mocker) -> None:
    why = {"reason": "BuildFailed", "message": "pip failed."}
    detail = a_detail([a_step("build", None, 0, 5, **why)], "build_failed")
    detail["status"].update(why)
    serve(requests_mock, detail)
    result = amun("show", A)
    assert result.exit_code == 1
    assert result.stdout.count("pip failed.") == 1


def test_of_a_great_many_items_the_first_are_drawn(requests_mock: Mocker) -> None:
    serve(requests_mock, a_detail([a_step("run", item, item, item + 1) for item in range(1000)]))
    result = amun("show", A)
    assert "item 23 " in result.stdout
    assert "item 24 " not in result.stdout
    assert "… and 976 items more" in result.stdout


def test_an_inspection_of_which_nothing_is_known_yet_is_shown(requests_mock: Mocker) -> None:
    serve(requests_mock, a_detail([], "queued"))
    result = amun("show", A)
    assert result.exit_code == 4
    assert "Nothing has happened yet." in result.stdout
    serve(requests_mock, a_detail([], "succeeded"))
    assert "There was nothing to do" in amun("show", A).stdout


def test_what_was_asked_for_is_said_in_a_line(requests_mock: Mocker) -> None:
    packages = [f"package{number}" for number in range(9)]
    serve(requests_mock, a_detail(TIMELINE, python_packages=packages))
    assert "debian:12 with package0, package1, package2, package3, package4, package5 and 3 more" in lines(
        amun("show", A).stdout
    )


# ---- what was measured ----------------------------------------------------------------------------------------------


def test_the_summary_and_the_time_line_that_are_shown_here_are_of_the_contract() -> None:
    assert schema.validator("MetricsSummary").is_valid(a_summary([a_metric("x", [1.0])], [a_run(0)]))
    assert all(schema.validator("Step").is_valid(step) for step in TIMELINE)


def test_every_metric_is_a_row_with_median_interval_spread_outliers_and_trend(requests_mock: Mocker) -> None:
    values = [0.0100 + 0.0001 * number for number in range(20)]
    metric = a_metric(
        "seconds",
        values,
        unit="s",
        better="lower",
        outliers=[{"item": 3, "value": 0.02}],
        trend={"direction": "rising", "change": 0.0312, "p": 0.001},
    )
    serve(requests_mock, a_detail(TIMELINE), a_summary([metric, a_metric("wall_time", [1.0])]))
    shown = amun("show", A).stdout
    assert "seconds lower 20 11.00 ms 10.89 to 11.11 ms ± 2 % 1 rising +3.12 %" in re.sub(" +", " ", shown)
    assert "wall_time - 1 1 0.990 to 1.010 ± 2 % - -" in re.sub(" +", " ", shown)
    assert "95 % interval" in shown


def test_the_strip_shows_where_the_values_lie(requests_mock: Mocker) -> None:
    serve(requests_mock, a_detail(TIMELINE), a_summary([a_metric("x", [0.0, 0.0, 0.0, 0.0, 59.0])]))
    row = next(line for line in amun("show", A).stdout.splitlines() if line.startswith(" x "))
    strip = row[row.index("█") :].rstrip()
    assert strip == "█" + " " * (len(strip) - 2) + "▂"
    assert len(strip) > 20


def test_counts_and_marks_say_what_counts_and_what_was_disturbed(requests_mock: Mocker) -> None:
    why = [{"reason": "Throttled", "message": "It was throttled for 12 % of its time."}]
    runs = [
        a_run(0, warmup=True, counted=False, quality="disturbed", reasons=why),
        a_run(1),
        a_run(2, quality="disturbed", reasons=why),
        a_run(3, quality="disturbed", reasons=why),
        a_run(4, quality="unknown"),
        a_run(5, outcome="failed", counted=False),
        a_run(6, outcome="error", counted=False),
        a_run(7, outcome=None, quality=None, counted=False),
    ]
    numbers = {"total": 8, "over": 7, "warmup": 1, "counted": 4, "failed": 2, "disturbed": 2, "unknown": 1}
    serve(requests_mock, a_detail(TIMELINE), a_summary(runs=runs, **numbers))
    shown = lines(amun("show", A).stdout)
    assert (
        "4 of 8 items counted, 1 warm-up, 2 failed, 1 not over, 2 disturbed (--clean leaves them out), "
        "1 of unknown quality." in shown
    )
    assert "w✓~~?✗!·" in shown
    assert ", · 1 not over" in " ".join(shown)
    assert "Disturbed (Throttled): item 2, 3; item 2: It was throttled for 12 % of its time." in shown


def test_clean_and_confidence_are_passed_on_and_said(requests_mock: Mocker) -> None:
    metric = a_metric("x", [1.0, 2.0], interval={"low": 1.0, "high": 2.0, "confidence": 0.9})
    serve(requests_mock, a_detail(TIMELINE), a_summary([metric], disturbed=2, left_out=2, counted=18))
    result = amun("show", A, "--clean", "--confidence", "0.9")
    assert requests_mock.last_request.qs == {"clean": ["true"], "confidence": ["0.9"]}
    assert "18 of 20 items counted, 2 disturbed, left out." in result.stdout
    assert "90 % interval" in result.stdout
    assert amun("show", A, "--confidence", "1").exit_code == 2


def test_a_metric_without_interval_spread_or_trend_is_shown(requests_mock: Mocker) -> None:
    bare = a_metric("x", [0.0], interval=None, trend=None, standard_deviation=None, median_absolute_deviation=0.0)
    serve(requests_mock, a_detail(TIMELINE), a_summary([bare]))
    assert " x - 1 0 - 0 - -" in re.sub(" +", " ", amun("show", A).stdout)


def test_more_metrics_than_can_be_read_are_cut_and_that_is_said(requests_mock: Mocker) -> None:
    many = [a_metric(f"m{number}", [1.0]) for number in range(150)]
    serve(requests_mock, a_detail(TIMELINE), a_summary(many))
    shown = amun("show", A).stdout
    assert " m59 " in shown
    assert " m60 " not in shown
    assert "more than these 60 metrics" in shown


def test_the_json_is_time_line_and_summary_as_the_service_said(requests_mock: Mocker) -> None:
    summary = a_summary([a_metric("x", [1.0, 2.0])])
    serve(requests_mock, a_detail(TIMELINE, "failed"), summary)
    result = amun("show", A, "--json")
    expected = {"inspection_id": A, "phase": "failed", "timeline": TIMELINE, "summary": summary}
    assert json.loads(result.stdout) == expected
    assert result.exit_code == 1


def test_a_stack_without_a_script_has_a_time_line_only(requests_mock: Mocker) -> None:
    serve(requests_mock, a_detail(TIMELINE[:2]))
    result = amun("show", A)
    assert result.exit_code == 0
    assert "counted" not in result.stdout
    assert json.loads(amun("show", A, "--json").stdout)["summary"] is None


def test_an_id_that_is_not_there_is_refused(requests_mock: Mocker) -> None:
    requests_mock.get(API, status_code=404, json={"error": "There is no such inspection."})
    result = amun("show", A)
    assert result.exit_code == 2
    assert "There is no such inspection." in result.stderr


# ---- the page and the list ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("http://here:8080", f"http://here:8080/inspections/{A}"),
        ("https://proxy/amun/", f"https://proxy/amun/inspections/{A}"),
        ("here:8080/api/v1", f"http://here:8080/inspections/{A}"),
    ],
)
def test_open_prints_the_address_of_the_page(url: str, page: str) -> None:
    result = amun("--url", url, "open", A)
    assert (result.exit_code, result.stdout) == (0, page + "\n")


def test_open_keeps_an_id_one_part_of_the_address() -> None:
    assert amun("open", "../new?x=\x1b[2J").stdout == "http://127.0.0.1:8080/inspections/..%2Fnew%3Fx%3D%1B%5B2J\n"


@pytest.mark.parametrize(("opens", "code"), [(True, 0), (False, 1)])
def test_a_browser_is_opened_if_there_is_one(monkeypatch: pytest.MonkeyPatch, opens: bool, code: int) -> None:
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda page: asked.append(page) or opens)
    result = amun("open", A, "--browser")
    assert result.exit_code == code
    assert asked == [result.stdout.strip()]


def test_the_list_tells_how_many_items_are_over_and_how_long_it_took(requests_mock: Mocker) -> None:
    going = {"inspection_id": A, "phase": "running", "items": {"over": 3, "total": 5}, "duration": None}
    over = {"inspection_id": A, "phase": "succeeded", "items": {"over": 5, "total": 5}, "duration": 75.4}
    requests_mock.get(
        "http://127.0.0.1:8080/api/v1/inspect", json={"inspections": [A, A], "items": [going, over], "total": 2}
    )
    shown = lines(amun("list").stdout)
    assert f"{A} running - 3/5 - -" in shown
    assert f"{A} succeeded - 5 1 min 15 s -" in shown


def test_declared_metrics_without_numbers_are_named_and_no_share_of_nearly_nothing_is_shown() -> None:
    metric = {"path": "x", "n": 6, "median": 1e-320, "median_absolute_deviation": 5.0, "min": 0, "max": 9}
    absent = [{"path": "loss", "missing": [2, 3], "not_finite": [1]}]
    console = Console(width=80, file=StringIO())
    console.print(summary_view({"metrics": [metric], "absent": absent}))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Declared metric loss: not printed by item 2, 3; not finite in item 1" in shown
    assert "spread 5" in shown
    assert "inf" not in shown.replace("finite", "")
