"""Plots made of characters: their widths, their ASCII, and numbers as people read them."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from amun.cli import quantities
from amun.cli.comparison_view import comparison_view
from amun.cli.plots import Line, Lines, Stretch, bar, interval, stretches, strip
from amun.cli.summary_view import summary_view
from amun.cli.timeline_view import timeline_view
from tests.support.measurement_answers import (
    a_comparison,
    a_detail,
    a_metric,
    a_pair,
    a_run,
    a_step,
    a_summary,
    compared,
)

VALUES = st.floats(allow_nan=False, allow_infinity=False)
WIDTHS = st.integers(20, 250)


def drawn(renderable: RenderableType, width: int, encoding: str = "utf-8") -> list[str]:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="")
    Console(file=stream, width=width, color_system=None, highlight=False).print(renderable)
    stream.flush()
    return raw.getvalue().decode(encoding).splitlines()


EVERYTHING: dict[str, RenderableType] = {
    "time line": timeline_view(
        a_detail([a_step("queue", None, 0, 5, reason="Unschedulable"), a_step("build", None, 5, 9)])
    ),
    "summary": summary_view(
        a_summary(
            [a_metric("a.rather.long.path.of.a.number[0].in_seconds", [0.01, 0.02, 0.05], unit="s", better="lower")],
            [a_run(item, quality="disturbed") for item in range(100)],
        )
    ),
    "comparison": comparison_view(a_comparison(compared("latency.of.all.requests", a_pair()))),
}


@pytest.mark.parametrize("name", EVERYTHING)
@pytest.mark.parametrize("width", [30, 40, 60, 80, 120, 200])
def test_every_view_fits_any_terminal(name: str, width: int) -> None:
    assert max(map(cell_len, drawn(EVERYTHING[name], width))) <= width


@pytest.mark.parametrize("name", EVERYTHING)
def test_plots_are_the_same_in_ascii(name: str) -> None:
    lines = drawn(EVERYTHING[name], 80, "ascii")
    assert re.search(r"#{5,}|~{5,}|\[-+o", "\n".join(lines))
    words = "".join(drawn(EVERYTHING[name], 80))
    assert "".join(lines).count("?") == words.count("…") + words.count("±")


@given(st.lists(VALUES, min_size=1, max_size=40), WIDTHS)
def test_a_strip_has_a_mark_for_the_least_and_the_most(values: list[float], width: int) -> None:
    (line,) = drawn(strip(values, [False] * len(values)), width)
    assert cell_len(line.rstrip()) <= min(width, 60)
    if max(values) / 2 - min(values) / 2 > 0:
        assert line[0] != " "
        assert len(line.rstrip()) == min(width, 60)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=20), WIDTHS)
def test_every_stretch_of_time_has_a_column_unless_a_later_one_took_it(
    spans: list[tuple[float, float]], width: int
) -> None:
    made = [Stretch(min(span), max(span), "work") for span in spans]
    begin, end = min(stretch.begin for stretch in made), max(stretch.end for stretch in made)
    (line,) = drawn(stretches(made, begin, end), width)
    assert 1 <= cell_len(line.rstrip()) <= min(width, 60)
    assert set(line) <= {"█", " "}


@given(VALUES, VALUES, VALUES, WIDTHS)
def test_an_interval_is_drawn_wherever_it_lies(middle: float, one: float, other: float, width: int) -> None:
    low, high = sorted([one, other])
    (line,) = drawn(interval(middle, low, high, 1.0, (0.5, 1.5)), width)
    assert line.count("●") == 1
    assert cell_len(line) <= min(width, 60)


@given(st.floats(0, 1e300), WIDTHS)
def test_a_bar_is_as_long_as_its_share(value: float, width: int) -> None:
    (line,) = drawn(bar(value, 1e300), width) or [""]
    assert abs(cell_len(line.rstrip()) - min(width, 60) * value / 1e300) <= 1


def test_numbers_stand_below_their_plot_where_there_is_no_room_beside_it() -> None:
    lines = Lines([Line("A", bar(1, 1), ("a long number with words",)), Line("B / A", None, ("more",))])
    assert drawn(lines, 80)[0].endswith("█ a long number with words")
    narrow = drawn(lines, 30)
    assert [line.strip() for line in narrow][1::2] == ["a long number with words", "more"]
    assert narrow[0].startswith("A     █")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123456, "s", "12.35 ms"),
        (1.0, "s", "1.000 s"),
        (0.0, "s", "0 s"),
        (2.5e-7, "s", "250.0 ns"),
        (98304, "bytes", "96 KiB"),
        (5.3e7, "bytes", "50.54 MiB"),
        (12.3456, "percent", "12.35 %"),
        (3.2e9, "hz", "3.200 GHz"),
        (7.0, "count", "7"),
        (1234567.8, None, "1234568"),
        (1e-12, None, "1.000e-12"),
        (-3.5, "apples\x1b[2J", "-3.500 apples"),
        (None, "s", "-"),
    ],
)
def test_amounts_have_a_unit_and_four_digits(value: float | None, unit: str | None, text: str) -> None:
    assert quantities.amount(value, unit) == text


def test_numbers_that_stand_together_share_a_unit_and_can_be_told_apart() -> None:
    assert quantities.extent(0.99, 1.01, "s") == "0.990 to 1.010 s"
    assert quantities.extent(1.234561, 1.234572, "s") == "1.234561 to 1.234572 s"
    assert quantities.together([1500.0, 2.0], "bytes") == ["1.465 KiB", "0.002 KiB"]
    assert quantities.together([3, 4], "count") == ["3", "4"]


@given(VALUES, VALUES, st.sampled_from([None, "s", "bytes", "hz", "percent", "count", "ms"]))
def test_any_numbers_can_be_said(one: float, other: float, unit: str | None) -> None:
    assert len(quantities.extent(one, other, unit)) < 70
    assert len(quantities.number(one)) < 20


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.00 s"), (12.34, "12.3 s"), (59.99, "60.0 s"), (75, "1 min 15 s"), (7260, "2 h 1 min")],
)
def test_durations_are_what_somebody_waited_for(seconds: float, text: str) -> None:
    assert quantities.duration(seconds) == text


@pytest.mark.parametrize(("p", "text"), [(None, "-"), (0.00001, "< 0.0001"), (0.0312, "0.031"), (1.0, "1")])
def test_probabilities_are_short(p: float | None, text: str) -> None:
    assert quantities.probability(p) == text
