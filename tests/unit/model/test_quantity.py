"""Quantities are read as Kubernetes reads them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from amun.model import quantity


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("500m", "0.5"),
        ("1Gi", "1073741824"),
        ("1.5k", "1500"),
        (".5", "0.5"),
        ("+2", "2"),
        ("12e6", "12000000"),
        ("1E", "1e18"),
    ],
)
def test_a_quantity_is_a_number_and_a_suffix(text: str, meant: str) -> None:
    assert quantity.parse(text) == Decimal(meant)


@given(st.from_regex(r"(\d{1,15}(\.\d{0,9})?|\.\d{1,9})([KMGTPE]i|[numkMGTPE])?", fullmatch=True))
def test_the_client_of_kubernetes_reads_the_same(text: str) -> None:
    if text.isascii():
        assert quantity.parse(text) == parse_quantity(text)


@pytest.mark.parametrize("text", ["", "lots", "1KiB", "-1", "1 Gi", "1ki", "0x10", "1e", "1Gi\n", "٣", "1e1000", "nan"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a Kubernetes quantity"):
        quantity.parse(text)
