"""A real cluster as a site: whichever `make test-cluster` names, with nothing of it played by a test.

`python -m tests.contract.real` removes what was made there, should that ever be needed by hand.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from amun.engines.kubernetes import kinds, pod_states
from amun.engines.kubernetes.api_client import Cluster, connect
from amun.engines.openshift import build_states
from amun.errors import EngineUnavailable
from amun.settings import Settings
from tests.support import standin_base

from .sites import LIMITS, Site, patience

VARIABLE = "AMUN_TEST_KUBECONFIG"
NAME = "amun-test-standin"
LABELS = {"app": "amun", "amun/kind": "test"}


def settings(directory: Path) -> Settings:
    """How the cluster of the environment variables is reached."""
    return Settings(
        state_dir=directory,
        engine="openshift",
        kubeconfig=os.environ[VARIABLE],
        namespace=os.environ["AMUN_TEST_NAMESPACE"],
        default_cpu="300m",  # with 100m, builds take minutes
        **LIMITS,
    )


class RealSite(Site):
    """The OpenShift engine where it is at home."""

    places = None

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.settings = settings(directory)
        self._cluster = connect(self.settings)
        if lacks := self._cluster.lacks():
            pytest.skip(f"this cluster does not serve {' and '.join(lacks)}, and Amun builds by nothing else yet")
        try:
            begun = time.monotonic()
            self.base = self._standin(os.environ["AMUN_TEST_BASE"])
            self.patience = patience(time.monotonic() - begun)
        except BaseException:
            self.close()
            raise

    def crowded_out(self) -> dict[str, Any]:
        """One that needs the largest node for itself."""
        largest = max(self.engine().nodes(free=False), key=lambda node: node.cpu)
        return {"run": {"requests": {"cpu": f"{largest.cpu:g}"}}}

    def pods(self) -> list[str]:
        pods = self._cluster.list(kinds.PODS, "inspection")
        return [pod["metadata"]["name"] for pod in pods if not pod_states.terminated(pod)]

    def close(self) -> None:
        clean(self._cluster)

    def _standin(self, base: str) -> str:
        """Build the stand-in image there; returns its name by digest."""
        metadata = {"metadata": {"name": NAME, "labels": LABELS}}
        self._cluster.create(
            kinds.CONFIG_MAPS, {**metadata, "data": {"dnf": standin_base.PROGRAM, "rpm": standin_base.DATABASE}}
        )
        self._cluster.create(kinds.IMAGE_STREAMS, metadata)
        sources = [{"configMap": {"name": NAME}, "destinationDir": "."}]
        spec: dict[str, Any] = {
            "source": {
                "type": "Dockerfile",
                "dockerfile": standin_base.DOCKERFILE.format(base=base),
                "configMaps": sources,
            },
            "strategy": {"type": "Docker", "dockerStrategy": {}},
            "output": {"to": {"kind": "ImageStreamTag", "name": f"{NAME}:latest"}},
        }
        self._cluster.create(kinds.BUILD_CONFIGS, {**metadata, "spec": spec})
        request = {"kind": "BuildRequest", "apiVersion": "build.openshift.io/v1", "metadata": {"name": NAME}}
        build = self._cluster.post(kinds.BUILD_CONFIGS, NAME, "instantiate", request)
        end = time.monotonic() + 1800
        while build_states.ongoing(build) and time.monotonic() < end:
            time.sleep(1)
            build = self._cluster.get(kinds.BUILDS, build["metadata"]["name"])
        image = build_states.image(build)
        assert image is not None, build["status"]
        return image


def clean(cluster: Cluster) -> None:
    """Remove all that Amun and its tests have made in the namespace."""
    for kind in (kinds.JOBS, kinds.CONFIG_MAPS, kinds.SECRETS, kinds.BUILD_CONFIGS, kinds.IMAGE_STREAMS):
        with contextlib.suppress(EngineUnavailable):
            for one in cluster.list(
                kind, "app=amun,amun/kind" if kind is not kinds.JOBS else "app=amun", metadata=True
            ):
                cluster.delete(kind, one["metadata"]["name"])


if __name__ == "__main__":
    clean(connect(settings(Path.cwd())))
