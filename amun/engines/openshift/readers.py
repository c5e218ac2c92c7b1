"""Two ways to read the namespace: by asking the API server each time, or in the caches of a controller.

Both give the same objects: records as `Record`, all else as (parts of) documents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from amun.engines.kubernetes import kinds, names, records
from amun.engines.kubernetes.api_client import Cluster
from amun.engines.kubernetes.informer import Cache, Watched
from amun.engines.kubernetes.records import Record
from amun.errors import EngineUnavailable, InspectionNotFound

from . import build_states

Document = Mapping[str, Any]

SYNCED = 20.0
"""Seconds that a controller waits for its first lists."""


class View(ABC):
    """What there is now."""

    @abstractmethod
    def record(self, inspection_id: str) -> Record:
        """Raises `InspectionNotFound`."""

    @abstractmethod
    def jobs(self, inspection_id: str) -> Sequence[Document]:
        """The Jobs of an inspection: that of all its items, and further ones (see `lost`)."""

    @abstractmethod
    def pods(self, inspection_id: str) -> Sequence[Document]:
        """The pods of an inspection's items."""

    @abstractmethod
    def builds(self, build_config: str) -> Sequence[Document]:
        """The Builds of an environment."""

    @abstractmethod
    def build_pods(self, build: str) -> Sequence[Document]:
        """The pods of a Build: one, or none yet."""


class Asking(View):
    """Asks for each thing when it is wanted."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def record(self, inspection_id: str) -> Record:
        document = self._cluster.find(kinds.CONFIG_MAPS, inspection_id)
        if document is None or (document["metadata"].get("labels") or {}).get(names.KIND) != names.RECORD:
            raise InspectionNotFound(f"There is no inspection {inspection_id!r}.")
        return records.from_document(document)

    def jobs(self, inspection_id: str) -> Sequence[Document]:
        return self._cluster.list(kinds.JOBS, f"{names.INSPECTION}={inspection_id}")

    def pods(self, inspection_id: str) -> Sequence[Document]:
        return self._cluster.list(kinds.PODS, f"{names.INSPECTION}={inspection_id}")

    def builds(self, build_config: str) -> Sequence[Document]:
        return self._cluster.list(kinds.BUILDS, f"{names.BUILD_CONFIG}={build_config}")

    def build_pods(self, build: str) -> Sequence[Document]:
        return self._cluster.list(kinds.PODS, f"{names.BUILD}={build}")


class Watching(View):
    """Reads in caches. An inspection that is not there is asked for: it may be newer than the cache, or closed."""

    def __init__(self, cluster: Cluster, changed: Callable[[], None]) -> None:
        self._asking = Asking(cluster)
        active = names.selector(**{names.KIND: names.RECORD, names.STATE: names.ACTIVE})
        self._records = Cache(cluster, Watched(kinds.CONFIG_MAPS, active, records.from_document, _no_group), changed)
        self._jobs = Cache(cluster, Watched(kinds.JOBS, names.selector(), _slim, _label(names.INSPECTION)), changed)
        self._pods = Cache(cluster, Watched(kinds.PODS, "", _slim_pod, _group_of_pod), changed)
        self._builds = Cache(
            cluster, Watched(kinds.BUILDS, names.selector(), _slim, _label(names.BUILD_CONFIG)), changed
        )
        self._caches = (self._records, self._jobs, self._pods, self._builds)

    def start(self) -> None:
        """Begin to watch; returns when everything is known. Raises `EngineUnavailable` where that takes too long."""
        for cache in self._caches:
            cache.start()
        for cache in self._caches:
            if not cache.synced.wait(SYNCED):
                raise EngineUnavailable("The API server does not say what there is.")

    def stop(self) -> None:
        for cache in self._caches:
            cache.stop()

    def records(self) -> list[Record]:
        """All that are not closed."""
        found: list[Record] = self._records.all()
        return found

    def all_builds(self) -> list[Document]:
        return self._builds.all()

    def all_pods(self) -> list[Document]:
        return self._pods.all()

    def record(self, inspection_id: str) -> Record:
        found: Record | None = self._records.get(inspection_id)
        return found or self._asking.record(inspection_id)

    def jobs(self, inspection_id: str) -> Sequence[Document]:
        return self._jobs.of(inspection_id)

    def pods(self, inspection_id: str) -> Sequence[Document]:
        return self._pods.of(inspection_id)

    def builds(self, build_config: str) -> Sequence[Document]:
        return self._builds.of(build_config)

    def build_pods(self, build: str) -> Sequence[Document]:
        return self._pods.of(build)


class Snapshot(View):
    """Many inspections at once, by a few lists: as it was when they were made."""

    def __init__(self, cluster: Cluster, ids: Sequence[str]) -> None:
        wanted = f"{names.INSPECTION} in ({','.join(ids)})"
        documents = cluster.list(kinds.CONFIG_MAPS, f"{names.selector(**{names.KIND: names.RECORD})},{wanted}")
        self._records = {document["metadata"]["name"]: records.from_document(document) for document in documents}
        live = [record for record in self._records.values() if record.final is None and record.defect is None]
        self._jobs: defaultdict[str, list[Document]] = defaultdict(list)
        self._pods: defaultdict[str, list[Document]] = defaultdict(list)
        self._builds: defaultdict[str, list[Document]] = defaultdict(list)
        if live:
            self._look(cluster, live)

    def _look(self, cluster: Cluster, live: Sequence[Record]) -> None:
        ids = ",".join(record.inspection.id for record in live)
        environments = ",".join({record.environment for record in live})
        for job in cluster.list(kinds.JOBS, f"{names.INSPECTION} in ({ids})"):
            self._jobs[job["metadata"]["labels"][names.INSPECTION]].append(job)
        found = cluster.list(kinds.BUILDS, f"{names.BUILD_CONFIG} in ({environments})")
        for build in found:
            self._builds[build["metadata"]["labels"][names.BUILD_CONFIG]].append(build)
        open_ones = [build["metadata"]["name"] for build in found if build_states.looks_at_pods(build)]
        selectors = [f"{names.INSPECTION} in ({ids})", f"{names.BUILD} in ({','.join(open_ones)})"]
        for selector in selectors[: 2 if open_ones else 1]:
            for pod in cluster.list(kinds.PODS, selector):
                self._pods[_group_of_pod(pod) or ""].append(pod)

    def record(self, inspection_id: str) -> Record:
        if inspection_id not in self._records:
            raise InspectionNotFound(f"There is no inspection {inspection_id!r}.")
        return self._records[inspection_id]

    def jobs(self, inspection_id: str) -> Sequence[Document]:
        return self._jobs.get(inspection_id, ())

    def pods(self, inspection_id: str) -> Sequence[Document]:
        return self._pods.get(inspection_id, ())

    def builds(self, build_config: str) -> Sequence[Document]:
        return self._builds.get(build_config, ())

    def build_pods(self, build: str) -> Sequence[Document]:
        return self._pods.get(build, ())


def _no_group(_document: Document) -> None:
    return None


def _label(name: str) -> Callable[[Document], str | None]:
    def group(document: Document) -> str | None:
        label: str | None = (document["metadata"].get("labels") or {}).get(name)
        return label

    return group


def _group_of_pod(document: Document) -> str | None:
    labels = document["metadata"].get("labels") or {}
    group: str | None = labels.get(names.INSPECTION) or labels.get(names.BUILD)
    return group


METADATA = (
    "name",
    "uid",
    "labels",
    "annotations",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
)


def _slim(document: Document) -> Document:
    """What of an object is read here: thousands of them are kept."""
    metadata = {name: value for name, value in document["metadata"].items() if name in METADATA}
    spec = {name: value for name, value in (document.get("spec") or {}).items() if name in SPEC}
    return {"metadata": metadata, "spec": spec, "status": document.get("status") or {}}


SPEC = ("completionDeadlineSeconds", "resources", "nodeName", "activeDeadlineSeconds", "parallelism", "suspend")


def _slim_pod(document: Document) -> Document | None:
    if _group_of_pod(document) is None:
        return None
    slim = {**_slim(document)}
    containers = (document.get("spec") or {}).get("containers") or ()
    requests = [(container.get("resources") or {}).get("requests") or {} for container in containers]
    return {**slim, "spec": {**slim["spec"], "requests": requests}}
