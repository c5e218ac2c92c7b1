"""What is wrong with a posted document: every offending field at once, each with its JSON path and a sentence.

The schemas of openapi/openapi.yaml say what one field may be, with the formats of formats.py; rules.py says what the
fields of a specification must be to each other.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jsonschema

from . import contract
from .errors import Problem
from .rules import RULES, Found, Path

DEPTH_MAX = 64
"""Levels of objects and lists in a document; a Pipfile.lock needs seven."""

_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "an integer",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a string",
}


SPECIFICATION = "InspectionSpecification"


def problems(document: object, schema: str = SPECIFICATION) -> list[Problem]:
    """Return all that is wrong with a posted document, one problem a field, in the order of their paths.

    `schema` is the name of what it must be: a specification, which has rules besides, or another one.
    """
    found: dict[str, str] = {}
    checks: tuple[Callable[[object], Found], ...] = (
        _values,
        partial(_schema, schema),
        *(RULES if schema == SPECIFICATION else ()),
    )
    for check in (_depth,) if any(_depth(document)) else checks:
        for path, message in check(document):
            found.setdefault(json_path(path), message)
    return [Problem(path, message) for path, message in sorted(found.items())]


def json_path(path: Sequence[str | int]) -> str:
    """Write a path as a person would: ``files[0].path``; keys that are no plain words are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w@-]{1,80}", part, re.ASCII):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part[:80])}]"
    return text


def _schema(name: str, document: object) -> Found:
    for error in contract.validator(name).iter_errors(document):
        yield from _explain(error)


def _explain(error: jsonschema.ValidationError) -> Found:
    """Put an error of jsonschema into a sentence of ours; theirs repeat the value, which may be megabytes."""
    path: Path = tuple(error.absolute_path)
    schema: Any = error.schema
    instance: Any = error.instance
    limit: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            known = schema.get("properties", {})
            yield from (((*path, name), _unknown(name, known)) for name in instance if name not in known)
        case "required":
            yield from (((*path, name), "is required") for name in limit if name not in instance)
        case "format":
            yield path, str(error.cause)
        case "type":
            names = [limit] if isinstance(limit, str) else limit
            yield path, f"must be {' or '.join(_TYPES[name] for name in names if name != 'null')}"
        case "enum":
            yield path, f"must be one of {', '.join(value for value in limit if value is not None)}"
        case "minimum" | "maximum":
            yield path, f"must be at {'least' if error.validator == 'minimum' else 'most'} {limit}"
        case "minItems" if limit > 1:
            yield path, f"must have at least {limit} elements"
        case "minLength" | "minItems":
            yield path, "must not be empty"
        case "uniqueItems":
            yield path, "must not name one twice"
        case "maxLength" | "maxItems" | "maxProperties":
            yield path, f"must have at most {limit} {'characters' if error.validator == 'maxLength' else 'elements'}"
        case _:
            yield path, schema.get("x-message", "is not what the API's description says")


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name[:80], known, n=1)
    return f"unknown field; did you mean `{near[0]}`?" if near else "unknown field"


def _depth(document: object) -> Found:
    """Whoever reads the document further may recurse into it."""
    for path, _ in _walk(document):
        if len(path) > DEPTH_MAX:
            yield path[:1], f"must not be nested deeper than {DEPTH_MAX} levels"


def _values(document: object) -> Found:
    """No string may hold what UTF-8 cannot, or NUL, which ends strings elsewhere; no number what JSON cannot."""
    for path, value in _walk(document):
        if isinstance(value, float) and not math.isfinite(value):
            yield path, "must be a finite number"
        texts = value if isinstance(value, Mapping) else [value]
        for text in texts:
            if isinstance(text, str) and re.search("[\0\ud800-\udfff]", text):
                key = (text,) if text is not value else ()
                yield (*path, *key), "must not contain NUL or half a surrogate pair"


def _walk(document: object) -> Iterator[tuple[Path, object]]:
    """Return every value in the document with its path, down to one level more than may be."""
    pending: list[tuple[Path, object]] = [((), document)]
    while pending:
        path, value = pending.pop()
        yield path, value
        if len(path) > DEPTH_MAX:
            continue
        if isinstance(value, Mapping):
            pending += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            pending += [((*path, index), item) for index, item in enumerate(value)]
