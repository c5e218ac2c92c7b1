"""The least that Connexion can serve: what the service's own routes are compared with."""

from __future__ import annotations

from typing import Any

import connexion

ANSWERS: dict[str, Any] = {"responses": {"200": {"description": "What was asked for."}}}
BODY = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
ID = {"in": "path", "name": "inspection_id", "required": True, "schema": {"type": "string"}}
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "plain", "version": "1"},
    "paths": {
        "/status/{inspection_id}": {"get": {"operationId": "bench.plain.status", "parameters": [ID], **ANSWERS}},
        "/inspect": {"post": {"operationId": "bench.plain.submit", "requestBody": BODY, **ANSWERS}},
    },
}


def status(inspection_id: str) -> tuple[dict[str, Any], int]:
    return {"inspection_id": inspection_id}, 200


def submit(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    return {"inspection_id": str(len(body))}, 200


def create_app() -> connexion.FlaskApp:
    """The application, for gunicorn's ``bench.plain:create_app()``."""
    app = connexion.FlaskApp("plain")
    app.add_api(DOCUMENT)
    return app
