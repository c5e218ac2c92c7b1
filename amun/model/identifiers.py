"""Inspection ids: ``inspection-IDENTIFIER-<16 hex digits>``, or ``inspection-<16 hex digits>`` without an identifier.

The hex digits are 64 random bits. The id names objects on a cluster, and engines add up to eight characters of their
own (``-build``, the index of an item), so id and addition together must be a DNS label: at most 63 characters of a-z,
0-9 and '-' (RFC 1123, which Kubernetes follows for names and for the values of labels). That leaves 27 characters to
the identifier, which is the value of a label too and so starts and ends with a letter or digit.
"""

from __future__ import annotations

import re
import secrets

LABEL_MAX = 63
SUFFIX_MAX = 8
RANDOM_BYTES = 8
PREFIX = "inspection-"
IDENTIFIER_MAX = LABEL_MAX - SUFFIX_MAX - len(PREFIX) - len("-") - 2 * RANDOM_BYTES
IDENTIFIER_RULE = (
    f"must be 1 to {IDENTIFIER_MAX} characters of a-z, 0-9 and '-', starting and ending with a letter or digit"
)

_IDENTIFIER = re.compile(rf"(?=.{{1,{IDENTIFIER_MAX}}}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_ID = re.compile(rf"{PREFIX}(?:(?P<identifier>[a-z0-9-]+)-)?[0-9a-f]{{{2 * RANDOM_BYTES}}}")


def is_identifier(text: str) -> bool:
    """Tell whether a caller may give this identifier."""
    return _IDENTIFIER.fullmatch(text) is not None


def new_id(identifier: str | None = None) -> str:
    """Make the id of a new inspection. Raises ValueError for an identifier that breaks the rule."""
    random = secrets.token_hex(RANDOM_BYTES)
    if identifier is None:
        return f"{PREFIX}{random}"
    if not is_identifier(identifier):
        raise ValueError(IDENTIFIER_RULE)
    return f"{PREFIX}{identifier}-{random}"


def is_valid(inspection_id: str) -> bool:
    """Tell whether `new_id` could have made this id; one that it could not have made names no inspection."""
    match = _ID.fullmatch(inspection_id)
    return match is not None and (match["identifier"] is None or is_identifier(match["identifier"]))


def identifier_of(inspection_id: str) -> str | None:
    """The identifier in an id, None if it has none."""
    match = _ID.fullmatch(inspection_id)
    return match["identifier"] if match else None
