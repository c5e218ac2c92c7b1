"""The command line as its users meet it: exit codes, tables, pure JSON, and hostile output on a terminal."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from requests_mock import Mocker

from amun.cli.sanitize import LogWriter, plain
from amun.validation.problems import problems
from tests.support.command_line import amun, answering, command, on_a_terminal, service

ID = "inspection-test-0123456789abcdef"
API = "http://127.0.0.1:8080/api/v1"
MATMUL = {"numpy": "2.4.6", "seconds": {"256": 0.25, "512": 1.5}, "fast": True}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMUN_URL", "AMUN_TOKEN", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amun.cli.follow.FIRST_PAUSE", 0.0)
    monkeypatch.setattr("amun.cli.follow.LONGEST_PAUSE", 0.0)


def a_pod(item: int, **changes: Any) -> dict[str, Any]:
    pod = {"item": item, "state": "terminated", "reason": "Completed", "exit_code": 0, "node": "here"}
    return {**pod, "started_at": "2026-11-23T12:00:00Z", "finished_at": "2026-11-23T12:00:02Z", **changes}


def a_job(*pods: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"completions": len(pods), "succeeded": len(pods), "failed": 0, "active": 0, "pods": list(pods), **changes}


def a_build(**changes: Any) -> dict[str, Any]:
    build = {"state": "terminated", "exit_code": 0, "started_at": "2026-11-23T11:59:00Z", "cached": False}
    return {**build, "environment": "sha256:abc", **changes}


def a_status(phase: str = "succeeded", job: Any = None, build: Any = None, **changes: Any) -> dict[str, Any]:
    status = {"parameters": {"inspection_id": ID}, "phase": phase, "reason": None, "message": None}
    return {**status, "build": build or a_build(), "job": job, **changes}


def a_report(**changes: Any) -> dict[str, Any]:
    report = {
        "exit_code": 0,
        "stdout": MATMUL,
        "usage": {"ru_utime": 1.25, "ru_stime": 0.5, "ru_maxrss": 2048},
        "start_datetime": "2026-11-23T12:00:00Z",
        "end_datetime": "2026-11-23T12:00:02.500000Z",
        "hwinfo": {
            "cpu_info": {"brand_raw": "Fast CPU 3000", "family": 6, "model": 85, "count": 2},
            "memory": {"total_bytes": 8 * 1024**3},
        },
        "os_release": {"pretty_name": "Debian GNU/Linux 12 (bookworm)"},
    }
    return {**report, **changes}


def serve_status(mock: Mocker, *statuses: dict[str, Any]) -> None:
    mock.get(f"{API}/inspect/{ID}/status", [{"json": status} for status in statuses])


def serve_reports(mock: Mocker, *reports: dict[str, Any]) -> None:
    for item, report in enumerate(reports):
        mock.get(f"{API}/inspect/{ID}/job/{item}/result", json={"result": report, "parameters": {}})


def accept(mock: Mocker) -> None:
    mock.post(f"{API}/inspect", status_code=202, json={"inspection_id": ID, "parameters": {}, "build_created": True})


def squeezed(text: str) -> str:
    return re.sub(r" +", " ", text)


# ---- exit codes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "code"),
    [
        *[("succeeded", 0), ("failed", 1), ("build_failed", 1), ("cancelled", 1), ("error", 1)],
        *[("queued", 4), ("building", 4), ("pending", 4), ("running", 4)],
    ],
)
def test_the_exit_code_of_status_says_how_the_inspection_stands(requests_mock: Mocker, phase: str, code: int) -> None:
    serve_status(requests_mock, a_status(phase))
    assert amun("status", ID).exit_code == code


def test_an_unknown_id_and_a_service_out_of_reach_are_different_exit_codes(requests_mock: Mocker) -> None:
    requests_mock.get(f"{API}/inspect/none/status", status_code=404, json={"error": "There is no such inspection."})
    requests_mock.get(f"{API}/inspect/{ID}/status", status_code=503, json={"error": "The engine is out of reach."})
    missing, away = amun("status", "none"), amun("status", ID)
    assert (missing.exit_code, away.exit_code) == (2, 3)
    assert "There is no such inspection." in missing.stderr
    assert "The engine is out of reach." in away.stderr


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"base": }')
    assert amun("submit", str(tmp_path / "absent.json")).exit_code == 2
    assert amun("submit", str(tmp_path / "bad.json")).exit_code == 2
    assert amun("submit", "-", "--follow", "--dry-run", input="{}").exit_code == 2
    assert amun("logs", ID, "--build", "--item", "3").exit_code == 2
    assert amun("list", "--phase", "finished").exit_code == 2


def test_a_bad_setting_is_named_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMUN_PORT", "http")
    result = amun("serve")
    assert result.exit_code == 2
    assert "AMUN_PORT" in result.stderr


def test_exit_codes_are_in_the_help() -> None:
    assert "4 the inspection is not over yet" in squeezed(amun("status", "--help").stdout.replace("\n", ""))


# ---- examples ------------------------------------------------------------------------------------------------------

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.json")), ids=lambda file: file.stem)
def test_every_example_is_accepted_and_explained(file: Path) -> None:
    assert problems(json.loads(file.read_text())) == []
    assert f"``{file.name}``\n" in (EXAMPLES / "README.rst").read_text()


# ---- submit --------------------------------------------------------------------------------------------------------


def test_submit_prints_the_id_and_nothing_else(requests_mock: Mocker, tmp_path: Path) -> None:
    accept(requests_mock)
    (tmp_path / "specification.json").write_text('{"base": "b"}')
    result = amun("submit", str(tmp_path / "specification.json"))
    assert (result.exit_code, result.stdout) == (0, ID + "\n")
    assert requests_mock.last_request.json() == {"base": "b"}


def test_every_field_of_a_refused_specification_is_named_on_a_line(requests_mock: Mocker) -> None:
    details = [
        {"path": "run.requests.memory", "message": "'lots' is no quantity"},
        {"path": "batc_size", "message": "did you mean batch_size?"},
    ]
    refusal = {"error": "The specification is not valid.", "parameters": {}, "details": details}
    requests_mock.post(f"{API}/inspect", status_code=400, json=refusal)
    result = amun("submit", "-", input="{}")
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert "run.requests.memory: 'lots' is no quantity" in lines
    assert "batc_size: did you mean batch_size?" in lines
    as_json = amun("submit", "-", "--json", input="{}")
    assert json.loads(as_json.stdout) == {"error": refusal["error"], "status": 400, "details": details}
    assert as_json.exit_code == 2


@pytest.mark.parametrize(("feasible", "code"), [(True, 0), (False, 2)])
def test_a_dry_run_says_what_would_happen(requests_mock: Mocker, feasible: bool, code: int) -> None:
    answer = {"parameters": {}, "environment": "sha256:abc", "cached": True, "feasible": feasible, "message": "no GPU"}
    requests_mock.post(f"{API}/inspect?dry_run=true", json=answer)
    result = amun("submit", "-", "--dry-run", input="{}")
    assert result.exit_code == code
    assert "sha256:abc is already built" in result.stdout
    assert ("no GPU" in result.stderr) is not feasible


# ---- submit --follow -----------------------------------------------------------------------------------------------


def test_follow_shows_phases_logs_and_the_result(requests_mock: Mocker) -> None:
    accept(requests_mock)
    begun, running = a_build(state="running"), a_job(a_pod(0, state="running"), succeeded=0)
    serve_status(
        requests_mock,
        a_status("queued", build=a_build(state="waiting"), reason="Unschedulable", message="0 of 3 nodes match."),
        a_status("building", build=begun),
        a_status("building", build=begun),
        a_status("running", running),
        a_status("running", running),
        a_status("succeeded", a_job(a_pod(0))),
    )
    serve_reports(requests_mock, a_report())
    requests_mock.get(f"{API}/inspect/{ID}/build/log", content=b"STEP 1/3: FROM b\n")
    requests_mock.get(f"{API}/inspect/{ID}/build/log?offset=17", content=b"")
    requests_mock.get(f"{API}/inspect/{ID}/job/0/log", content=b"hello")
    requests_mock.get(f"{API}/inspect/{ID}/job/0/log?offset=5", content=b" world")
    result = amun("submit", "-", "--follow", input="{}")
    assert result.exit_code == 0, result.output
    assert "queued (Unschedulable): 0 of 3 nodes match." in result.stderr
    assert [line.split(": ")[1].split(" ")[0] for line in result.stderr.splitlines()] == [
        "submitted", "queued", "building", "running", "succeeded"
    ]  # fmt: skip
    assert result.stdout.count("STEP 1/3: FROM b\n") == 1
    assert result.stdout.count("hello") == result.stdout.count(" world") == 1
    assert "seconds.512" in result.stdout


def test_follow_tells_why_a_build_failed_and_ends(requests_mock: Mocker) -> None:
    accept(requests_mock)
    failed = a_build(exit_code=1, reason="BuildFailed")
    job = a_job(*(a_pod(item, reason="NotStarted", started_at=None, exit_code=None) for item in range(3)))
    message = "Installing the Python packages failed."
    serve_status(requests_mock, a_status("build_failed", job, failed, reason="BuildFailed", message=message))
    requests_mock.get(f"{API}/inspect/{ID}/build/log", content=b"ERROR: ResolutionImpossible\n")
    result = amun("submit", "-", "--follow", input="{}")
    assert result.exit_code == 1
    assert f"build_failed (BuildFailed): {message}" in result.stderr
    assert "ERROR: ResolutionImpossible" in result.stdout


def test_follow_says_that_the_environment_was_there_and_shows_no_old_build_log(requests_mock: Mocker) -> None:
    accept(requests_mock)
    serve_status(requests_mock, a_status("succeeded", build=a_build(cached=True)))
    result = amun("submit", "-", "--follow", input="{}")
    assert result.exit_code == 0
    assert "already built" in result.stderr


def test_follow_shows_the_log_of_a_build_that_it_joins(requests_mock: Mocker) -> None:
    accept(requests_mock)
    joined = a_build(cached=True, state="running")
    serve_status(requests_mock, a_status("building", build=joined), a_status(build=a_build(cached=True)))
    requests_mock.get(f"{API}/inspect/{ID}/build/log", content=b"STEP 1/3\n")
    requests_mock.get(f"{API}/inspect/{ID}/build/log?offset=9", content=b"STEP 2/3\n")
    result = amun("submit", "-", "--follow", input="{}")
    assert "joined" in result.stderr
    assert result.stdout.startswith("STEP 1/3\nSTEP 2/3\n")


def test_lines_of_a_batch_begin_with_the_item(requests_mock: Mocker) -> None:
    accept(requests_mock)
    never = {"item": 2, "state": "terminated", "reason": "NotStarted", "exit_code": None, "started_at": None}
    job = a_job(a_pod(0), a_pod(1, exit_code=1, reason="NonZeroExit"), never, succeeded=1, failed=1)
    serve_status(requests_mock, a_status("failed", job, build=a_build(cached=True)))
    serve_reports(requests_mock, a_report(), a_report(exit_code=1))
    requests_mock.get(f"{API}/inspect/{ID}/job/0/log", content=b"one\ntwo\n")
    requests_mock.get(f"{API}/inspect/{ID}/job/1/log", content=b"no line end")
    result = amun("submit", "-", "--follow", input="{}")
    assert result.exit_code == 1
    assert result.stdout.startswith(f"[0] one\n[0] two\n[1] no line end\n{ID}: failed\n")
    assert "1 of 3 items not started." in result.stdout


def test_follow_with_json_prints_json_only(requests_mock: Mocker) -> None:
    accept(requests_mock)
    serve_status(requests_mock, a_status("succeeded", a_job(a_pod(0))))
    serve_reports(requests_mock, a_report())
    requests_mock.get(f"{API}/inspect/{ID}/build/log", content=b"the build\n")
    requests_mock.get(f"{API}/inspect/{ID}/job/0/log", content=b"the run\n")
    result = amun("submit", "-", "--follow", "--json", input="{}")
    document = json.loads(result.stdout)
    assert document["phase"] == "succeeded"
    assert document["items"][0]["result"]["stdout"] == MATMUL
    assert "the build\n" in result.stderr
    assert "the run\n" in result.stderr


def test_follow_goes_on_when_the_service_was_away_for_a_moment(
    requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(requests_mock)
    away = {"status_code": 503, "json": {"error": "The engine is out of reach."}}
    answers = [{"json": a_status("queued", build={"state": "waiting"})}, away, away, {"json": a_status()}]
    requests_mock.get(f"{API}/inspect/{ID}/status", answers)
    requests_mock.get(f"{API}/inspect/{ID}/build/log", content=b"")
    assert amun("submit", "-", "--follow", input="{}").exit_code == 0
    monkeypatch.setattr("amun.cli.follow.PATIENCE", 0.0)
    requests_mock.get(f"{API}/inspect/{ID}/status", [away])
    assert amun("submit", "-", "--follow", input="{}").exit_code == 3


# ---- result, list, hardware, version --------------------------------------------------------------------------------


def test_the_result_of_one_item_is_told_in_a_table(requests_mock: Mocker) -> None:
    serve_status(requests_mock, a_status("succeeded", a_job(a_pod(0))))
    serve_reports(requests_mock, a_report())
    result = amun("result", ID)
    text = squeezed(result.stdout)
    assert result.exit_code == 0
    assert "0 0 Completed 2.50 s 1.25 s 0.50 s 2.0 MiB" in text
    assert "seconds.256 0.25" in text
    assert "fast" not in text
    assert "Hardware: Fast CPU 3000, family 6, model 85, 2 CPUs, 8.0 GiB, Debian GNU/Linux 12 (bookworm)" in text


def test_a_small_batch_has_a_column_an_item_and_a_large_one_is_summed_up(requests_mock: Mocker) -> None:
    reports = [a_report(stdout={"time": float(number)}) for number in range(9)]
    serve_reports(requests_mock, *reports)
    serve_status(
        requests_mock,
        a_status("succeeded", a_job(*map(a_pod, range(3)))),
        a_status("succeeded", a_job(*map(a_pod, range(9)))),
    )
    small, large = (squeezed(amun("result", ID).stdout) for _ in range(2))
    assert "printed [0] [1] [2]" in small
    assert "time 0 1 2" in small
    assert "printed min median max" in large
    assert "time 0 4 8" in large


def test_a_run_without_usage_is_shown_all_the_same(requests_mock: Mocker) -> None:
    serve_status(requests_mock, a_status("failed", a_job(a_pod(0, exit_code=137, reason="OOMKilled"))))
    usage = {"ru_utime": None, "ru_stime": None, "ru_maxrss": None}
    serve_reports(requests_mock, a_report(exit_code=137, usage=usage, hwinfo={}, os_release=None, stdout={}))
    result = amun("result", ID)
    assert "0 137 OOMKilled 2.50 s - - -" in squeezed(result.stdout)
    assert result.exit_code == 1


def test_an_item_that_does_not_exist_is_refused_and_one_that_left_nothing_is_not(requests_mock: Mocker) -> None:
    serve_status(requests_mock, a_status("cancelled", a_job(a_pod(0, exit_code=None, reason="Cancelled"))))
    for item in (0, 7):
        answer = {"error": f"There is no report of item {item}."}
        requests_mock.get(f"{API}/inspect/{ID}/job/{item}/result", status_code=404, json=answer)
    assert "0 - Cancelled" in squeezed(amun("result", ID).stdout)
    assert amun("result", ID, "--item", "7").exit_code == 2


def test_the_numbers_of_a_hostile_report_do_not_break_the_table(requests_mock: Mocker) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"in": [deep]}
    many = {f"number {index}": index for index in range(1000)}
    serve_status(requests_mock, a_status("succeeded", a_job(a_pod(0))))
    serve_reports(requests_mock, a_report(stdout={"deep": deep, **many}, start_datetime="yesterday"))
    result = amun("result", ID)
    assert result.exit_code == 0
    assert "940 numbers more" in result.stdout


def test_the_json_of_an_item_is_its_report(requests_mock: Mocker) -> None:
    serve_status(requests_mock, a_status("succeeded", a_job(a_pod(0), a_pod(1))))
    serve_reports(requests_mock, a_report(), a_report(hostname="second"))
    result = amun("result", ID, "--item", "1", "--json")
    assert json.loads(result.stdout) == a_report(hostname="second")


def test_what_a_script_prints_cannot_write_to_the_terminal_through_the_table(requests_mock: Mocker) -> None:
    serve_status(requests_mock, a_status("succeeded", a_job(a_pod(0)), message="\x1b]0;title\x07said\x1b[2J"))
    serve_reports(requests_mock, a_report(stdout={"\x1b[2Jevil [red]": 1}))
    result = amun("result", ID)
    assert "\x1b" not in result.output
    assert ": said\n" in result.stdout
    assert "evil [red]" in result.stdout


def test_json_of_every_reading_command_is_what_the_service_said(requests_mock: Mocker) -> None:
    serve_status(requests_mock, a_status("succeeded", message="größer"))
    requests_mock.get(f"{API}/inspect", json={"inspections": [ID], "parameters": {}, "items": [], "total": 1})
    requests_mock.get(f"{API}/hardware", json={"hardware": []})
    assert json.loads(amun("status", ID, "--json").stdout)["message"] == "größer"
    assert json.loads(amun("list", "--json").stdout)["inspections"] == [ID]
    assert json.loads(amun("hardware", "--json").stdout) == {"hardware": []}


def test_the_list_passes_filters_on_and_shows_phases(requests_mock: Mocker) -> None:
    summary = {"inspection_id": ID, "phase": "running", "reason": None, "created": "2026-11-23T12:00:00Z"}
    requests_mock.get(f"{API}/inspect", json={"inspections": [ID], "items": [summary], "total": 40, "parameters": {}})
    result = amun("list", "--phase", "running", "--identifier", "test", "--limit", "1")
    assert requests_mock.last_request.qs == {
        "page": ["1"],
        "limit": ["1"],
        "phase": ["running"],
        "identifier": ["test"],
    }
    assert f"{ID} running" in squeezed(result.stdout)
    assert "1 of 40" in result.stdout


def test_the_hardware_is_a_row_a_kind(requests_mock: Mocker) -> None:
    node = {"architecture": "amd64", "cpu": 2, "memory": 8 * 1024**3, "gpus": [{"product": "A100", "count": 2}]}
    cpu = {"cpu_info": {"brand_raw": "Fast CPU 3000", "family": 6, "model": 85}}
    requests_mock.get(f"{API}/hardware", json={"hardware": [{**node, "count": 3, "free": 1, "hwinfo": cpu}]})
    assert "amd64 Fast CPU 3000 6 85 2 8.0 GiB 2 A100 3 1" in squeezed(amun("hardware").stdout)


def test_cancel_and_delete_ask_for_it_and_say_so(requests_mock: Mocker) -> None:
    requests_mock.post(f"{API}/inspect/{ID}/cancel", status_code=202, json={"parameters": {}})
    requests_mock.delete(f"{API}/inspect/{ID}", status_code=202, json={"parameters": {}})
    assert [amun(command, ID).exit_code for command in ("cancel", "delete")] == [0, 0]
    assert [request.method for request in requests_mock.request_history] == ["POST", "DELETE"]
    requests_mock.post(f"{API}/inspect/{ID}/cancel", status_code=409, json={"error": "It is already over."})
    assert amun("cancel", ID).exit_code == 2


def test_the_version_is_told_also_without_a_service(requests_mock: Mocker) -> None:
    requests_mock.get(f"{API}/version", status_code=503, json={"error": "away"})
    result = amun("version")
    assert result.exit_code == 3
    assert "service out of reach" in result.stdout


def test_the_address_comes_from_the_command_then_before_it_then_the_environment(
    requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMUN_URL", "http://environment")
    monkeypatch.setenv("AMUN_TOKEN", "secret")
    for host in ("environment", "before", "command"):
        requests_mock.get(f"http://{host}/api/v1/hardware", json={"hardware": [], "host": host})
    outputs = (
        amun("hardware", "--json"),
        amun("--url", "http://before", "hardware", "--json"),
        amun("--url", "http://before", "hardware", "--json", "--url", "http://command"),
    )
    assert [json.loads(result.stdout)["host"] for result in outputs] == ["environment", "before", "command"]
    assert requests_mock.last_request.headers["Authorization"] == "Bearer secret"


# ---- logs -----------------------------------------------------------------------------------------------------------


def test_a_piped_log_is_the_very_bytes(requests_mock: Mocker) -> None:
    log = b"\x1b[2J\xff\x00 no line end"
    requests_mock.get(f"{API}/inspect/{ID}/job/0/log", content=log)
    assert amun("logs", ID).stdout_bytes == log


def test_asking_for_the_log_of_a_run_points_to_the_build_that_failed(requests_mock: Mocker) -> None:
    requests_mock.get(f"{API}/inspect/{ID}/job/0/log", status_code=404, json={"error": "There is no such item."})
    serve_status(requests_mock, a_status("build_failed"))
    result = amun("logs", ID)
    assert result.exit_code == 2
    assert f"amun logs --build {ID}" in result.stderr


def test_a_log_that_is_not_there_yet_is_exit_code_4(requests_mock: Mocker) -> None:
    requests_mock.get(f"{API}/inspect/{ID}/job/0/log", status_code=202, json={"error": "Not there yet."})
    serve_status(requests_mock, a_status("queued"))
    assert amun("logs", ID).exit_code == 4


# ---- a terminal -----------------------------------------------------------------------------------------------------


class Terminal(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


def shown(chunks: list[bytes], prefix: str = "") -> str:
    terminal = Terminal()
    writer = LogWriter(terminal, prefix)
    for chunk in chunks:
        writer.write(chunk)
    writer.end()
    return terminal.shown


HOSTILE = {
    "title": b"\x1b]0;owned\x07",
    "clipboard": b"\x1b]52;c;cm0gLXJmIC8=\x1b\\",
    "screen": b"\x1b[2J\x1b[H",
    "modes": b"\x1b[?1049h",
    "cursor report": b"\x1b[6n",
    "device control": b'\x1bP$q"p\x1b\\',
    "reset": b"\x1bc",
    "charset": b"\x1b(0",
    "private message": b"\x1b^hidden\x1b\\",
    "C1": "\x9b\x9d\x90".encode(),
    "bell and backspace": b"\a\b\b",
    "reordering": "\u202e\u2066".encode(),
}


@pytest.mark.parametrize("sequence", HOSTILE.values(), ids=HOSTILE.keys())
def test_control_sequences_do_not_reach_a_terminal(sequence: bytes) -> None:
    log = b"before" + sequence + b"after\n"
    assert shown([log]) == "beforeafter\n"
    assert shown([log[index : index + 1] for index in range(len(log))]) == "beforeafter\n"


def test_a_sequence_without_an_end_neither_hides_what_follows_nor_stays_in_memory() -> None:
    text = "x" * 100_000
    assert shown([b"\x1b]0;" + text.encode()[:50_000], text.encode()[50_000:]]) == "]0;" + text + "\n"
    assert shown([b"\x1b]0;title\nline\n"]) == "]0;title\nline\n"


def test_what_was_printed_is_not_overwritten() -> None:
    assert shown([b"real\rfake\r", b"\nnext\r\n"]) == "real\nfake\nnext\n"


def test_colours_are_kept_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown([b"\x1b[1;3", b"1mred\n"]) == "\x1b[1;31mred\n\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown([b"\x1b[1;3", b"1mred\n"]) == "red\n"


def test_a_letter_split_between_chunks_is_whole_and_what_is_no_text_is_marked() -> None:
    assert (
        shown(["gr\u00f6\u00dfer".encode()[:3], "gr\u00f6\u00dfer".encode()[3:], b"\xff"]) == "gr\u00f6\u00dfer\ufffd\n"
    )


def test_every_line_a_stranger_prints_has_its_prefix() -> None:
    assert shown([b"one\ntw", b"o\rthree\n\n", b"four"], "[7] ") == "[7] one\n[7] two\n[7] three\n[7] \n[7] four\n"


def test_messages_are_one_harmless_line() -> None:
    assert plain("\x1b[31mred\x1b[0m\nsecond\tline\x1b[") == "red second line["


# ---- a real process --------------------------------------------------------------------------------------------------


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"\x1b[31my\x1b[2J\n" * 100_000)


def test_head_may_close_the_pipe() -> None:
    with service({"/log": endless}) as url:
        first = subprocess.Popen(command(url, "logs", ID), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert first.stdout is not None
        assert first.stderr is not None
        first.stdout.readline()
        first.stdout.close()
        first.wait(20)
        assert first.stderr.read() == b""
        first.stderr.close()


def test_ctrl_c_stops_following_and_not_the_inspection() -> None:
    quiet = threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(b"working\n" * 10_000)
        quiet.wait(30)

    status = a_status("building", build=a_build(state="running"))
    answers = {"/inspect": answering({"inspection_id": ID}, 202), "/status": answering(status), "/log": silent}
    with service(answers) as url:
        process = subprocess.Popen(
            command(url, "submit", "-", "--follow"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"{}")
        process.stdin.close()
        process.stdin = None
        assert process.stdout.readline() == b"working\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        quiet.set()
    assert process.returncode == 130
    assert b"the inspection goes on" in errors
    assert f"amun cancel {ID}".encode() in errors
    assert b"Traceback" not in errors


def test_a_terminal_gets_colours_unless_the_user_wants_none() -> None:
    def log(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(b"\x1b]0;owned\x07\x1b[31mred\x1b[2J\n")

    with service({"/status": answering(a_status()), "/log": log}) as url:
        assert on_a_terminal(command(url, "logs", ID)) == "\x1b[31mred\n\x1b[0m"
        assert "\x1b[" in on_a_terminal(command(url, "status", ID))
        assert "\x1b[3" not in on_a_terminal(command(url, "status", ID), NO_COLOR="1")
