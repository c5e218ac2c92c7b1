"""Paths of files that a specification places."""

from __future__ import annotations

import posixpath

HOME = "/home/amun"
"""The home of every script."""


def absolute_path(path: str) -> str:
    """Return the one normal form of a file's path: no empty parts, no '.'.

    Relative ones are taken from the root, and ``~/`` is the script's home.
    """
    if path.startswith("~/"):
        path = HOME + path[1:]
    return "/" + posixpath.normpath("/" + path).lstrip("/")
