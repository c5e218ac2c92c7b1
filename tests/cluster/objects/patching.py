"""What a patch makes of an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster import errors
from tests.cluster.rules import schemas

from .entries import clone

Schema = Mapping[str, Any]
ANYTHING: Schema = {}
NOT_APPLIED = "the server rejected our request due to an error in our request"  # and no more than that


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


def strategic(target: dict[str, Any], patch: dict[str, Any]) -> Any:
    """A strategic merge patch: lists are merged by the keys that the schema names, or replaced."""
    schema = schemas.schema_of(target.get("apiVersion", ""), target.get("kind", "")) or ANYTHING
    return _strategic(target, patch, schemas.resolve(schema))


def _strategic(target: Any, patch: Any, schema: Schema) -> Any:
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or ANYTHING
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            merged[name] = [item for item in merged.get(name) or [] if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            merged.pop(key, None)
        elif isinstance(value, list):
            merged[key] = _list(merged.get(key) or [], value, inner)
        else:
            merged[key] = _strategic(merged.get(key), value, schemas.resolve(inner))
    return merged


def _list(target: list[Any], patch: list[Any], schema: Schema) -> list[Any]:
    if "merge" not in str(schema.get("x-kubernetes-patch-strategy", "")):
        return patch
    name = schema.get("x-kubernetes-patch-merge-key")
    if name is None:
        return target + [item for item in patch if item not in target]
    merged = list(target)
    for item in patch:
        place = next((i for i, old in enumerate(merged) if old.get(name) == item.get(name)), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(name) != item.get(name)]
        elif item.get("$patch") == "replace":
            return [other for other in patch if other.get("$patch") != "replace"]
        elif place is None:
            merged.append(item)
        else:
            merged[place] = _strategic(merged[place], item, schemas.resolve(schema.get("items", ANYTHING)))
    return merged


def json_patch(target: dict[str, Any], patch: list[dict[str, Any]]) -> Any:
    """A JSON patch (RFC 6902). A test that fails, or a path that is not there: 422."""
    document: Any = {"": clone(target)}  # a root, so that even the whole document has a parent
    for operation in patch:
        try:
            _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as exc:
            raise errors.ApiError(422, "Invalid", NOT_APPLIED, {}) from exc
    return document[""]


def _operate(document: Any, operation: Mapping[str, Any]) -> None:
    verb, (parent, last) = operation["op"], _parent(document, operation["path"])
    if verb == "test":
        if _child(parent, last, None) != operation.get("value"):
            raise ValueError(f"testing value {operation['path']} failed")
        return
    if verb in ("move", "copy"):
        source, name = _parent(document, operation["from"])
        value = clone(_child(source, name))
        if verb == "move":
            del source[_index(source, name)]
            parent, last = _parent(document, operation["path"])
        _add(parent, last, value)
    elif verb == "add":
        _add(parent, last, operation["value"])
    elif verb == "replace":
        _child(parent, last)
        parent[_index(parent, last)] = operation["value"]
    elif verb == "remove":
        del parent[_index(parent, last)]
    else:
        raise errors.bad_request(f"Unexpected kind: {verb}")


def _parent(document: Any, path: str) -> tuple[Any, str]:
    """The container of what a JSON pointer points to, and its name in there."""
    names = [name.replace("~1", "/").replace("~0", "~") for name in path.split("/")]
    *outer, last = names
    for name in outer:
        document = _child(document, name)
    return document, last


_RAISE = object()


def _child(container: Any, name: str, default: Any = _RAISE) -> Any:
    try:
        return container[_index(container, name)]
    except (KeyError, IndexError):
        if default is _RAISE:
            raise
        return default


def _index(container: Any, name: str) -> Any:
    return int(name) if isinstance(container, list) else name


def _add(container: Any, name: str, value: Any) -> None:
    if isinstance(container, list):
        container.insert(len(container) if name == "-" else int(name), value)
    else:
        container[name] = value


FORMS: dict[str, Callable[[Any, Any], Any]] = {"merge": merge, "strategic": strategic, "json": json_patch}
