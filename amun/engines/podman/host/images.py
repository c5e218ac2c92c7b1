"""Images on this machine: which content a name stands for now, and which of them are only half there."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

from amun.engines.podman.builds import bases
from amun.engines.podman.podman_cli import Podman, PodmanError
from amun.environments import dockerfile

ABSENT = re.compile("image not known|no such image")

HALF = re.compile("locating item named|unexpected end of JSON input|does not match expected|layer not known")
"""What Podman says of an image of which a part is missing or empty: who wrote it was killed, or had no room."""


class Image(NamedTuple):
    """What is known of an image."""

    digest: str
    volumes: tuple[str, ...]


class Images:
    """Answers from memory for as long as Podman's list of images does not change."""

    def __init__(self, podman: Podman) -> None:
        self._podman = podman
        self._known: dict[str, Image | None] = {}
        self._stamp: int | None = None

    def digest(self, name: str) -> str | None:
        """``sha256:…`` of the image's configuration, None if it is not on this machine under this complete name."""
        found = self._image(name)
        return None if found is None else found.digest

    def volumes(self, name: str) -> tuple[str, ...]:
        """Directories of the image that are volumes; none if it is not on this machine."""
        found = self._image(name)
        return () if found is None else found.volumes

    def _image(self, name: str) -> Image | None:
        stamp = self._changed_at()
        if stamp is None or stamp != self._stamp:
            self._known, self._stamp = {}, stamp
        if name not in self._known:
            self._known[name] = self._ask(name)
        return self._known[name]

    def _ask(self, name: str) -> Image | None:
        try:
            text = self._podman.call("image", "inspect", name)
        except PodmanError as exc:
            if ABSENT.search(str(exc)) or HALF.search(str(exc)):
                return None
            raise
        if (found := bases.named(text, name)) is None:
            return None
        config = json.loads(text)[0].get("Config") or {}
        return Image(f"sha256:{found}", tuple(sorted(config.get("Volumes") or ())))

    def _changed_at(self) -> int | None:
        try:
            return self._list.stat().st_mtime_ns
        except OSError:
            return None

    @functools.cached_property
    def _list(self) -> Path:
        return _list_of_images(self._podman)


def remove_unnamed(podman: Podman, *filters: str, but: Container[str] = ()) -> None:
    """Remove the layers that builds of environments left which failed, were ended, or whose name a later one has.

    `filters` are those of `podman image ls`, `but` ids of images that stay; so does what a container or another image
    needs. With an image Podman removes those beneath it that have no name and that no other needs. Raises
    `EngineUnavailable`.
    """
    options = [word for text in ("dangling=true", *filters) for word in ("--filter", text)]
    for image in listed(podman, *options):
        if image not in but:
            with contextlib.suppress(PodmanError):  # it is in use, or gone
                if f"{dockerfile.HELPERS}/" in podman.call("image", "history", "--no-trunc", image):
                    podman.call("image", "rm", image)


def listed(podman: Podman, *options: str) -> list[str]:
    """Ids of images, by the options of `podman image ls`. Raises `EngineUnavailable`."""
    return podman.call("image", "ls", "--quiet", "--no-trunc", *options).replace("sha256:", "").split()


def half_written(podman: Podman) -> list[str]:
    """Ids of images of which a part is missing. As long as there is one, Podman lists and prunes none for anybody.

    Its own error may name another image, so each is asked for where there is an error. Raises `EngineUnavailable`.
    """
    try:
        podman.call("image", "ls", "--quiet")
    except PodmanError as exc:
        if not HALF.search(str(exc)):
            raise
        listed = json.loads(_list_of_images(podman).read_bytes())
        return [image["id"] for image in listed if _is_half(podman, image["id"])]
    return []


def _is_half(podman: Podman, image: str) -> bool:
    try:
        podman.call("image", "inspect", image)
    except PodmanError as exc:
        return HALF.search(str(exc)) is not None
    return False


def _list_of_images(podman: Podman) -> Path:
    """The file in which Podman keeps which images there are (containers-storage)."""
    store = podman.json("info", "--format", "json")["store"]
    return Path(store["graphRoot"]) / f"{store['graphDriverName']}-images" / "images.json"
