"""Engines by name; the library of an engine is imported only when it is chosen."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from amun import archive

if TYPE_CHECKING:
    from amun.settings import Settings

    from .base import Engine

ENGINES = {
    "podman": "amun.engines.podman.engine:PodmanEngine",
    "openshift": "amun.engines.openshift.engine:OpenShiftEngine",
}


def load(settings: Settings) -> Engine:
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


def on_cluster(settings: Settings) -> bool:
    """Whether inspections are on a cluster, as far as it can be told without asking one."""
    if settings.engine != "auto":
        return settings.engine == "openshift"
    named = settings.kubeconfig or settings.kube_context or os.environ.get("KUBECONFIG")
    return bool(named) or "KUBERNETES_SERVICE_HOST" in os.environ


def _choose(settings: Settings) -> str:
    """`openshift` in a cluster, or where a kubeconfig was named, which must then have its build API; else `podman`.

    A kubeconfig that merely lies in the home directory counts for nothing: who tries Amun on a laptop does not mean to
    try it on a cluster at work. Raises ValueError for a cluster on which nothing can be built.
    """
    if not on_cluster(settings):
        return "podman"
    from .kubernetes import api_client  # takes most of a second to import

    if lacks := api_client.connect(settings).lacks():
        what = " and ".join(lacks)
        raise ValueError(f"This cluster does not serve {what}: set AMUN_ENGINE=podman, or use an OpenShift.")
    return "openshift"
