"""Two environments are the same if, and only if, all that goes into the image is the same."""

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from amun.environments.digest import environment_digest

contexts = st.dictionaries(st.text(max_size=3), st.binary(max_size=3), max_size=4)
bases = st.none() | st.text(min_size=1, max_size=3)


def test_digest_stays_what_it_was() -> None:
    """A digest that changes with the version of Amun would rebuild every environment there is."""
    digest = environment_digest({"Dockerfile": b"FROM debian\n"}, "sha256:00")
    assert digest == "sha256:fb623e8070fc6ce3c1e96cd2d9934444ffac5e660cd87964011f1d556393d241"


@given(contexts, bases)
def test_order_does_not_matter(context: dict[str, bytes], base: str | None) -> None:
    digest = environment_digest(context, base)
    assert re.fullmatch("sha256:[0-9a-f]{64}", digest)
    assert environment_digest(dict(reversed(context.items())), base) == digest


@given(contexts, bases, contexts, bases)
def test_whatever_differs_changes_it(
    context: dict[str, bytes], base: str | None, other: dict[str, bytes], other_base: str | None
) -> None:
    assume((context, base) != (other, other_base))
    assert environment_digest(context, base) != environment_digest(other, other_base)


def test_bytes_cannot_move_from_a_name_to_its_content_or_to_the_next_file() -> None:
    contexts = [{"a": b"bc"}, {"ab": b"c"}, {"a": b"", "b": b"c"}, {"a": b"b", "c": b""}, {}, {"": b""}]
    assert len({environment_digest(context, base) for context in contexts for base in (None, "b")}) == 12
