"""Values that were kept, made again of what JSON says of them."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter

from . import timestamps
from .inspection import BuildState, ItemState

MOMENT = ("_at", "created")
"""What the names of fields end in that hold a moment (RFC 3339)."""

Value = TypeVar("Value")


def restore(kind: type[Value], document: Any) -> Value:
    """A dataclass of what is kept of it. Fields that a later version has added are left out.

    Raises ValueError where a field is missing or of another type: nothing that is damaged is to fail later on.
    """
    value: Value = _adapter(kind).validate_python(document)  # type: ignore[arg-type] # a class is hashable
    for field in fields(value):  # type: ignore[arg-type]
        moment = getattr(value, field.name)
        if field.name.endswith(MOMENT) and moment is not None and not timestamps.is_moment(moment):
            raise ValueError(f"{field.name} is no moment")
    if isinstance(value, BuildState | ItemState) and value.state == "terminated" and value.outcome is None:
        raise ValueError("it is over, and came to nothing")
    if isinstance(value, ItemState) and value.attempt < 1:
        raise ValueError("attempts count from 1")
    return value


@functools.cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
