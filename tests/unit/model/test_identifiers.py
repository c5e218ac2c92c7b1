"""Ids of inspections: names of objects on a cluster, and hard to guess."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.model import identifiers

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def test_an_id_without_identifier_is_the_prefix_and_64_random_bits() -> None:
    assert re.fullmatch(r"inspection-[0-9a-f]{16}", identifiers.new_id())


def test_the_identifier_is_in_the_id() -> None:
    assert re.fullmatch(r"inspection-tf-dm-rw3-[0-9a-f]{16}", identifiers.new_id("tf-dm-rw3"))


def test_two_inspections_never_share_an_id() -> None:
    assert len({identifiers.new_id("test") for _ in range(1000)}) == 1000


def test_the_longest_identifier_leaves_room_for_what_engines_add() -> None:
    name = identifiers.new_id("x" * identifiers.IDENTIFIER_MAX) + "-" + "9" * (identifiers.SUFFIX_MAX - 1)
    assert len(name) == 63
    assert DNS_LABEL.fullmatch(name)


@given(st.text(alphabet="az09-A_.\n", max_size=30))
def test_what_is_accepted_makes_a_dns_label_and_is_recognized(identifier: str) -> None:
    if identifiers.is_identifier(identifier):
        inspection_id = identifiers.new_id(identifier)
        assert DNS_LABEL.fullmatch(inspection_id + "x" * identifiers.SUFFIX_MAX)
        assert identifiers.is_valid(inspection_id)
    else:
        with pytest.raises(ValueError, match="1 to 27 characters"):
            identifiers.new_id(identifier)


@pytest.mark.parametrize(
    "identifier",
    ["", "x" * 28, "Test", "a_b", "a.b", "-a", "a-", "a\n", "ä", "a/b", "a b"],
)
def test_an_identifier_that_breaks_the_rule_is_refused(identifier: str) -> None:
    assert not identifiers.is_identifier(identifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inspection-",
        "inspection-test",
        "inspection-test-0f845f38",
        "inspection--0f845f38c1d2e3a4",
        "inspection-Test-0f845f38c1d2e3a4",
        "inspection-0f845f38c1d2e3a4\n",
        "inspection-../../etc-0f845f38c1d2e3a4",
        f"inspection-{'x' * 28}-0f845f38c1d2e3a4",
    ],
)
def test_what_no_inspection_can_be_called_is_not_valid(text: str) -> None:
    assert not identifiers.is_valid(text)
