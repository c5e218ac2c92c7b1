"""From the body of a request to an object: what cannot be read is refused, what is unknown is dropped or refused."""

from __future__ import annotations

import json
from typing import Any

from tests.cluster import errors
from tests.cluster.objects.kinds import Kind
from tests.cluster.rules import schemas

from .routes import Request

Document = dict[str, Any]

LIMIT = 3 * 1024 * 1024


def body(request: Request) -> Any:
    """What the body says. Raises `ApiError` 400, 413."""
    if len(request.body) > LIMIT:
        message = f"Request entity too large: limit is {LIMIT}"
        raise errors.ApiError(413, "RequestEntityTooLarge", message)
    try:
        return json.loads(request.body) if request.body else {}
    except ValueError as exc:
        raise errors.bad_request(f"couldn't get version/kind; json parse error: {exc}") from exc


def document(request: Request, kind: Kind, value: Any, warnings: list[str]) -> Document:
    """A value as an object of a kind; what it should not have goes to `warnings`, or is refused if asked to be."""
    if not isinstance(value, dict):
        why = f"json: cannot unmarshal {type(value).__name__} into Go value of type v1.{kind.name}"
        raise errors.undecodable(kind, why)
    given = value.get("kind", kind.name), value.get("apiVersion", kind.api_version)
    if given != (kind.name, kind.api_version):
        message = f'{given[0]} in version "{given[1]}" cannot be handled as a {kind.name}'
        raise errors.bad_request(f"{message}: the object provided is unrecognized")
    named = {"kind": kind.name, "apiVersion": kind.api_version, **value}
    schema = schemas.schema_of(kind.api_version, kind.name)
    return named if schema is None else _checked(request, kind, named, schema, warnings)


def _checked(request: Request, kind: Kind, value: Document, schema: schemas.Schema, warnings: list[str]) -> Document:
    found = list(schemas.check(value, schema))
    wrong = [problem.message for problem in found if not problem.unknown]
    if wrong:
        raise errors.undecodable(kind, wrong[0])
    unknown = [problem.message for problem in found if problem.unknown]
    how = request.query.get("fieldValidation", "Warn")
    if unknown and how == "Strict":
        raise errors.undecodable(kind, f"strict decoding error: {', '.join(unknown)}")
    if how == "Warn":
        warnings += unknown
    pruned: Document = schemas.prune(value, schema)
    return pruned
