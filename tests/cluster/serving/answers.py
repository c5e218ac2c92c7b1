"""What is sent back: a whole answer, or a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster.errors import ApiError
from tests.cluster.objects.entries import encode

JSON = "application/json"
TEXT = "text/plain"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stream:
    """Chunks as they come; ``b""`` only asks whether the reader is still there."""

    chunks: Iterator[bytes]
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, encode(document), headers=headers or {})


def refusal(error: ApiError, headers: Mapping[str, str] | None = None) -> Answer:
    return json_answer(error.document, error.code, {**(headers or {}), **error.headers})
