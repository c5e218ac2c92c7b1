"""Errors as answers: whatever refuses a request, the body is ``{error, parameters, details?}``.

There are three kinds, and two places they come up in: our own (`AmunError`), Werkzeug's (Flask's routing) and
Connexion's (validation); inside Flask, and before it.
"""

from __future__ import annotations

import http
import json
from typing import Any

import flask
from connexion import FlaskApp
from connexion.exceptions import ProblemException
from connexion.lifecycle import ConnexionRequest, ConnexionResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from werkzeug.exceptions import HTTPException

from amun.environments.logins import hidden
from amun.errors import INTERNAL, AmunError
from amun.telemetry.logs import logger
from amun.validation import schema

SENTENCES = {
    404: "There is nothing at this path.",
    405: "This path does not take that method.",
    413: "The request is too large.",
    415: "The body must be application/json.",
}


ECHO_MAX = 64 * 1024
"""Bytes of what was sent that are sent back with an error."""


def body(error: str, parameters: object = None, refused: AmunError | None = None) -> dict[str, Any]:
    """The body of every 4xx and 5xx."""
    document: dict[str, Any] = {"error": hidden(error), "parameters": _echoed(parameters)}
    if refused is not None and refused.details:
        document["details"] = json.loads(hidden(json.dumps([each.to_document() for each in refused.details])))
        if refused.details_omitted:
            document["details_omitted"] = refused.details_omitted
    return document


def _echoed(parameters: object) -> dict[str, Any]:
    """What was sent, without the passwords in its URLs; nothing if it is long or, as NaN, cannot be sent back."""
    try:
        text = json.dumps(parameters, allow_nan=False)
        echoed: Any = json.loads(hidden(text)) if len(text) <= ECHO_MAX else {}
    except (ValueError, RecursionError):
        return {}
    return echoed if isinstance(echoed, dict) else {}


def _refused(exc: AmunError, sent: dict[str, Any]) -> dict[str, Any]:
    return body(str(exc), exc.parameters or sent, exc)


def _sentence(status: int, detail: str | None) -> str:
    return SENTENCES.get(status) or detail or http.HTTPStatus(status).phrase


def _from_flask(exc: Exception) -> flask.typing.ResponseReturnValue:
    sent = {**(flask.request.view_args or {}), **flask.request.args}
    match exc:
        case AmunError():
            return _refused(exc, sent), exc.status, dict(exc.headers)
        case HTTPException(code=int() as code):
            headers = {name: value for name, value in exc.get_headers() if name in ("Allow", "Location", "Retry-After")}
            return body(_sentence(code, exc.description), sent), code, headers
    _log(exc)
    return body(INTERNAL, sent), 500


def _from_connexion(request: ConnexionRequest, exc: Exception) -> ConnexionResponse:
    sent = {**request.path_params, **request.query_params}
    match exc:
        case AmunError():
            return _response(exc.status, _refused(exc, sent), exc.headers)
        case ProblemException(status=int() as status) if status < 500:
            return _response(status, body(_sentence(status, exc.detail), sent), exc.headers)
        case StarletteHTTPException(status_code=405) if methods := schema.methods(request.url.path):
            # Starlette knows the methods of the first operation at the path only.
            headers = {"Allow": ", ".join([*methods, "HEAD"] if "GET" in methods else methods)}
            return _response(405, body(SENTENCES[405], sent), headers)
        case StarletteHTTPException(status_code=status) if status < 500:
            return _response(status, body(_sentence(status, exc.detail), sent), exc.headers)
        case ClientDisconnect():  # nobody is there to read it
            return _response(400, body("The request ended before its body did."))
    _log(exc)
    return _response(500, body(INTERNAL, sent))


def _response(status: int, document: dict[str, Any], headers: Any = None) -> ConnexionResponse:
    return ConnexionResponse(
        status_code=status,
        content_type="application/json",
        mimetype="application/json",
        body=json.dumps(document),
        headers=dict(headers or {}),
    )


def _log(exc: Exception) -> None:
    logger.error("request failed", exc_info=exc)


def register(app: FlaskApp) -> None:
    """Answer every error of `app` in the one shape."""
    in_flask: tuple[type[Exception], ...] = (AmunError, HTTPException, Exception)
    for kind in in_flask:
        app.app.register_error_handler(kind, _from_flask)
    before_flask: tuple[type[Exception], ...] = (AmunError, ProblemException, StarletteHTTPException, Exception)
    for kind in before_flask:
        app.add_error_handler(kind, _from_connexion)
