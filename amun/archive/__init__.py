"""Where finished inspections are kept after the engine forgot them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from amun.settings import Settings

    from .layout import Archive
    from .store import Store


def load(settings: Settings) -> Archive | None:
    """The archive that the settings name, None if they name none. The library for it is imported only if chosen."""
    if not settings.archive:
        return None
    from .layout import Archive

    return Archive(_store(settings), settings.deployment)


def _store(settings: Settings) -> Store:
    place = urlsplit(settings.archive)
    if place.scheme == "s3":
        from .s3 import S3Store

        return S3Store(place.netloc, place.path.strip("/"), settings.archive_endpoint or None)
    from .directory import DirectoryStore

    return DirectoryStore(Path(settings.archive))
