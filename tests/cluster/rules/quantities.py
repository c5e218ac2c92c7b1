"""Quantities: ``500m``, ``1.5Gi``. Servers answer them in one form, however they were written."""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal

BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
DECIMAL = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal("1e3"),
    "M": Decimal("1e6"),
    "G": Decimal("1e9"),
    "T": Decimal("1e12"),
    "P": Decimal("1e15"),
    "E": Decimal("1e18"),
}
_PARTS = re.compile(r"^([+-]?[0-9.]+)(.*)$")


def parse(quantity: str | int | float) -> Decimal:
    """The number that a quantity says."""
    match = _PARTS.match(str(quantity))
    if match is None:
        raise ValueError(f"not a quantity: {quantity!r}")
    number, suffix = Decimal(match[1]), match[2]
    if suffix in BINARY:
        return number * BINARY[suffix]
    if suffix in DECIMAL:
        return number * DECIMAL[suffix]
    return number * Decimal(f"1{suffix}")


def canonical(quantity: str | int | float) -> str:
    """As a server answers it: no fraction, the largest suffix of the kind that was given."""
    value = parse(quantity)
    return binary(value) if str(quantity).endswith("i") else decimal(value)


def binary(value: Decimal) -> str:
    """A number with the largest binary suffix that leaves no fraction."""
    if value % 1 or abs(value) < 1024:
        return decimal(value)
    suffix = [suffix for suffix, size in {"": 1, **BINARY}.items() if value % size == 0][-1]
    return f"{int(value) // BINARY.get(suffix, 1)}{suffix}"


def decimal(value: Decimal) -> str:
    """A number with the largest decimal suffix that leaves no fraction."""
    value = value.quantize(Decimal("1e-9"), ROUND_UP)
    if value == 0:
        return "0"
    suffix, size = next((suffix, size) for suffix, size in reversed(DECIMAL.items()) if (value / size) % 1 == 0)
    return f"{int(value / size)}{suffix}"
