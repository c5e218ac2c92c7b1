"""Packages that not every installation has: the extras of pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

Extra = Literal["server", "cluster", "s3"]


class MissingExtra(ImportError):
    """A package of an extra is not installed. One sentence for a person."""


def require(package: str, extra: Extra) -> None:
    """Raise `MissingExtra` unless the package of an extra is installed."""
    if find_spec(package) is None:
        raise MissingExtra(
            f"This needs the package {package}, of the extra `{extra}`: pip install 'amun-service[{extra}]'"
        )


@contextmanager
def needing(extra: Extra) -> Iterator[None]:
    """Around imports: raises `MissingExtra` where a package of that extra is not installed."""
    try:
        yield
    except ModuleNotFoundError as exc:
        require((exc.name or "").partition(".")[0], extra)
        raise
