"""The table that `make bench` prints."""

from __future__ import annotations

import pytest

from bench.figures import Figure, number, ratios, spread, table


def test_a_median_comes_with_the_least_and_the_greatest() -> None:
    assert spread([3.0, 1.0, 2.5], "s") == "2.50 s (1.00 to 3.00)"
    assert spread([12.34], "ms") == "12.3 ms"
    assert spread([1.0, 2.0]) == "1.50 (1.00 to 2.00)"


def test_ratios_compare_what_was_measured_side_by_side() -> None:
    assert ratios([3.0, 8.0], [2.0, 4.0]) == [1.5, 2.0]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1234"), (56.78, "56.8"), (0.123, "0.12"), (-13.0, "-13.0")])
def test_numbers_have_no_more_digits_than_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def test_the_table_is_a_simple_table_of_restructuredtext() -> None:
    text = table([Figure("(a) a title", ""), Figure("  a ratio", "1.52 (1.49 to 1.60)", "≤ 1.5")])
    assert text.splitlines() == [
        "===========  ===================  =====",
        "Measured     Result               Aim",
        "===========  ===================  =====",
        "(a) a title",
        "  a ratio    1.52 (1.49 to 1.60)  ≤ 1.5",
        "===========  ===================  =====",
    ]
