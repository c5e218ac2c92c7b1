"""What pages say in words, and what they are drawn from: pure functions."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from starlette.requests import Request

from amun.pages import plot_data, rendering, timeline_bars, words
from amun.pages.curl import Curl
from tests.pages.scripted import HWINFO, at, report


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, words.NOTHING),
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "s", words.NOTHING), (0.5191, "s", "519.1 ms"), (0.9999, "s", "0.9999 s"), (2e-5, "s", "20 µs"),
        (3e-15, "s", "0 s"),
        (72.5, "s", "72.5 s"),
        (1000, None, "1000"), (144003, "count", "144\u202f003"), (3.14159, None, "3.142"), (1536, "bytes", "1.5 KiB"),
        (24 << 30, "bytes", "24 GiB"), (12.5, "percent", "12.5 %"), (1e300, None, "1e+300"), (-0.25, "s", "-250 ms"),
        (7, "@<b>", "7 @<b>"),
    ],
)  # fmt: skip
def test_numbers_with_their_units(value: float | None, unit: str | None, text: str) -> None:
    assert words.number(value, unit) == text


@pytest.mark.parametrize(
    ("hwinfo", "text"),
    [
        (None, "not known"),
        ({}, "not known"),
        ({"cpu_info": None, "memory": None, "gpus": None}, "not known"),
        (HWINFO, "Intel Xeon Processor (Skylake, IBRS), 1.5 of 64 processors, 512 MiB of 24 GiB"),
        (
            {"cpu_info": {"brand_raw": "AMD EPYC 7B13 (R) CPU @ 2.45GHz", "count": 8},
             "memory": {"total_bytes": 24 << 30},
             "cgroup": {"cpu_limit": 2, "memory_limit_bytes": None}, "gpus": [{"product": "NVIDIA T4"}, {}]},
            "AMD EPYC 7B13, 2 of 8 processors, 24 GiB, NVIDIA T4, a GPU",
        ),
        ({"cpu_info": {"arch_string_raw": "aarch64", "count": 1}, "cgroup": {"cpu_limit": 4}}, "aarch64, 1 processor"),
    ],
)  # fmt: skip
def test_hardware_is_told_in_words(hwinfo: Any, text: str) -> None:
    assert words.hardware(hwinfo) == text


def test_the_system_of_a_run_is_told_in_words() -> None:
    assert words.system(report()) == "Red Hat Enterprise Linux 8.2 (Ootpa), Python 3.6"
    assert words.system({"os_release": None, "runtime_environment": None}) == "not known"


def test_marks_that_turn_text_around_and_controls_are_written_out() -> None:
    assert rendering.visible("a\u202eb\x1b[31m\u2066\ufeff\x00c\td\ne") == (
        "a[U+202E]b[U+001B][31m[U+2066][U+FEFF][U+0000]c\td\ne"
    )
    assert rendering.visible("grün, 日本語, עברית") == "grün, 日本語, עברית"


def test_names_of_images_break_between_their_parts_and_are_text() -> None:
    written = str(rendering.reference("quay.io/a/b:1@sha256:0<b>\u202e"))
    assert written == "quay.io/<wbr>a/<wbr>b<wbr>:1<wbr>@sha256:0&lt;b&gt;[U+202E]"
    assert rendering.reference(None) == words.NOTHING


def test_json_to_be_changed_says_the_same_when_it_is_read_again() -> None:
    document = {"script": "\u202e \x7f \ud800 \x1b é\n", "b": [1, "\u2066"]}
    text = rendering.indented(document)
    assert json.loads(text) == document
    assert rendering.visible(text) == text
    text.encode()


def step(name: str, start: float, end: float | None, item: int | None = None, waiting: bool = False) -> dict[str, Any]:
    ended = None if end is None else at(end)
    return {"step": name, "item": item, "started_at": at(start), "finished_at": ended, "waiting": waiting}


def test_a_time_line_has_a_row_for_the_build_and_one_for_each_item() -> None:
    timeline = [
        step("queue", 0, 10, waiting=True),
        step("build", 10, 50),
        step("run", 50, 75, 0),
        step("run", 75, None, 1),
    ]
    rows = timeline_bars.rows(timeline, now=at(100))
    assert [row.item for row in rows] == [None, 0, 1]
    assert [(bar.x, bar.width, bar.seconds, bar.lasts, bar.waiting) for row in rows for bar in row.bars] == [
        (0, 100, 10, False, True), (100, 400, 40, False, False), (500, 250, 25, False, False),
        (750, 250, 25, True, False),
    ]  # fmt: skip


def test_the_shortest_step_is_seen_and_none_leaves_the_picture() -> None:
    (row,) = timeline_bars.rows([step("build", 0, 1000), step("run", 1000, 1000)], now=at(0))
    for bar in row.bars:
        assert bar.width >= timeline_bars.LEAST
        assert 0 <= bar.x <= bar.x + bar.width <= timeline_bars.WIDTH
    assert timeline_bars.rows([], now=at(0)) == []
    assert timeline_bars.rows([step("queue", 5, None)], now=at(0))[0].bars[0].seconds == 0


def metric(path: str, values: list[float], declared: bool = False) -> dict[str, Any]:
    listed = [{"item": item, "value": value, "quality": "clean"} for item, value in enumerate(values)]
    return {"path": path, "unit": None, "declared": declared, "min": min(values), "max": max(values), "values": listed}


def test_what_does_not_differ_is_not_drawn_and_what_was_declared_comes_first() -> None:
    metrics = [
        metric("declared", [1, 2], True),
        metric("same", [3, 3]),
        metric("once", [4]),
        metric("other", [1, 5]),
        metric("wall_time", [1, 2]),
    ]
    assert [plot["path"] for plot in plot_data.of_runs({"metrics": metrics})] == ["declared", "wall_time", "other"]


def test_no_more_is_drawn_than_a_page_can_carry() -> None:
    many = [metric(f"m{number}", [1.123456789, *range(999)]) for number in range(200)]
    drawn = plot_data.of_runs({"metrics": many})
    assert 0 < sum(len(plot["values"]) for plot in drawn) <= plot_data.POINTS
    assert len(drawn) <= plot_data.MOST
    assert drawn[0]["values"][0] == [0, 1.12346, "clean"]


def test_plots_beside_each_other_have_a_group_for_every_inspection() -> None:
    compared = {"inspections": [{"label": "A"}, {"label": "B"}], "metrics": [{"path": "x"}, {"path": "gone"}]}
    drawn = plot_data.beside(compared, [{"metrics": [metric("x", [1, 2])]}, None])
    groups = [{"label": "A", "values": [1, 2]}, {"label": "B", "values": []}]
    assert drawn == [{"path": "x", "unit": None, "groups": groups}]


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {"type": "http", "scheme": "http", "path": "/", "query_string": b"", "server": ("x", 80), "headers": raw}
    )


def test_curl_lines_are_quoted_for_a_shell_and_name_a_token_only_where_there_is_one() -> None:
    line = Curl(request(host="amun.example:8080")).line("", "/compare", document={"inspections": ["it's", "$(x)"]})
    split = shlex.split(line.command)
    assert split[-1] == "http://amun.example:8080/api/v1/compare"
    assert '{"inspections": ["it\'s", "$(x)"]}' in split
    known = Curl(request(host="amun.example", authorization="Bearer secret", x_forwarded_proto="https"))
    command = known.line("", "/version").command
    assert shlex.split(command)[2] == "https://amun.example/api/v1/version"
    assert command.endswith('-H "Authorization: Bearer $AMUN_TOKEN"')
    assert "secret" not in command


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0051, "0.51 %"), (0.09, "9 %"), (0.177, "18 %"), (1.77, "177 %"), (-0.5, "-50 %"), (1e300, "1e+302 %")],
)
def test_a_share_is_said_in_percent(share: float, expected: str) -> None:
    assert words.percent(share) == expected
