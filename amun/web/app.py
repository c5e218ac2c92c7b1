"""The web service: Connexion on Flask, put together from its parts."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import connexion
import flask
from connexion.middleware import ConnexionMiddleware, MiddlewarePosition
from connexion.middleware.security import SecurityMiddleware
from connexion.options import SwaggerUIOptions
from connexion.resolver import Resolver
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics

from amun.application.inspections import Inspections
from amun.application.measurements import Measuring
from amun.auth.callers import Caller, Reviewer
from amun.auth.rate_limits import Limits
from amun.engines.base import Engine
from amun.pages.middleware import Pages
from amun.pages.session import Session
from amun.settings import Settings
from amun.telemetry import metrics
from amun.validation import schema

from . import api_v1, error_responses
from .allowed_hosts import Hosts, Names
from .authentication import Door, open_paths
from .connexion_validation import VALIDATORS
from .edge import Gate
from .health import Liveness, Readiness
from .log_streaming import PlainTextLogs
from .normalization import UniformRequests
from .script_fetching import Scripts


def create_app(settings: Settings, engine: Engine, reviewer: Reviewer | None, limits: Limits) -> connexion.FlaskApp:
    """The ASGI application, for callers whom `reviewer` knows; for everybody where there is none."""
    seen_by = partial(Inspections, engine, settings, limits=limits, measuring=Measuring(engine))
    app = connexion.FlaskApp(
        "amun",
        swagger_ui_options=SwaggerUIOptions(swagger_ui_path="/ui"),
        validator_map=VALIDATORS,
        strict_validation=True,
        # Who may come in is for the door to say, and nobody else.
        middlewares=[layer for layer in ConnexionMiddleware.default_middlewares if layer is not SecurityMiddleware],
    )
    described = copy.deepcopy(schema.document())  # what Connexion gets, it changes
    app.add_api(described, resolver=Resolver(partial(getattr, api_v1)), validate_responses=True)
    app.app.extensions["amun"] = seen_by
    error_responses.register(app)
    _add_pages(app.app, engine, Readiness(engine, reviewer))
    _add_layers(app, settings, reviewer, limits, seen_by)
    return app


def _add_layers(
    app: connexion.FlaskApp,
    settings: Settings,
    reviewer: Reviewer | None,
    limits: Limits,
    seen_by: Callable[[Caller], Inspections],
) -> None:
    """Put our ASGI layers around Connexion's, from the outside in; those of one position stand as they are added."""
    names = Names(settings)
    # Outermost: what any other layer answers, errors included, is counted, and no body is larger than the limit.
    app.add_middleware(Gate, position=MiddlewarePosition.BEFORE_EXCEPTION, request_limit=settings.request_limit)
    # Connexion's exception layer stands here: whatever is raised further in is answered in one shape.
    before_swagger = partial(app.add_middleware, position=MiddlewarePosition.BEFORE_SWAGGER)
    # First of what may refuse: a page of another origin learns nothing, not even whether a path is there.
    before_swagger(Hosts, names=names)
    # Before authentication, which then finds the cookie's credential where it finds all others.
    before_swagger(Session)
    # Before authentication: a page needs no credential, since it asks the API with the visitor's.
    before_swagger(Pages, service=app)
    # Whoever gets past is known, so every layer further in can ask who it is.
    paths = open_paths(metrics=not settings.metrics_auth)
    before_swagger(Door, reviewer=reviewer, limits=limits, names=names, open_paths=paths)
    # Before Connexion routes and validates: it understands one form of what may be written in several.
    before_swagger(UniformRequests)
    # Before routing: it must answer while every thread of Flask is busy.
    app.add_middleware(Liveness, position=MiddlewarePosition.BEFORE_ROUTING)
    # After validation, so that only URLs of valid documents are fetched, and before Flask, whose few threads
    # must not wait for other hosts or for readers of logs.
    before_context = partial(app.add_middleware, position=MiddlewarePosition.BEFORE_CONTEXT)
    before_context(Scripts, settings=settings)
    before_context(PlainTextLogs, seen_by=seen_by)


def _add_pages(app: flask.Flask, engine: Engine, readiness: Readiness) -> None:
    """What is there beside the API: probes, metrics, its paths."""
    requests = _request_metrics(app)

    @app.before_request
    def routed() -> None:
        """What Connexion's routes did not know, it did not check either, even if Flask's know it."""
        routing = flask.request.environ["asgi.scope"]["extensions"].get("connexion_routing", {})
        rule = flask.request.url_rule
        if rule is not None and schema.template(rule.rule) is not None and routing.get("operation_id") is None:
            flask.abort(404)

    @app.get("/api/v1", strict_slashes=False)
    def paths() -> Any:
        described = schema.document()
        return {"paths": [described["servers"][0]["url"] + path for path in described["paths"]]}

    @app.get("/readiness")
    def ready() -> Any:
        obstacle = readiness.obstacle()
        return ({"status": "ok"}, 200) if obstacle is None else (error_responses.body(obstacle), 503)

    @app.get("/metrics")
    def exposed() -> Any:
        return flask.Response(metrics.expose(lambda: vars(engine.queue()), requests), content_type=CONTENT_TYPE_LATEST)


def _request_metrics(app: flask.Flask) -> CollectorRegistry:
    """Measure the requests that reach Flask; returns where, if this is the only process."""
    registry = CollectorRegistry()
    PrometheusMetrics(app, path=None, group_by="url_rule", registry=registry)
    return registry
