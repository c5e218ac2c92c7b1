"""Volumes and paths of a pod whose containers are processes of this machine: each has a directory for its root."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.rules.podrules import containers

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

Document = Mapping[str, Any]

HOME = "/home/amun"
TERMINATION_LOG = "/dev/termination-log"
MODE = 0o644
EVERYWHERE = ("kube-root-ca.crt", "openshift-service-ca.crt")
"""ConfigMaps that every namespace has; here they are empty."""


class MissingSource(Exception):
    """What a volume is to be made of is not there; the kubelet's own words."""


class Files:
    """A directory with the volumes of a pod, and a root for each of its containers."""

    def __init__(self, place: Path, store: Store, pod: Document) -> None:
        self._place, self._store = place, store
        self._namespace = pod["metadata"]["namespace"]
        self._pod = pod

    def mount(self) -> None:
        """Make all volumes and mount them. Raises `MissingSource`."""
        for volume in self._pod["spec"].get("volumes") or ():
            self._fill(volume)
        for container in containers(self._pod["spec"]):
            root = self.root(container["name"])
            (root / HOME.lstrip("/")).mkdir(parents=True, exist_ok=True)
            self.termination_log(container["name"]).parent.mkdir()
            self.termination_log(container["name"]).touch()
            # One may lie in another: the outer one first, as kubelets mount them.
            for mount in sorted(container.get("volumeMounts") or (), key=lambda mount: len(mount["mountPath"])):
                target = root / mount["mountPath"].strip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(self._place / "volumes" / mount["name"])

    def root(self, container: str) -> Path:
        return self._place / "roots" / container

    def termination_log(self, container: str) -> Path:
        return self.root(container) / TERMINATION_LOG.lstrip("/")

    def here(self, container: Document, text: str) -> str:
        """A word of a command with the paths of the container in it replaced by those of this machine."""
        mounts = [mount["mountPath"].rstrip("/") for mount in container.get("volumeMounts") or ()]
        paths = "|".join(
            re.escape(path) for path in sorted({*mounts, HOME, TERMINATION_LOG}, key=len, reverse=True) if path
        )
        return re.sub(
            rf"(?<![\w./-])({paths})(?![\w.-])", lambda match: f"{self.root(container['name'])}{match[1]}", text
        )

    # -- volumes ------------------------------------------------------------------------------------------------

    def _fill(self, volume: Document) -> None:
        directory = self._place / "volumes" / volume["name"]
        directory.mkdir(parents=True, exist_ok=True)
        for source in ("configMap", "secret", "projected"):
            if source in volume:
                mode = volume[source].get("defaultMode", MODE)
                for path, (content, own) in self._files(volume["name"], source, volume[source]).items():
                    file = directory / path
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                    file.chmod(own or mode)

    def _files(self, volume: str, kind: str, source: Document) -> dict[str, tuple[bytes, int | None]]:
        if kind == "projected":
            found: dict[str, tuple[bytes, int | None]] = {}
            for part in source.get("sources") or ():
                for inner in ("configMap", "secret"):
                    if inner in part:
                        found |= self._files(volume, inner, part[inner])
            return found
        name = source.get("name") or source.get("secretName")
        kept = self._store.find("ConfigMap" if kind == "configMap" else "Secret", str(name), self._namespace)
        if kept is None:
            if source.get("optional") or kind == "secret" or name in EVERYWHERE:  # no secrets are needed here
                return {}
            raise MissingSource(f'MountVolume.SetUp failed for volume "{volume}" : configmap "{name}" not found')
        return dict(_chosen(contents(kept), source.get("items")))


def contents(kept: Document) -> dict[str, bytes]:
    """The files that a ConfigMap or a Secret has."""
    secret = kept["kind"] == "Secret"
    encoded = {**(kept.get("data" if secret else "binaryData") or {})}
    plain = {} if secret else {name: text.encode() for name, text in (kept.get("data") or {}).items()}
    return plain | {name: base64.b64decode(data) for name, data in encoded.items()}


def _chosen(files: Mapping[str, bytes], items: list[Document] | None) -> Iterator[tuple[str, tuple[bytes, int | None]]]:
    if not items:
        yield from ((name, (content, None)) for name, content in files.items())
        return
    for item in items:
        if item["key"] in files:
            yield item["path"], (files[item["key"]], item.get("mode"))
