"""The schemas of the real servers, and what strict field validation by them refuses.

`schemas.json.gz` is made by `reduce.py`. A schema says which fields there are and of which type; what values mean to
each other is `validation.py`'s.
"""

from __future__ import annotations

import base64
import binascii
import functools
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]

QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
NOT_A_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
_QUANTITY = re.compile(r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]+)?$")
_BITS = {"int32": 31, "int64": 63, None: 63}
_TYPES = {str: "string", bool: "bool", int: "number", float: "number", dict: "object", list: "array"}


@dataclass(frozen=True)
class Problem:
    """What is wrong with one field: `unknown` ones are refused by strict validation alone, others always."""

    path: str
    message: str
    unknown: bool = False


@functools.cache
def _load() -> dict[str, Any]:
    packed = (Path(__file__).parent / "schemas.json.gz").read_bytes()
    loaded: dict[str, Any] = json.loads(gzip.decompress(packed))
    return loaded


def schema_of(api_version: str, kind: str) -> Schema | None:
    """The schema of a kind, None if it is not at hand."""
    name = _load()["kinds"].get(f"{api_version}/{kind}")
    return _load()["schemas"][name] if name else None


def resolve(schema: Schema) -> Schema:
    """A schema, or the one it refers to."""
    found: Schema = _load()["schemas"][schema["ref"]] if "ref" in schema else schema
    return found


def problems(document: Mapping[str, Any]) -> list[str]:
    """What a server with ``fieldValidation=Strict`` would say of a document, in its words; nothing if it takes it."""
    schema = schema_of(document.get("apiVersion", ""), document.get("kind", ""))
    if schema is None:
        return [f'no kind "{document.get("kind")}" is registered for version "{document.get("apiVersion")}"']
    found = list(check(document, schema))
    unknown = [problem.message for problem in found if problem.unknown]
    strict = [f"strict decoding error: {', '.join(unknown)}"] if unknown else []
    return [problem.message for problem in found if not problem.unknown] + strict


def prune(value: Any, schema: Schema) -> Any:
    """A value as a server reads it: without what the schema does not know, and without nulls."""
    schema = resolve(schema)
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return {key: prune(item, known[key]) for key, item in value.items() if key in known and item is not None}
    if isinstance(value, list) and "items" in schema:
        return [prune(item, schema["items"]) for item in value]
    return value


def check(value: Any, schema: Schema, path: str = "", struct: str = "") -> Iterator[Problem]:
    """All that is wrong with a value. As in Go, null is the same as nothing."""
    if value is None:
        return
    if schema.get("ref") == QUANTITY:
        yield from _quantity(value, path)
        return
    struct = schema.get("ref", struct).rpartition(".")[2]
    schema = resolve(schema)
    if "properties" in schema:
        yield from _object(value, schema, path, struct)
    elif isinstance(schema.get("additionalProperties"), Mapping):
        yield from _map(value, schema, path, struct)
    elif schema.get("type") == "array":
        yield from _array(value, schema, path, struct)
    elif expected := _mistyped(value, schema):
        yield Problem(path, _unmarshal(value, struct, path, expected))


def _object(value: Any, schema: Schema, path: str, struct: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, _unmarshal(value, struct, path, f"v1.{struct}"))
        return
    for key, item in value.items():
        inner = f"{path}.{key}" if path else key
        if key in schema["properties"]:
            yield from check(item, schema["properties"][key], inner, struct)
        else:
            yield Problem(inner, f'unknown field "{inner}"', unknown=True)


def _map(value: Any, schema: Schema, path: str, struct: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(path, _unmarshal(value, struct, path, "map[string]string"))
        return
    for key, item in value.items():
        yield from check(item, schema["additionalProperties"], f"{path}.{key}", struct)


def _array(value: Any, schema: Schema, path: str, struct: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(path, _unmarshal(value, struct, path, "[]" + str(schema["items"].get("type", "object"))))
        return
    for index, item in enumerate(value):
        yield from check(item, schema["items"], f"{path}[{index}]", struct)


def _mistyped(value: Any, schema: Schema) -> str | None:
    """The Go type that was expected, None if the value is of it."""
    kind, form = schema.get("type"), schema.get("format")
    if form == "int-or-string":
        return None if isinstance(value, str) or _integer(value, "int32") else "intstr.IntOrString"
    if kind == "string":
        return None if isinstance(value, str) and _formatted(value, form) else "string"
    if kind == "integer":
        return None if _integer(value, form) else str(form or "int64")
    if kind == "boolean":
        return None if isinstance(value, bool) else "bool"
    if kind == "number":
        return None if isinstance(value, int | float) and not isinstance(value, bool) else "float64"
    return None if kind != "object" or isinstance(value, Mapping) else "map[string]interface {}"


def _integer(value: Any, form: str | None) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2 ** _BITS[form]


def _formatted(value: str, form: str | None) -> bool:
    try:
        if form == "byte":
            base64.b64decode(value.replace("\n", ""), validate=True)
        elif form == "date-time":
            datetime.fromisoformat(value)
            return "T" in value
    except (ValueError, binascii.Error):
        return False
    return True


def _quantity(value: Any, path: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not _QUANTITY.match(str(value)):
        yield Problem(path, NOT_A_QUANTITY)


def _unmarshal(value: Any, struct: str, path: str, expected: str) -> str:
    given = _TYPES.get(type(value), "string")
    return f"json: cannot unmarshal {given} into Go struct field {struct}.{path} of type {expected}"
