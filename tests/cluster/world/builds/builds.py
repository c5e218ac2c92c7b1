"""The build controller: Builds get their pods, one at a time of each BuildConfig, and become what those come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.errors import ApiError
from tests.cluster.rules.buildrules import OVER, REGISTRY

from . import buildpod
from .buildphases import Missing, completed, fail_reason, set_phase, snippet

if TYPE_CHECKING:
    from tests.cluster.objects.history import Event
    from tests.cluster.world.world import World

Document = dict[str, Any]

COMPONENT = "build-controller"
CONFIG = "openshift.io/build-config.name"
POLICY = "openshift.io/build.start-policy"
NUMBER = "openshift.io/build.number"
POD_NAME = "openshift.io/build.pod-name"
DELETED = ("BuildPodDeleted", "The pod for this build was deleted before the build completed.")
EVENTS = {
    "Running": ("BuildStarted", "is now running"),
    "Complete": ("BuildCompleted", "completed successfully"),
    "Cancelled": ("BuildCancelled", "has been cancelled"),
    "Failed": ("BuildFailed", "failed"),
    "Error": ("BuildFailed", "failed"),
}


class Builds:
    """Moves each Build on to what its pod says."""

    def __init__(self, world: World) -> None:
        self._world, self._store = world, world.store
        world.loop.handle("build", self.sync)
        world.loop.handle("builds", self.sync_new)

    def notice(self, event: Event) -> None:
        """Take note of a Build, of the pod of one, or of an ImageStream, which builds may wait for."""
        metadata = event.entry.metadata
        if event.kind == "ImageStream":
            self._world.loop.add("builds", metadata["namespace"])
            return
        name = metadata["name"] if event.kind == "Build" else event.entry.labels.get(buildpod.BUILD_NAME)
        if name is not None:
            self._world.loop.add("build", metadata["namespace"], name, after=self._world.latencies.build)
            if event.kind == "Build" and (event.type == "DELETED" or event.entry.object["status"]["phase"] in OVER):
                self._world.loop.add("builds", metadata["namespace"])

    def sync_new(self, namespace: str) -> None:
        """Look at all Builds that have not begun: what they waited for may be there."""
        for entry in self._store.entries("Build", namespace=namespace):
            if entry.object["status"]["phase"] == "New":
                self._world.loop.add("build", namespace, entry.name)

    def sync(self, namespace: str, name: str) -> None:
        """Bring one Build on."""
        with self._store.lock:
            build = self._store.find("Build", name, namespace)
            if build is None or build["metadata"].get("deletionTimestamp"):
                return
            pod = self._store.find("Pod", buildpod.name_of(build), namespace)
            phase = build["status"]["phase"]
            if phase in OVER:
                self._complete(build, pod)
            elif build["status"].get("cancelled"):
                self._cancel(build)
            elif phase == "New" and pod is None:
                self._begin(build)
            elif pod is None:
                self._to(build, "Error", *DELETED)
            else:
                self._follow(build, pod)

    # -- beginning ----------------------------------------------------------------------------------------------

    def _begin(self, build: Document) -> None:
        if not self._may_run(build):
            return
        namespace = build["metadata"]["namespace"]
        try:
            output = self._output(build)
            made = buildpod.pod(build, output, self._world.build_overrides)
            pod = self._store.create("Pod", made, namespace)
            for given in buildpod.config_maps(pod):
                self._store.create("ConfigMap", given, namespace)
        except Missing as missing:
            self._say(build, missing.reason, missing.message)
            return
        except ApiError as error:
            self._event(build, "Warning", "FailedCreate", f"Error creating build pod: {error.message}")
            self._say(build, "CannotCreateBuildPod", "Failed creating build pod.")
            self._world.loop.add("build", namespace, build["metadata"]["name"], after=self._world.latencies.refused)
            return
        self._to(build, "Pending", pod=pod, output=output)

    def _may_run(self, build: Document) -> bool:
        """Whether it is this Build's turn among those of its configuration."""
        labels = build["metadata"].get("labels") or {}
        if labels.get(POLICY, "Serial") == "Parallel" or not labels.get(CONFIG):
            return True
        listed = self._store.entries("Build", f"{CONFIG}={labels[CONFIG]}", namespace=build["metadata"]["namespace"])
        alive = [entry.object for entry in listed if entry.object["status"]["phase"] not in OVER]
        if any(each["status"]["phase"] != "New" for each in alive):
            return False
        return bool(build["metadata"]["name"] == min(alive, key=_number)["metadata"]["name"])

    def _output(self, build: Document) -> str:
        """Where the image goes, by name; what is no ImageStream's is what it says it is."""
        to, namespace = build["spec"]["output"].get("to") or {}, build["metadata"]["namespace"]
        if to.get("kind") != "ImageStreamTag":
            return str(to.get("name", ""))
        stream, _, tag = to["name"].partition(":")
        found = self._store.find("ImageStream", stream, to.get("namespace") or namespace)
        if found is None:
            raise Missing("InvalidOutputReference", "Output image could not be resolved.")
        repository = found["status"].get("dockerImageRepository") or f"{REGISTRY}/{namespace}/{stream}"
        return f"{repository}:{tag}"

    def _say(self, build: Document, reason: str, message: str) -> None:
        """Say why a Build stays as it is."""
        said = {"reason": reason, "message": message}
        metadata = build["metadata"]
        self._store.update("Build", metadata["name"], lambda b: b["status"].update(said), metadata["namespace"])

    # -- going on -----------------------------------------------------------------------------------------------

    def _follow(self, build: Document, pod: Document) -> None:
        phase, status = build["status"]["phase"], pod["status"]
        match status.get("phase"):
            case "Pending" if phase == "New":
                self._to(build, "Pending", pod=pod)
            case "Running" if phase != "Running":
                self._to(build, "Running", pod=pod)
            case "Succeeded":
                self._to(build, "Complete", pod=pod)
            case "Failed":
                self._to(build, *fail_reason(pod, DELETED), pod=pod)

    def _complete(self, build: Document, pod: Document | None) -> None:
        """What the builder said of the end is made whole: when it was, and the last lines of the log."""
        status = build["status"]
        unsaid = status["phase"] in ("Failed", "Error") and not status.get("logSnippet") and snippet(pod)
        if "completionTimestamp" in status and not unsaid:
            return
        first = "completionTimestamp" not in status
        metadata = build["metadata"]
        done = self._store.now()
        self._store.update("Build", metadata["name"], lambda b: completed(b, pod, done), metadata["namespace"])
        if first:
            self._finished(build)

    def _cancel(self, build: Document) -> None:
        namespace, name = build["metadata"]["namespace"], buildpod.name_of(build)
        if self._store.find("Pod", name, namespace):
            self._store.delete("Pod", name, namespace)
        self._to(build, "Cancelled", "CancelledBuild", "The build was cancelled by the user.")

    def _to(
        self,
        build: Document,
        phase: str,
        reason: str = "",
        message: str = "",
        pod: Document | None = None,
        output: str = "",
    ) -> None:
        def change(document: Document) -> None:
            set_phase(document, phase, self._store.now(), reason, message)
            if phase == "Running" and pod and "startTime" in pod["status"]:
                document["status"]["startTimestamp"] = pod["status"]["startTime"]
            if output:
                document["status"]["outputDockerImageReference"] = output
                document["spec"]["output"].setdefault("pushSecret", {"name": buildpod.PULL_SECRET})
            if pod:
                document["metadata"].setdefault("annotations", {})[POD_NAME] = pod["metadata"]["name"]
            if phase in OVER:
                completed(document, pod, self._store.now())

        metadata = build["metadata"]
        after = self._store.update("Build", metadata["name"], change, metadata["namespace"])
        if phase in OVER:
            self._finished(after)
        elif phase in EVENTS:
            self._tell(after)

    def _finished(self, build: Document) -> None:
        self._tell(self._store.get("Build", build["metadata"]["name"], build["metadata"]["namespace"]))
        self._world.loop.add("builds", build["metadata"]["namespace"])
        self._prune(build)

    def _prune(self, build: Document) -> None:
        """Delete the oldest Builds of a configuration beyond what its history may be."""
        namespace, labels = build["metadata"]["namespace"], build["metadata"].get("labels") or {}
        config = self._store.find("BuildConfig", labels.get(CONFIG, ""), namespace)
        listed = self._store.list("Build", f"{CONFIG}={labels.get(CONFIG)}", namespace=namespace) if config else []
        for phases, limit in ((("Complete",), "successful"), (("Failed", "Error", "Cancelled"), "failed")):
            over = sorted((b for b in listed if b["status"]["phase"] in phases), key=_number, reverse=True)
            for old in over[((config or {})["spec"].get(f"{limit}BuildsHistoryLimit", 5)) :]:
                self._store.delete("Build", old["metadata"]["name"], namespace)

    def _tell(self, build: Document) -> None:
        reason, what = EVENTS[build["status"]["phase"]]
        metadata = build["metadata"]
        self._event(build, "Normal", reason, f"Build {metadata['namespace']}/{metadata['name']} {what}")

    def _event(self, build: Document, kind: str, reason: str, message: str) -> None:
        self._world.recorder.event(build, kind, reason, message, COMPONENT)


def _number(build: Document) -> int:
    return int((build["metadata"].get("annotations") or {}).get(NUMBER, 0))
