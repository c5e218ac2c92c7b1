"""What a patch makes of an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def merge(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


FORMS: dict[str, Callable[[Any, Any], Any]] = {"merge": merge}
