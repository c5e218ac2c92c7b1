"""What logs hide, wherever they are cut into chunks."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.environments.masking import Mask

LOG = (
    b'STEP 1/4: FROM x\nSTEP 2/4: ENV PATH="/opt/amun/venv/bin:${PATH:-/bin}"\nSTEP 3/4: ENV HOME=/home/amun\n'
    b'hunter22 said hunter2\nprogress\rhunter22\rdone\nSTEP 4/4: ENV A="v\\"al ue" B="x"\n--> 0123\n'
    b'Error: error building at STEP "ENV A=\\"v\\"": no\nthe end: hunter22'
)
HIDDEN = (
    LOG.replace(b"hunter22", b"*" * 8)
    .replace(b'A="v\\"al ue" B="x"', b"*" * len(b'A="v\\"al ue" B="x"'))
    .replace(b'A=\\"v\\"": no', b"*" * len(b'A=\\"v\\"": no'))
)


def test_values_and_passwords_are_hidden_and_lengths_stay() -> None:
    assert Mask(["hunter22", "short"]).of(LOG) == HIDDEN
    assert len(HIDDEN) == len(LOG)


@given(st.lists(st.integers(0, len(LOG))), st.integers(0, len(LOG) + 5), st.booleans())
def test_however_a_log_is_cut_into_chunks_the_same_is_hidden(cuts: list[int], skip: int, idle: bool) -> None:
    places = [0, *sorted(cuts), len(LOG)]
    chunks = [LOG[start:end] for start, end in itertools.pairwise(places)]
    if not idle:
        chunks = [chunk for chunk in chunks if chunk]
    assert b"".join(Mask(["hunter22"]).stream(iter(chunks), skip)) == HIDDEN[skip:]


def test_a_pause_is_passed_on() -> None:
    assert list(Mask().stream(iter([b"a\n", b"", b"b", b"", b"\n"]))) == [b"a\n", b"", b"", b"b\n"]


@pytest.mark.parametrize("size", [0, 100, 200_000])
def test_a_file_is_rewritten_in_its_place(size: int) -> None:
    file = io.BytesIO(b"x" * size + b"\n" + LOG)
    Mask(["hunter22"]).rewrite(file)
    assert file.getvalue() == b"x" * size + b"\n" + HIDDEN
