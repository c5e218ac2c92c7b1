"""What is wrong with a posted document: every offending field at once, each with its JSON path and a sentence.

The schemas of openapi/openapi.yaml say what one field may be, with the formats of formats.py; rules.py says what the
fields of a specification must be to each other.
"""

from __future__ import annotations

import difflib
import heapq
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import jsonschema

from amun.errors import InvalidSpecification, Problem, Problems
from amun.model.specification import Defaults, Specification

from . import schema as contract
from .rules import RULES, Check, Found, Message, Path

DEPTH_MAX = 64
"""Levels of objects and lists in a document; a Pipfile.lock needs seven."""

VALUES_MAX = 100_000
"""Values in a document, those in lists and objects counted; a Pipfile.lock of 2000 packages has 60 000."""

PARSED_MAX = 200_000
"""Characters of all requirements, and of all markers of a lock."""

SHOWN = 100
"""Problems that are named; of the rest the number is told."""

PATH_MAX = 500
"""Characters of a path in an answer."""

_ELEMENTS = " elements"

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


def validated(document: object, defaults: Defaults | None = None) -> Specification:
    """The specification that a document is. Raises `InvalidSpecification`, which names every field that is wrong."""
    found = problems(document)
    if found or not isinstance(document, Mapping):
        raise InvalidSpecification(found)
    return Specification.from_document(document, defaults)


def problems(document: object, schema: str = SPECIFICATION) -> Problems:
    """Return what is wrong with a posted document, one problem a field, in the order of their paths: the first `SHOWN`.

    `schema` is the name of what it must be: a specification, which has rules besides, or another one. What takes long
    to look at is not: of too many values, levels, elements or characters that alone is said.
    """
    checks: tuple[Check, ...] = (_values, partial(_schema, schema), *(RULES if schema == SPECIFICATION else ()))
    limits: tuple[Check, ...] = (partial(_size, schema), _depth, _length)
    found: dict[str, Message] = {}
    unread: set[Path] = set()
    for check in next(([limit] for limit in limits if any(limit(document))), checks):
        for path, message in check(document):
            if unread and any(path[:length] in unread for length in range(len(path))):
                continue
            found.setdefault(json_path(path), message)
            if isinstance(message, str) and message.endswith(_ELEMENTS):
                unread.add(path)
    first = heapq.nsmallest(SHOWN, found)
    named = [Problem(path, told if isinstance(told := found[path], str) else told()) for path in first]
    return Problems(named, len(found) - len(named))


def json_path(path: Sequence[str | int]) -> str:
    """Write a path as a person would: ``files[0].path``; keys that are no plain words are quoted."""
    text = ""
    for part in path:
        if len(text) > PATH_MAX:
            break
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w@-]{1,80}", part, re.ASCII):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part[:80])}]"
    return text if len(text) <= PATH_MAX else f"{text[:PATH_MAX]}…"


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
            yield from (((*path, name), partial(_unknown, name, known)) for name in instance if name not in known)
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
        case "maxLength":
            yield path, f"must have at most {limit} characters"
        case "maxItems" | "maxProperties":
            yield path, f"must have at most {limit}{_ELEMENTS}"
        case _:
            yield path, schema.get("x-message", "is not what the API's description says")


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name[:80], known, n=1)
    return f"unknown field; did you mean `{near[0]}`?" if near else "unknown field"


def _size(name: str, document: object) -> Found:
    """Names the lists that are too long by themselves, else the whole."""
    if not _is_large(document):
        return
    given = document if isinstance(document, Mapping) else {}
    fields: dict[str, Any] = contract.schema(name)["properties"]
    most = {field: schema["maxItems"] for field, schema in fields.items() if "maxItems" in schema}
    long = [field for field in most if isinstance(given.get(field), list) and len(given[field]) > most[field]]
    yield from (((field,), f"must have at most {most[field]}{_ELEMENTS}") for field in long)
    if not long:
        yield (), f"must have at most {VALUES_MAX} values in all"


def _is_large(document: object) -> bool:
    """Counts the values, and no further than it must."""
    count, pending = 0, [document]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping | list):
            count += len(value)
            if count > VALUES_MAX:
                return True
            pending += value.values() if isinstance(value, Mapping) else value
    return False


def _length(document: object) -> Found:
    """Requirements and markers are parsed, which takes long."""
    given = document if isinstance(document, Mapping) else {}
    texts: dict[Path, Any] = {("python_packages",): given.get("python_packages")}
    lock: Path = ("python", "requirements_locked", "default")
    packages = reduce(lambda part, key: part.get(key) if isinstance(part, Mapping) else None, lock, document)
    if isinstance(packages, Mapping):
        texts[lock] = [entry.get("markers") for entry in packages.values() if isinstance(entry, Mapping)]
    for path, listed in texts.items():
        if isinstance(listed, list) and sum(len(text) for text in listed if isinstance(text, str)) > PARSED_MAX:
            yield path, f"must have at most {PARSED_MAX} characters of requirements or markers together"


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
