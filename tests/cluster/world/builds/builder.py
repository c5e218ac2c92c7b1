"""The builder: pulls, builds and pushes an image as its pod is told to, and prints what it does.

What it runs is real as far as that harms nobody: `native.sh`, with the package manager of `tests.support.standin_base`,
and what a RUN in shell form says of files below ``/opt`` and ``/home``. The other programs of Amun are only said to
have run.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ApiError
from tests.cluster.objects.logs import Log
from tests.cluster.world.nodes.volumes import contents

from . import steps
from .buildphases import set_phase, stage

if TYPE_CHECKING:
    from tests.cluster.world.world import World

Document = dict[str, Any]

DOCKER_FAILED = ("DockerBuildFailed", "Dockerfile build strategy has failed.")
PULL_FAILED = ("PullBuilderImageFailed", "Failed pulling builder image.")
PUSH_FAILED = ("PushImageToRegistryFailed", "Failed to push the image to the registry.")
AWAY = '"https://10.78.0.1:443/apis/build.openshift.io/v1": dial tcp 10.78.0.1:443: connect: connection refused'
REFUSED_TOKEN = "trying to reuse blob: invalid username/password: unauthorized: unable to validate token"
RETRIES = 3
TERMINATED, KILLED = 143, 137


class Failed(Exception):
    """The build has failed: reason and message for its status, unless it cannot say them, and what is printed."""

    def __init__(self, why: tuple[str, str] | None, printed: str) -> None:
        super().__init__(printed)
        self.why, self.printed = why, printed


class Stopped(Exception):
    """The container was asked to end, or killed."""


class Builder:
    """One of the containers of a build pod, as `processes.Container`."""

    def __init__(self, world: World, pod: Document, spec: Document, log: Log, ended: Callable[[], None]) -> None:
        self.exit_code: int | None = None
        self.start_error = ""
        self._world, self._store, self._ended = world, world.store, ended
        build = json.loads(next(each["value"] for each in spec["env"] if each["name"] == "BUILD"))
        self._name, self._namespace = build["metadata"]["name"], build["metadata"]["namespace"]
        self._pod = pod["metadata"]["name"]
        self._spec, self._output = build["spec"], (build["spec"]["output"].get("to") or {}).get("name", "")
        self._stages: list[Document] = []
        self._stop = threading.Event()
        self._code = 0
        self._steps: steps.Steps | None = None
        if spec["args"][0] == "openshift-manage-dockerfile":
            log.close()
            self._finish(0)
            return
        self._log = _Both(log, self._store.log("Build", self._name, namespace=self._namespace))
        threading.Thread(target=self._run, name=f"builder {self._name}", daemon=True).start()

    # -- as a container -----------------------------------------------------------------------------------------

    def terminate(self) -> None:
        self._end(TERMINATED)

    def kill(self) -> None:
        self._end(KILLED)

    def out_of_memory(self) -> None:
        self._end(KILLED)

    def _end(self, code: int) -> None:
        self._code = self._code or code
        self._stop.set()
        if self._steps is not None:
            self._steps.kill()

    def _finish(self, code: int) -> None:
        self.exit_code = code
        self._ended()

    # -- the build ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        code = 1
        try:
            code = self._attempt()
        except (Stopped, steps.Killed):
            code = self._code
        except Exception as failure:
            self._world.loop.failures.append(failure)
        self._log.close()
        self._finish(code)

    def _attempt(self) -> int:
        try:
            with tempfile.TemporaryDirectory(prefix="amun-world-", ignore_cleanup_errors=True) as place:
                self._build(Path(place))
            return 0
        except Failed as failed:
            why = failed.why
            if why is None:
                self._log.write(f"error: build error: {failed.printed}\n")
                return 1
            self._status(lambda build, now: set_phase(build, "Failed", now, *why))
            self._pause(self._world.latencies.last_words)
            self._log.write(f"error: build error: {failed.printed}\n")
            self._pause(0.05)  # by then the controller knows when that was
            self._status(self._staged)
            return 1

    def _build(self, place: Path) -> None:
        now = self._store.clock()
        self._log.write(
            f'time="{now:%Y-%m-%dT%H:%M:%SZ}" level=info msg="Not using native diff for overlay, this may cause '
            'degraded performance for building images: kernel has CONFIG_OVERLAY_FS_REDIRECT_DIR enabled"\n'
            f'I{now:%m%d %H:%M:%S.%f}       1 defaults.go:112] Defaulting to storage driver "overlay" with options '
            '[mountopt=metacopy=on].\nCaching blobs under "/var/cache/blobs".\n'
        )
        context = self._context()
        self._steps = steps.Steps(place, self._log, context, self._mounted(), self._spec, self._information())
        start = self._store.clock()
        for base in self._steps.bases():
            self._pull(base, start)
        self._stages.append(stage("PullImages", "PullBaseImage", start, self._store.clock()))
        start = self._store.clock()
        try:
            self._steps.run(self._check)
        except steps.StepFailed as failed:
            raise Failed(DOCKER_FAILED, str(failed)) from failed
        finally:
            self._stages.append(stage("Build", "DockerBuild", start, self._store.clock()))
        self._push(self._steps)

    def _information(self) -> list[steps.Line]:
        """What is added at the end of every Dockerfile."""
        of = {"name": self._name, "namespace": self._namespace}
        variables = " ".join(f'"OPENSHIFT_BUILD_{key.upper()}"="{value}"' for key, value in of.items())
        labels = " ".join(f'"io.openshift.build.{key}"="{value}"' for key, value in of.items())
        return [f"ENV {variables}", f"LABEL {labels}"]

    def _context(self) -> dict[str, bytes]:
        """The files of the build context, by their paths in it."""
        files = {}
        for key, kind in (("secret", "Secret"), ("configMap", "ConfigMap")):  # copied in this order (dockerBuild)
            for source in self._spec["source"].get(f"{key}s") or ():
                directory = (source.get("destinationDir") or ".").strip("/")
                for name, content in contents(self._store.get(kind, source[key]["name"], self._namespace)).items():
                    files[name if directory in (".", "") else f"{directory}/{name}"] = content
        return files

    def _mounted(self) -> dict[str, bytes]:
        """The files of build volumes, of Secrets only, by their paths in the containers of the build.

        "Using build volumes" in
        https://docs.redhat.com/en/documentation/openshift_container_platform/4.21/html/builds_using_buildconfig/build-strategies
        """
        files = {}
        for volume in self._spec["strategy"]["dockerStrategy"].get("volumes") or ():
            secret = volume["source"]["secret"]
            kept = self._store.find("Secret", secret["secretName"], self._namespace)
            content = {} if kept is None else contents(kept)
            for item, mount in itertools.product(secret["items"], volume["mounts"]):
                if item["key"] in content:
                    files[f"{mount['destinationPath']}/{item['path']}"] = content[item["key"]]
        return files

    def _pull(self, base: str, start: datetime) -> None:
        self._log.write(f"\nPulling image {base} ...\n")
        for _ in range(RETRIES):
            self._log.write(f"Trying to pull {base}...\n")
            self._pause(self._world.latencies.pull)
            if self._world.images.is_base(base) and "/missing" not in base:
                layer, config = (hashlib.sha256(f"{base} {part}".encode()).hexdigest() for part in ("layer", "config"))
                self._log.write(
                    f"Getting image source signatures\nCopying blob sha256:{layer}\nCopying config sha256:{config}\n"
                    "Writing manifest to image destination\n"
                )
                return
            self._log.write("Warning: Pull failed, retrying in 5s ...\n")
            self._pause(self._world.latencies.retry)
        self._stages.append(stage("PullImages", "PullBaseImage", start, self._store.clock()))
        repository, _, tag = base.rpartition(":") if ":" in base.rpartition("/")[2] else (base, ":", "latest")
        cause = f"initializing source docker://{base}: reading manifest {tag} in {repository}: manifest unknown"
        tried = f"After retrying {RETRIES - 1} times, Pull image still failed due to error: {cause}"
        raise Failed(PULL_FAILED, f"failed to pull image: {tried}")

    def _push(self, done: steps.Steps) -> None:
        tag = f"temp.builder.openshift.io/{self._namespace}/{self._name}:{secrets.token_hex(4)}"
        identity = hashlib.sha256(f"{tag} {done.environment}".encode()).hexdigest()
        self._log.write(f"COMMIT {tag}\n--> {identity[:12]}\nSuccessfully tagged {tag}\n{identity}\n")
        if not self._output:
            self._log.write("Build complete, no image push requested\n")
            return
        self._log.write(f"\nPushing image {self._output} ...\nGetting image source signatures\n")
        start = self._store.clock()
        self._pause(self._world.latencies.push)
        if self._world.faults.take("push-refused", self._pod):
            self._log.write(f"error: Unable to update build status: Get {AWAY}\n")
            raise Failed(None, f"Failed to push image: {REFUSED_TOKEN}")
        repository, _, name = self._output.rpartition(":")
        namespace, stream = repository.split("/")[-2:]
        document = done.image(f"sha256:{identity}", f"{start:%Y-%m-%dT%H:%M:%SZ}", self._name, self._namespace)
        try:
            digest = self._world.images.push(stream, name, namespace, document, done.home())
        except ApiError as error:
            cause = f"writing manifest: {error.message}"
            raise Failed(PUSH_FAILED, f"Failed to push image: {cause}") from error
        self._log.write(
            f"Copying config sha256:{identity}\nWriting manifest to image destination\n"
            f"Successfully pushed {repository}@{digest}\n"
        )
        self._stages.append(stage("PushImage", "PushDockerImage", start, self._store.clock()))
        self._status(lambda build, _: build["status"]["output"].update(to={"imageDigest": digest}))
        self._log.write("Push successful\n")
        self._status(self._staged)

    # -- between steps ------------------------------------------------------------------------------------------

    def _staged(self, build: Document, _: str) -> None:
        build["status"]["stages"] = self._stages

    def _status(self, change: Callable[[Document, str], object]) -> None:
        """Write into the status of the Build, unless it is gone, or over for somebody else's reasons."""
        self._check()
        with suppress(ApiError):
            now = self._store.now()
            self._store.update("Build", self._name, lambda build: change(build, now), self._namespace)

    def _check(self) -> None:
        self._world.kubelet.moving.wait()
        if self._stop.is_set():
            raise Stopped

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check()
            self._stop.wait(left)
        self._check()


class _Both(Log):
    """The log of the pod, and that of the Build."""

    def __init__(self, *logs: Log) -> None:
        super().__init__()
        self._logs = logs

    def write(self, data: bytes | str) -> None:
        for log in self._logs:
            log.write(data)

    def close(self) -> None:
        for log in self._logs:
            log.close()
