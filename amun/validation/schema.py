"""The contract, `openapi/openapi.yaml`, as data: what the service serves and validates by.

Schemas are in the dialect of OpenAPI 3.0, which is JSON Schema draft 4 with `nullable`; here they are turned into plain
draft 4, so that jsonschema checks by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from amun import package_data

from . import formats, yaml_loader


def path() -> Path:
    """Where the file of the contract is."""
    return package_data.directory("openapi") / "openapi.yaml"


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Return the contract as it is written, read once; not to be changed."""
    content: dict[str, Any] = yaml_loader.load(path().read_text(encoding="utf-8"))
    return content


@lru_cache(maxsize=1)
def paths() -> dict[str, str]:
    """The path of each operation, by operationId, as it is written there, with the server's prefix."""
    prefix = document()["servers"][0]["url"]
    return {
        operation["operationId"]: prefix + path
        for path, operations in document()["paths"].items()
        for operation in operations.values()
        if isinstance(operation, dict)
    }


def template(path: str) -> str | None:
    """A path of the API as it is written there, with the server's prefix; None for any other."""
    return next((written for written, pattern in _templates().items() if pattern.fullmatch(path)), None)


@lru_cache(maxsize=1)
def _templates() -> dict[str, re.Pattern[str]]:
    prefix = document()["servers"][0]["url"]
    written = (prefix + path for path in document()["paths"])
    return {path: re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))) for path in written}


def methods(path: str) -> list[str]:
    """The methods that a path takes, in capitals; none if it is no path of the API."""
    prefix = document()["servers"][0]["url"]
    operations = document()["paths"].get((template(path) or "").removeprefix(prefix), {})
    return sorted(method.upper() for method, operation in operations.items() if isinstance(operation, dict))


@lru_cache
def schema(name: str) -> dict[str, Any]:
    """Return one of `components.schemas` as JSON Schema draft 4, its references resolved. Raises KeyError."""
    resolved: dict[str, Any] = _plain(document()["components"]["schemas"][name])
    return resolved


@lru_cache
def validator(name: str) -> jsonschema.Draft4Validator:
    """Return the validator of one schema; it knows the formats of formats.py."""
    made: jsonschema.Draft4Validator = _Validator(schema(name), format_checker=formats.CHECKER)
    return made


def _within(keyword: str, *limits: str) -> Any:
    """Return the check of a keyword that passes over what has more elements or characters than the schema allows.

    That there are too many is said; how each of them is wrong would take as long as a stranger likes.
    """
    check: Any = jsonschema.Draft4Validator.VALIDATORS[keyword]

    def checked(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Any:
        most = min((schema[limit] for limit in limits if limit in schema), default=None)
        if most is None or not isinstance(instance, str | list | dict) or len(instance) <= most:
            yield from check(validator, value, instance, schema) or ()

    return checked


def _unique(validator: Any, value: Any, instance: Any, schema: Mapping[str, Any]) -> Any:
    """Only strings are compared with each other here."""
    if isinstance(instance, list) and all(isinstance(item, str) for item in instance):
        yield from jsonschema.Draft4Validator.VALIDATORS["uniqueItems"](validator, value, instance, schema) or ()


_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft4Validator,
    {
        "additionalProperties": _within("additionalProperties", "maxProperties"),
        "format": _within("format", "maxLength"),
        "items": _within("items", "maxItems"),
        "pattern": _within("pattern", "maxLength"),
        "properties": _within("properties", "maxProperties"),
        "uniqueItems": _unique,
    },
)


def _plain(node: Any) -> Any:
    """Resolve references (there are no circles) and replace `nullable` by the type "null"."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "$ref" in node:
        return _plain(_at(node["$ref"]))
    plain = {key: _plain(value) for key, value in node.items() if key != "nullable"}
    if node.get("nullable") is True and "type" in plain:
        plain["type"] = [plain["type"], "null"]
    return plain


def _at(reference: str) -> Any:
    """Follow a reference within the document, such as ``#/components/schemas/Error``."""
    node: Any = document()
    for key in reference.removeprefix("#/").split("/"):
        node = node[key]
    return node
