"""What objects of any kind must be like: names, labels, owners; and what a ConfigMap may hold."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tests.cluster.objects.kinds import Kind

from . import schemas

Cause = tuple[str, str, str]  # path of the field, reason, message

CONFIGMAP_LIMIT = 1024 * 1024
ANNOTATIONS_LIMIT = 256 * 1024

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = rf"({_QUALIFIED})?"
_KEY = r"[-._a-zA-Z0-9]+"
_USED = "regex used for validation is"
BAD_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    f" an alphanumeric character (e.g. 'my-name',  or '123-abc', {_USED} '{_LABEL}')"
)
BAD_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    f" end with an alphanumeric character (e.g. 'example.com', {_USED} '{_SUBDOMAIN}')"
)
BAD_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    f" character (e.g. 'MyName',  or 'my.name',  or '123-abc', {_USED} '{_QUALIFIED}')"
)
BAD_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    f" end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', {_USED} '{_VALUE}')"
)
BAD_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
    f"  or 'key-name', {_USED} '{_KEY}')"
)


def bad(path: str, value: Any, why: str) -> Cause:
    return path, "FieldValueInvalid", f"Invalid value: {_shown(value)}: {why}"


def required(path: str, why: str = "") -> Cause:
    return path, "FieldValueRequired", f"Required value{': ' + why if why else ''}"


def unsupported(path: str, value: Any, *supported: str) -> Cause:
    listed = ", ".join(f'"{word}"' for word in supported)
    return path, "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {listed}"


def forbidden(path: str, why: str) -> Cause:
    return path, "FieldValueForbidden", f"Forbidden: {why}"


def too_long(path: str, limit: int) -> Cause:
    return path, "FieldValueTooLong", f"Too long: must have at most {limit} bytes"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def is_label(name: str) -> list[str]:
    """What is wrong with a name that must be a DNS label."""
    return _wrong(name, _LABEL, 63, BAD_LABEL)


def is_subdomain(name: str) -> list[str]:
    """What is wrong with a name that must be a DNS subdomain."""
    return _wrong(name, _SUBDOMAIN, 253, BAD_SUBDOMAIN)


def _wrong(name: str, pattern: str, longest: int, message: str) -> list[str]:
    found = [f"must be no more than {longest} characters"] if len(name.encode()) > longest else []
    return found if re.fullmatch(pattern, name) else [*found, message]


def metadata(kind: Kind, document: Mapping[str, Any]) -> Iterator[Cause]:
    """What is wrong with the metadata of an object."""
    given = document["metadata"]
    if not given.get("name"):
        yield required("metadata.name", "name or generateName is required")
    elif kind.name != "Image":  # these are named by their digests
        check = is_label if kind.name in ("Namespace", "Service") else is_subdomain
        yield from (bad("metadata.name", given["name"], why) for why in check(given["name"]))
    yield from labels(given.get("labels"), "metadata.labels")
    yield from _annotations(given.get("annotations") or {})
    yield from _owners(given.get("ownerReferences") or [])


def labels(given: Mapping[str, str] | None, path: str) -> Iterator[Cause]:
    """What is wrong with labels."""
    for key, value in (given or {}).items():
        yield from (bad(path, key, why) for why in _qualified(key))
        yield from (bad(path, value, why) for why in _wrong(value or "", _VALUE, 63, BAD_VALUE))


def _qualified(key: str) -> list[str]:
    prefix, slash, name = key.rpartition("/")
    found = [f"prefix part {why}" for why in is_subdomain(prefix)] if slash else []
    return found + [
        why if why == BAD_QUALIFIED else f"name part {why}" for why in _wrong(name, _QUALIFIED, 63, BAD_QUALIFIED)
    ]


def _annotations(given: Mapping[str, str]) -> Iterator[Cause]:
    for key in given:
        yield from (bad("metadata.annotations", key, why) for why in _qualified(key.lower()))
    if sum(len(key.encode()) + len((value or "").encode()) for key, value in given.items()) > ANNOTATIONS_LIMIT:
        yield too_long("metadata.annotations", ANNOTATIONS_LIMIT)


def _owners(given: list[Mapping[str, Any]]) -> Iterator[Cause]:
    for reference in given:
        for name in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(name):
                where = "metadata.ownerReferences" + ("" if name == "apiVersion" else f".{name}")
                yield bad(where, reference.get(name) or "", f"{name} must not be empty")
    if sum(bool(reference.get("controller")) for reference in given) > 1:
        yield bad("metadata.ownerReferences", given, "Only one reference can have Controller set to true.")


def enumerations(document: Mapping[str, Any]) -> Iterator[Cause]:
    """Words that are none of those there are."""
    schema = schemas.schema_of(str(document["apiVersion"]), str(document["kind"]))
    yield from _words(document, schema or {}, "")


def _words(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    schema = {**schemas.resolve(schema), **{k: v for k, v in schema.items() if k == "enum"}}
    if isinstance(value, dict):
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or {}
            yield from _words(item, inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _words(item, schema.get("items") or {}, f"{path}[{index}]")
    elif value and "enum" in schema and value not in schema["enum"]:
        yield unsupported(path, value, *sorted(schema["enum"]))


def config_map(document: Mapping[str, Any]) -> Iterator[Cause]:
    """What is wrong with what a ConfigMap holds."""
    text, binary = document.get("data") or {}, document.get("binaryData") or {}
    for path, keys in (("data", text), ("binaryData", binary)):
        for key in keys:
            yield from (bad(f"{path}[{key}]", key, why) for why in _config_key(key))
    for key in text.keys() & binary.keys():
        yield bad(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(len((value or "").encode()) for value in text.values())
    size += sum(len(base64.b64decode(value or "")) for value in binary.values())
    if size > CONFIGMAP_LIMIT:
        yield too_long("[]", CONFIGMAP_LIMIT)


def _config_key(key: str) -> list[str]:
    found = _wrong(key, _KEY, 253, BAD_KEY)
    if key in (".", ".."):
        found.append(f"must not be '{key}'")
    elif key.startswith(".."):
        found.append("must not start with '..'")
    return found


def secret(document: Mapping[str, Any]) -> Iterator[Cause]:
    """What is wrong with what a Secret holds (ValidateSecret in Kubernetes' pkg/apis/core/validation)."""
    data = document.get("data") or {}
    for key in data:
        yield from (bad(f"data[{key}]", key, why) for why in _config_key(key))
    if sum(len(base64.b64decode(value or "")) for value in data.values()) > CONFIGMAP_LIMIT:
        yield too_long("data", CONFIGMAP_LIMIT)


def immutable(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Cause]:
    """What of a ConfigMap or a Secret that is immutable was changed."""
    if old.get("immutable"):
        for name in ("immutable", "data", "binaryData"):
            if (old.get(name) or None) != (new.get(name) or None):
                yield forbidden(name, "field is immutable when `immutable` is set")
