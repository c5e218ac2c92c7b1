"""The credential in a request's headers: one, and well formed, or none at all.

Two credentials, or one that two readers might read differently, are refused: whoever sits between the caller and the
service may have looked at the other one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from amun.errors import Unauthenticated

MAX = 8192
"""Bytes a credential may have; the largest tokens of clusters have two or three thousand."""

_BEARER = re.compile(rb"bearer +(\S+)", re.IGNORECASE)
_CREDENTIAL = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # token68 of RFC 9110

MISSING = "A credential is missing: send the header `Authorization: Bearer TOKEN`."
SEVERAL = "There is more than one credential in the request: send one."
MALFORMED = "The credential is not well formed: send the header `Authorization: Bearer TOKEN`."


def credential(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The token of ``Authorization: Bearer``, or what ``X-API-Key`` says. Raises `Unauthenticated`."""
    found = [(name, value) for name, value in headers if name.lower() in (b"authorization", b"x-api-key")]
    if not found:
        raise Unauthenticated(MISSING)
    if len(found) > 1:
        raise Unauthenticated(SEVERAL)
    ((name, value),) = found
    value = value.strip(b" \t")  # which is no part of it, and not every server takes it away
    if name.lower() == b"authorization":
        bearer = _BEARER.fullmatch(value)
        value = bearer[1] if bearer else b""
    if len(value) > MAX or not _CREDENTIAL.fullmatch(value):
        raise Unauthenticated(MALFORMED)
    return value.decode("ascii")
