"""The one place that names engines and archives, and puts the service together as the settings say."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import archive
from .auth import configuration
from .extras import require

if TYPE_CHECKING:
    import connexion

    from amun.auth.callers import Reviewer
    from amun.engines.base import Engine

    from .settings import Settings

ENGINES = {
    "podman": "amun.engines.podman.engine:PodmanEngine",
    "openshift": "amun.engines.openshift.engine:OpenShiftEngine",
}
"""Engines by name; the library of one is imported only when it is chosen."""


def create_app(
    settings: Settings, engine: Engine | None = None, reviewer: Reviewer | None = None
) -> connexion.FlaskApp:
    """The ASGI application. Give it an `engine` or a `reviewer` to use others than those that the settings name."""
    from .telemetry import logs
    from .web import app

    logs.configure(settings.log_level, settings.log_format)
    reviewer, limits = reviewer or configuration.reviewer(settings), configuration.limits(settings)
    return app.create_app(settings, engine or load_engine(settings), reviewer, limits)


def check_extras(settings: Settings) -> None:
    """Raise `MissingExtra` where the packages for the engine or the archive of these settings are not installed."""
    if settings.on_cluster:
        require("kubernetes", "cluster")
    if settings.archive.startswith("s3://"):
        require("boto3", "s3")


def load_engine(settings: Settings) -> Engine:
    """The engine that the settings name, with the archive that they name behind it.

    Raises ValueError for a name there is no engine of.
    """
    engine = _load(settings)
    kept = archive.load(settings)
    if kept is None:
        return engine
    from amun.archive.engine import Archived

    return Archived(engine, kept)


def _load(settings: Settings) -> Engine:
    name = _choose(settings) if settings.engine == "auto" else settings.engine
    if name not in ENGINES:
        raise ValueError(f"AMUN_ENGINE is {name!r}; there are: auto, {', '.join(ENGINES)}.")
    module, _, attribute = ENGINES[name].partition(":")
    engine: Engine = getattr(import_module(module), attribute)(settings)
    return engine


def _choose(settings: Settings) -> str:
    """`openshift` in a cluster, or where a kubeconfig was named, which must then have its build API; else `podman`.

    Raises ValueError for a cluster on which nothing can be built.
    """
    if not settings.on_cluster:
        return "podman"
    from amun.engines.kubernetes import api_client  # takes most of a second to import

    if lacks := api_client.connect(settings).lacks():
        what = " and ".join(lacks)
        raise ValueError(f"This cluster does not serve {what}: set AMUN_ENGINE=podman, or use an OpenShift.")
    return "openshift"
