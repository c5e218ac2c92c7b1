"""Directories that travel with the package: beside it in a checkout, inside it once installed."""

from __future__ import annotations

from pathlib import Path


def directory(name: str) -> Path:
    """Where ``openapi``, ``templates`` or ``examples`` is."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
