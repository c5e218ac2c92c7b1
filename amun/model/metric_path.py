"""Metric paths: which number of a JSON object, in one line of text.

Keys are joined by ``.``, the element of a list is ``[0]``; a key that is empty or contains ``.``, ``[``, ``]`` or ``"``
is written ``["as a JSON string"]``. Every number has one path, and a path names one number at most.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Step = str | int
"""A key of an object, or an index of a list."""

_PART = re.compile(r'\[(?P<index>0|[1-9][0-9]*)\]|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]|(?P<dot>\.?)(?P<key>[^.\[\]"]+)')
_HALF = re.compile("[\ud800-\udfff]")
_QUOTE = re.compile(rf'[.\[\]"]|{_HALF.pattern}')


LONGEST = 500
"""Characters of a path. A number under longer keys has a path too long for any use, and is passed over."""

MOST_NOT_FINITE = 1000
"""Paths of numbers that are not finite that are told of one document."""


def numbers(document: Mapping[str, object], most: int | None = None) -> Iterator[tuple[str, float]]:
    """Yield path and value of every finite number in a JSON object, in its own order.

    Booleans are no numbers, nor are integers beyond the range of a double.

    :param most: values of any kind that are looked at; None for all.
    """
    # Not recursive: how deep it is nested is the script's choice. Levels are iterators; each has the path before it.
    levels = [_children("", document)]
    left = math.inf if most is None else most
    while levels:
        for path, value in levels[-1]:
            left -= 1
            if left < 0:
                return
            if len(path) > LONGEST:
                continue
            if isinstance(value, Mapping | list):
                levels.append(_children(path, value))
                break
            if (number := finite(value)) is not None:
                yield path, number
        else:
            levels.pop()


def _children(path: str, value: Mapping[str, object] | list[object]) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        return ((path + _written(key, first=not path), child) for key, child in value.items())
    return ((f"{path}[{index}]", child) for index, child in enumerate(value))


def _written(key: str, first: bool) -> str:
    if key and not _QUOTE.search(key):
        return key if first else f".{key}"
    # Half a surrogate pair cannot be written in UTF-8 unless it is escaped.
    return f"[{json.dumps(key, ensure_ascii=bool(_HALF.search(key)))}]"


def finite(value: object) -> float | None:
    """The number that a JSON value is, as a double; None for anything else. Minus zero is zero."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number + 0.0 if math.isfinite(number) else None


def take_not_finite(document: dict[str, Any]) -> list[str]:
    """Put None in the place of every NaN and infinity in a JSON object; returns their paths, in its own order.

    Paths longer than `LONGEST`, and those after the first `MOST_NOT_FINITE`, are not told.
    """
    paths: list[str] = []

    def take(value: Any, before: tuple[Step, ...]) -> None:
        # Recursive: whoever read the document has limited how deep it is.
        for step, child in list(value.items() if isinstance(value, dict) else enumerate(value)):
            if isinstance(child, dict | list):
                take(child, (*before, step))
            elif isinstance(child, float) and not math.isfinite(child):
                value[step] = None
                steps = (*before, step)
                if len(paths) < MOST_NOT_FINITE and sum(len(str(one)) for one in steps) <= LONGEST:
                    paths.append(written(steps))

    take(document, ())
    return [path for path in paths if len(path) <= LONGEST]


def written(steps: Sequence[Step]) -> str:
    """Return the path of these keys and indices."""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else _written(step, first=not path)
    return path


def read(path: str) -> tuple[Step, ...] | None:
    """Return the keys and indices of a path, None where it is none."""
    steps: list[Step] = []
    at = 0
    while at < len(path):
        part = _PART.match(path, at)
        if part is None or (part["key"] and bool(part["dot"]) != bool(steps)):
            return None
        try:
            steps.append(_step(part))
        except ValueError:
            return None
        at = part.end()
    return tuple(steps) if steps and isinstance(steps[0], str) else None


def _step(part: re.Match[str]) -> Step:
    if part["index"]:
        return int(part["index"])
    key: str = json.loads(part["quoted"]) if part["quoted"] else part["key"]
    return key


def canonical(path: str) -> str:
    """Return the one way to write this path; what is no path stays as it is."""
    steps = read(path)
    return path if steps is None else written(steps)
