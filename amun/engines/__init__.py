"""Engines by name; the library of an engine is imported only when it is chosen."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..settings import Settings
    from .base import Engine

ENGINES = {"podman": "amun.engines.podman.engine:PodmanEngine"}


def load(settings: Settings) -> Engine:
    """The engine that the settings name; raises ValueError for a name there is no engine of."""
    name = "podman" if settings.engine == "auto" else settings.engine
    if name not in ENGINES:
        raise ValueError(f"AMUN_ENGINE is {name!r}; there are: auto, {', '.join(ENGINES)}.")
    module, _, attribute = ENGINES[name].partition(":")
    engine: Engine = getattr(import_module(module), attribute)(settings)
    return engine
