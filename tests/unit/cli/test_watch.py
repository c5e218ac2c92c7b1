"""`amun submit --watch`: what the live view shows, turn by turn and on a real terminal."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from requests_mock import Mocker
from rich.console import Console

from amun.cli.watch import AT_ONCE, TAIL, Watcher
from amun.client import Client, ClientError
from tests.support.command_line import amun, answering, command, on_a_terminal, service

ID = "inspection-test-0123456789abcdef"
API = f"http://127.0.0.1:8080/api/v1/inspect/{ID}"
Document = dict[str, Any]


def a_status(phase: str, *items: Document, build: str = "terminated", **changes: Any) -> Document:
    job = {"completions": len(items), "pods": [{"item": index, **item} for index, item in enumerate(items)]}
    known = {"parameters": {"inspection_id": ID}, "phase": phase, "reason": None, "message": None}
    return {**known, "build": {"state": build, "cached": False}, "job": job if items else None, **changes}


RUNNING = {"state": "running"}
DONE = {"state": "terminated", "reason": "Completed", "exit_code": 0}
FAILED = {"state": "terminated", "reason": "NonZeroExit", "exit_code": 1}


def serve(mock: Mocker, statuses: list[Document], **logs: list[bytes]) -> None:
    """Statuses one after the other, and logs of which each turn brings a part."""
    mock.get(f"{API}/status", [{"json": status} for status in statuses])
    for name, parts in {"build": [b""], **logs}.items():
        path = f"{API}/build/log" if name == "build" else f"{API}/job/{name.removeprefix('item')}/log"
        mock.get(path, [{"content": part} for part in [*parts, b""]])


def picture(watcher: Watcher, width: int = 80, height: int = 40, **console: Any) -> list[str]:
    """The lines that are on the screen now."""
    screen = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None, **console)
    screen.print(watcher.view)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def watching(turns: int = 0) -> Watcher:
    watcher = Watcher(Client(), ID)
    for _ in range(turns):
        watcher.turn()
    return watcher


# ---- turn by turn ---------------------------------------------------------------------------------------------------


def test_phases_items_and_the_end_of_the_logs_are_shown_to_the_end(requests_mock: Mocker) -> None:
    serve(
        requests_mock,
        [
            a_status("queued", build="waiting", reason="Unschedulable", message="0 of 3 nodes match."),
            a_status("building", build="running"),
            a_status("running", {**DONE, "warmup": True}, RUNNING, FAILED, {"state": "waiting"}),
            a_status("failed", {**DONE, "warmup": True}, DONE, FAILED, {"state": "terminated", "reason": "NotStarted"}),
        ],
        build=[b"STEP 1/3\nSTE", b"P 2/3\n"],
        item0=[b""],
        item1=[b"half a ", b"line"],
        item2=[b"Traceback\n"],
    )
    watcher = watching()
    assert watcher.turn() is False
    queued = picture(watcher)
    assert queued[0] == ID
    assert re.fullmatch(r". queued \d\.\d\d s", queued[1])
    assert "(Unschedulable): 0 of 3 nodes match." in queued
    assert watcher.turn() is False
    assert picture(watcher)[-1] == "STEP 1/3"
    assert watcher.turn() is False
    running = picture(watcher)
    assert "w●✗·" in running
    assert "STEP 2/3" in running
    assert "[2] Traceback" in running
    assert watcher.turn() is True
    over = picture(watcher)
    assert [line.split()[0] for line in over[1:5]] == ["queued", "building", "running", "failed"]
    assert "w✓✗-" in over
    assert over[-1] == "[1] half a line"


def test_the_build_log_of_another_inspection_that_is_over_is_not_shown(requests_mock: Mocker) -> None:
    status = a_status("running", RUNNING)
    status["build"]["cached"] = True
    serve(requests_mock, [status], build=[b"old\n"], item0=[b"new\n"])
    assert picture(watching(2))[-1] == "new"


def test_of_items_that_are_too_quick_some_logs_are_left_out_and_none_comes_late(requests_mock: Mocker) -> None:
    logs = {f"item{index}": [b"said\n"] for index in range(20)}
    serve(requests_mock, [a_status("running", *[DONE] * 20)], **logs)
    watcher = watching(3)
    assert list(watcher.view.lines) == [f"[{index}] said" for index in range(20 - AT_ONCE, 20)]


def test_what_strangers_print_stays_in_its_line(requests_mock: Mocker) -> None:
    evil = b"\x1b[2J\x1b]0;owned\x07\x1b[31mred\rover\n" + "\u202e[bold]".encode() + b"x" * 10_000 + b"\n\xff\ttab\n"
    serve(requests_mock, [a_status("running", RUNNING, message="\x1b[2Jboo")], item0=[evil])
    watcher = watching(1)
    shown = picture(watcher)
    assert not set("\x1b\x07\u202e") & set("".join([*shown, *watcher.view.lines]))
    assert shown[-4:-2] == ["red", "over"]
    assert shown[-2].startswith("[bold]xxx")
    assert len(shown[-2]) == 80
    assert max(map(len, watcher.view.lines)) < 3000
    assert "boo" in shown


def test_a_great_log_costs_no_memory(requests_mock: Mocker) -> None:
    serve(requests_mock, [a_status("running", RUNNING)], item0=[b"line\n" * 100_000 + b"y" * 1_000_000])
    watcher = watching(1)
    assert len(watcher.view.lines) == TAIL
    assert sum(map(len, watcher.view.lines)) < 1000


@pytest.mark.parametrize("height", [6, 12, 24])
def test_it_fits_on_a_low_and_narrow_terminal(requests_mock: Mocker, height: int) -> None:
    log = b"".join(b"line %d of a log that is wider than forty columns\n" % number for number in range(50))
    serve(requests_mock, [a_status("running", RUNNING)], item0=[log])
    shown = picture(watching(1), width=40, height=height)
    assert len(shown) <= height - 1
    assert max(map(len, shown)) <= 40


def test_a_thousand_items_are_counted_where_there_is_no_room_for_marks(requests_mock: Mocker) -> None:
    items = [DONE] * 990 + [FAILED] * 10
    serve(requests_mock, [a_status("failed", *items)], **{f"item{number}": [b""] for number in range(1000)})
    shown = picture(watching(1), width=40)
    assert "✓ 990 succeeded, ✗ 10 failed" in shown
    assert sum(line.count("✓") for line in shown) == 1


def test_a_service_that_is_away_for_a_moment_is_waited_for(
    requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"status_code": 503, "json": {"error": "The engine is out of reach."}}
    answers: list[Document] = [
        {"json": a_status("running", RUNNING)},
        away,
        {"json": a_status("succeeded", DONE)},
        away,
    ]
    serve(requests_mock, [], item0=[b""])
    requests_mock.get(f"{API}/status", answers)
    watcher = watching(2)
    assert "The engine is out of reach." in picture(watcher)
    assert watcher.turn() is True
    assert "The engine is out of reach." not in picture(watcher)
    monkeypatch.setattr("amun.cli.follow.PATIENCE", -1.0)
    with pytest.raises(ClientError):
        watcher.turn()


# ---- a real process -------------------------------------------------------------------------------------------------


def one_after_the_other(*documents: Document) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answers each document once, and the last one ever after."""
    left = list(documents)
    return lambda request: answering(left.pop(0) if len(left) > 1 else left[0])(request)


def log(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "6")
    request.end_headers()
    request.wfile.write(b"hello\n")


def answers(*statuses: Document) -> dict[str, Callable[[BaseHTTPRequestHandler], None]]:
    return {
        "/inspect": answering({"inspection_id": ID}, 202),
        "/status": one_after_the_other(*statuses),
        "/log": log,
        "/result": answering({"error": "none"}, 404),
    }


@pytest.fixture
def document(tmp_path: Path) -> str:
    (tmp_path / "specification.json").write_text("{}")
    return str(tmp_path / "specification.json")


@pytest.mark.slow
def test_a_terminal_shows_a_live_view_and_then_the_result(document: str) -> None:
    statuses = (a_status("building", build="running"), a_status("running", RUNNING), a_status("succeeded", DONE))
    with service(answers(*statuses)) as url:
        shown = on_a_terminal(command(url, "submit", "--watch", document), columns=60)
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") < shown.rindex("succeeded")
    assert "hello" in shown
    assert f"{ID}: submitted" not in shown
    without = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert f"{ID}: succeeded" in without


@pytest.mark.slow
def test_a_terminal_that_cannot_be_drawn_on_gets_lines(document: str) -> None:
    with service(answers(a_status("running", RUNNING), a_status("succeeded", DONE))) as url:
        shown = on_a_terminal(command(url, "submit", "--watch", document), TERM="dumb")
    assert "\x1b[?25l" not in shown
    assert f"{ID}: submitted" in shown


def test_a_pipe_gets_lines(requests_mock: Mocker) -> None:
    requests_mock.post("http://127.0.0.1:8080/api/v1/inspect", status_code=202, json={"inspection_id": ID})
    serve(requests_mock, [a_status("succeeded", DONE)], item0=[b"hello\n"])
    requests_mock.get(f"{API}/job/0/result", status_code=404, json={"error": "none"})
    result = amun("submit", "--watch", "-", input="{}")
    assert result.exit_code == 0
    assert f"{ID}: submitted" in result.stderr
    assert "\x1b" not in result.output


def test_json_after_a_live_view_is_all_of_stdout_to_a_pipe(requests_mock: Mocker) -> None:
    requests_mock.post("http://127.0.0.1:8080/api/v1/inspect", status_code=202, json={"inspection_id": ID})
    serve(requests_mock, [a_status("failed", FAILED)], item0=[b"hello\n"])
    requests_mock.get(f"{API}/job/0/result", status_code=404, json={"error": "none"})
    result = amun("submit", "--watch", "-", "--json", input="{}")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["phase"] == "failed"


def test_there_is_nothing_to_watch_in_a_dry_run() -> None:
    assert amun("submit", "--watch", "--dry-run", "-", input="{}").exit_code == 2
