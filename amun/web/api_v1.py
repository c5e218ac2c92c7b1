"""The operations of openapi/openapi.yaml, by operationId: unpack, one call, pack. No logic, no engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask

from amun import __version__
from amun.application.inspections import Inspections
from amun.auth.callers import Caller, caller_of
from amun.model import status
from amun.telemetry import metrics
from amun.validation import schema

from .script_fetching import fetched

CONFIDENCE = 0.95

Document = dict[str, Any]
Answer = tuple[Document, int] | tuple[Document, int, dict[str, str]]


def _inspections() -> Inspections:
    """The inspections, as whoever asks may see them."""
    seen_by: Callable[[Caller], Inspections] = flask.current_app.extensions["amun"]
    return seen_by(caller_of(flask.request.environ["asgi.scope"]))


def get_version() -> Answer:
    """Version of the contract and of the service."""
    return {"version": schema.document()["info"]["version"], "service_version": __version__}, 200


def get_hardware() -> Answer:
    """The kinds of node there are."""
    return {"hardware": [vars(node) for node in _inspections().engine.nodes()], "parameters": {}}, 200


def post_generate_dockerfile(specification: Document) -> Answer:
    """The Dockerfile of a specification, and the other files of its build context."""
    context, read = _inspections().build_context(specification)
    files = {name: content.decode() for name, content in context.items()}
    return {"dockerfile": files.pop("Dockerfile"), "context": files, "parameters": read.to_document()}, 200


def post_inspection(specification: Document, dry_run: bool = False) -> Answer:
    """Accept a specification, or say what would become of it."""
    script = fetched(flask.request.environ["asgi.scope"])
    if dry_run:
        return _inspections().dry_run(specification, looked_up=script is not None), 200
    accepted, read = _inspections().submit(specification, flask.request.headers.get("Idempotency-Key"), script)
    metrics.accepted(accepted)
    answer = {
        "inspection_id": accepted.id,
        "parameters": read.to_document(),
        "build_created": True,
        "job_created": read.script is not None,
        "cached": accepted.cached,
    }
    return answer, 202, {"Location": f"{flask.request.path.rstrip('/')}/{accepted.id}"}


def get_inspection(page: int = 1, limit: int = 100, phase: str | None = None, identifier: str | None = None) -> Answer:
    """One page of inspections, newest first."""
    items, total = _inspections().page(page, limit, phase, identifier)
    ids = [item["inspection_id"] for item in items]
    return {"inspections": ids, "items": items, "total": total, "parameters": {"page": page, "limit": limit}}, 200


def get_inspection_detail(inspection_id: str) -> Answer:
    """Everything at once."""
    return {**_inspections().detail(inspection_id), "parameters": {"inspection_id": inspection_id}}, 200


def delete_inspection(inspection_id: str) -> Answer:
    """Stop what runs, then forget."""
    _inspections().delete(inspection_id)
    return {"parameters": {"inspection_id": inspection_id}}, 202


def cancel_inspection(inspection_id: str) -> Answer:
    """Stop what runs, keep logs and status."""
    _inspections().cancel(inspection_id)
    return {"parameters": {"inspection_id": inspection_id}}, 202


def get_inspection_status(inspection_id: str) -> Answer:
    """Where it stands."""
    return status.to_document(_inspections().observe(inspection_id)), 200


def get_inspection_specification(inspection_id: str) -> Answer:
    """What was posted, with every default."""
    inspection = _inspections().declared(inspection_id)
    return {
        "specification": inspection.specification.to_document(),
        "created": inspection.created,
        "parameters": {"inspection_id": inspection_id},
    }, 200


def get_inspection_summary(inspection_id: str, clean: bool = False, confidence: float = CONFIDENCE) -> Answer:
    """What its items measured, in numbers."""
    parameters = {"inspection_id": inspection_id, "clean": clean, "confidence": confidence}
    return {**_inspections().summary(inspection_id, clean, confidence), "parameters": parameters}, 200


def post_compare(request: Document) -> Answer:
    """Whether inspections really differ."""
    found = _inspections().compare(
        request["inspections"],
        request.get("metrics"),
        clean=bool(request.get("clean")),
        confidence=request.get("confidence") or CONFIDENCE,
        allow_unlike=bool(request.get("allow_unlike")),
    )
    return {**found, "parameters": request}, 200


def get_inspection_build_log(inspection_id: str, offset: int = 0, **_following: Any) -> Answer:
    """The build's log so far. Plain text and following are served by `amun.web.log_streaming`."""
    log = b"".join(_inspections().build_log(inspection_id, offset)).decode(errors="replace")
    return _json({"log": log, "parameters": {"inspection_id": inspection_id}})


def get_inspection_job_log(inspection_id: str, **_following: Any) -> Answer:
    """The report of item 0. Plain text and following are served by `amun.web.log_streaming`."""
    return _report("log", inspection_id, 0, {"inspection_id": inspection_id})


def get_inspection_job_item_log(inspection_id: str, item: int, **_following: Any) -> Answer:
    """The report of an item. Plain text and following are served by `amun.web.log_streaming`."""
    return _report("log", inspection_id, item, {"inspection_id": inspection_id, "item": item})


def get_inspection_job_result(inspection_id: str, item: int) -> Answer:
    """The report of an item."""
    return _report("result", inspection_id, item, {"inspection_id": inspection_id, "item": item})


def _report(name: str, inspection_id: str, item: int, parameters: Document) -> Answer:
    report = _inspections().report(inspection_id, item)
    if report is None:
        return _json({"error": f"Item {item} is not over yet.", "parameters": parameters}, 202)
    return _json({name: report, "parameters": parameters})


def _json(document: Document, code: int = 200) -> Answer:
    # These operations also produce plain text, so Connexion does not choose the type by itself.
    return document, code, {"Content-Type": "application/json"}


def get_inspection_job_batch_size(inspection_id: str) -> Answer:
    """How many items there are: 0 without a script."""
    items = _inspections().observe(inspection_id).inspection.items
    return {"batch_size": len(items), "parameters": {"inspection_id": inspection_id}}, 200
