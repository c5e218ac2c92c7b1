"""Arithmetic that neither warns nor overflows, whatever numbers strangers' scripts print.

Arrays hold one sample along the last axis; the axes before it are trials of a simulation, or one metric.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def served(number: float | Array) -> float | None:
    """A number, or array of one, as JSON may carry it; None for what is not finite. Minus zero is zero."""
    plain = float(number)
    return plain + 0.0 if math.isfinite(plain) else None


def divided(above: Array, below: Array, otherwise: float) -> Array:
    """Divide where that can be done; `otherwise` stands for 0 / 0, and infinity for all else by 0."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        quotient = above / below
    return np.where((above == 0) & (below == 0), otherwise, quotient)


def scaled(values: Array) -> tuple[Array, int]:
    """Return the values divided by a power of two that brings the largest near 1, and the exponent."""
    largest = float(np.max(np.abs(values), initial=0.0))
    exponent = math.frexp(largest)[1]
    with np.errstate(under="ignore"):
        return np.ldexp(values, -exponent), exponent


def unscaled(number: float, exponent: int) -> float:
    """Undo `scaled`; infinity where the result is beyond the range of a double."""
    try:
        return math.ldexp(number, exponent)
    except OverflowError:
        return math.copysign(math.inf, number)


def power_of_e(number: float) -> float:
    """Undo a logarithm; infinity where the result is beyond the range of a double."""
    try:
        return math.exp(number)
    except OverflowError:
        return math.inf


def middle(values: Array) -> Array:
    """Return the median along the last axis, without overflow."""
    count = values.shape[-1]
    ordered = np.partition(values, (sorted({(count - 1) // 2, count // 2})), axis=-1)
    low, high = ordered[..., (count - 1) // 2], ordered[..., count // 2]
    return np.where(low == high, low, low / 2 + high / 2)
