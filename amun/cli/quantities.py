"""Measured numbers as people read them: one unit, and as many digits as tell them apart, for what stands together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .sanitize import plain

Scale = tuple[tuple[float, str], ...]

SCALES: dict[str, Scale] = {
    "s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "bytes": ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "hz": ((1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz"), (1, "Hz")),
}
WORDS = {"count": "", "percent": "%", "us": "µs", "kib": "KiB", "mib": "MiB", "gib": "GiB"}
MEASURED = ("s", "ms", "us", "ns", "hz")  # Units of what is never a count, whole or not.
DIGITS = 4  # Significant ones, where nothing asks for more.
MOST_DECIMALS = 9


def amount(value: float | None, unit: str | None) -> str:
    """One number with its unit; a dash for none."""
    return "-" if value is None else with_unit(*_scaled([value], unit))


def extent(low: float, high: float, unit: str | None) -> str:
    """`low to high unit`, in one unit, with digits that tell the two apart."""
    return with_unit(*_scaled([low, high], unit))


def with_unit(texts: Sequence[str], unit: str) -> str:
    return " to ".join(texts) + (f" {unit}" if unit else "")


def together(values: Sequence[float], unit: str | None) -> list[str]:
    """Numbers that are compared, each with the unit that suits the largest."""
    texts, name = _scaled(values, unit)
    return [with_unit([text], name) for text in texts]


def percent(share: float) -> str:
    """0.0123 as `1.23 %`."""
    return f"{number(share * 100, 3)} %"


def change(share: float) -> str:
    """0.0123 as `+1.23 %`."""
    return ("+" if share > 0 else "") + percent(share)


def probability(p: float | None) -> str:
    """A p-value; tiny ones only as that."""
    if p is None:
        return "-"
    return "< 0.0001" if p < 0.0001 else number(p, 2)


def number(value: float, digits: int = DIGITS) -> str:
    """A bare number with that many significant digits, without an exponent where people can do without one."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if not 1e-5 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    text = f"{value:.{min(MOST_DECIMALS, max(0, digits - 1 - math.floor(math.log10(abs(value)))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: float) -> str:
    """A time that somebody waited for."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _scaled(values: Sequence[float], unit: str | None) -> tuple[list[str], str]:
    """The numbers in one unit that suits the largest of them, and that unit."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    scale = SCALES.get(unit or "", ((1, WORDS.get(unit or "", plain(unit or ""))),))
    factor, name = next(((factor, name) for factor, name in scale if largest >= factor), scale[-1])
    if largest == 0:
        factor, name = next((pair for pair in scale if pair[0] == 1), scale[0])
    return _alike([value / factor for value in values], unit not in MEASURED), name


def _alike(values: Sequence[float], may_be_whole: bool) -> list[str]:
    """All with as many decimals as the largest needs, or as tell the farthest apart to two digits."""
    finite = [value for value in values if math.isfinite(value)]
    largest = max(map(abs, finite), default=0.0)
    if may_be_whole and all(value.is_integer() for value in map(float, finite)) and largest < 1e6:
        return [f"{value:.0f}" for value in values]
    if not 1e-5 <= largest < 1e9:
        return [f"{value:.{DIGITS - 1}e}" if value else "0" for value in values]
    decimals = DIGITS - 1 - math.floor(math.log10(largest))
    spread = max(finite) - min(finite)
    if spread > 0:
        decimals = max(decimals, 1 - math.floor(math.log10(spread)))
    return [f"{value:.{min(MOST_DECIMALS, max(0, decimals))}f}" for value in values]
