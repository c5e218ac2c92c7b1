"""The Jobs of inspections: starting one, ending what cannot start, stopping."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from cachetools import TTLCache

from amun.engines import pod_manifests
from amun.engines.pod_manifests import Surroundings
from amun.model.inspection import BuildState
from amun.runs import programs as runner
from amun.settings import Settings
from amun.telemetry.logs import logger

from . import deleted_pods, kinds, names, pod_states, records
from .api_client import SEEN_WITHIN, AlreadyThere, Cluster, NotFound
from .nodes import Placement
from .records import Record

Document = Mapping[str, Any]

ACCOUNT = "/dev/termination-log"
"""Where containers leave their termination messages, by default."""

MARGIN = 60
"""Seconds that a pod has beside its deadline and grace: to describe the hardware, and to report. The runner keeps the
deadline itself, from the script's start; the pod's own is for a runner that cannot."""

LAST_WORDS = 10
"""Seconds that a runner has to report, after what it was told to end has had its grace."""

LOG_LIMIT = 4 * 1024**2
"""Bytes kept of each stream: kubelets begin a new log file at 10 MiB, and the API server serves only the newest."""


class Jobs:
    """Makes and ends Jobs and their pods."""

    def __init__(self, cluster: Cluster, placement: Placement, settings: Settings) -> None:
        self._cluster = cluster
        self._placement = placement
        self._settings = settings
        self._asked: TTLCache[str, bool] = TTLCache(math.inf, SEEN_WITHIN)
        self._programs: str | None = None

    def start(self, record: Record, build: BuildState) -> None:
        """Create the Job, whose pods run the image that the Build pushed. Raises `Refused`, as by a quota."""
        self._create(record, pod_manifests.job(record.inspection, build.image or "", self._surroundings(record, build)))

    def start_again(self, record: Record, item: int, attempt: int, build: BuildState) -> None:
        """Create the further Job of an item whose last attempt was taken away. Raises `Refused`."""
        surroundings = replace(
            self._surroundings(record, build), attempts=max(1, self._settings.attempts - attempt + 1)
        )
        whole = pod_manifests.job(record.inspection, build.image or "", surroundings)
        name = names.again(record.inspection.id, item, attempt)
        notes = {names.ITEM: str(item), names.ATTEMPT: str(attempt)}
        self._create(record, pod_manifests.job_of_item(whole, name, item, notes))

    def _create(self, record: Record, document: dict[str, Any]) -> None:
        name = document["metadata"]["name"]
        if name in self._asked:
            return
        try:
            self._cluster.create(kinds.JOBS, document)
            logger.info("job started", job=name)
        except AlreadyThere:
            logger.debug("job was started by another", job=name)
        self._asked[name] = True

    def note(self, record: Record, jobs: Sequence[Document]) -> None:
        """Keep in the record that these Jobs, which are there, were made."""
        made = {**record.made}
        for job in jobs:
            item = names.number(job, names.ITEM, -1)
            key = deleted_pods.ALL if item < 0 else str(item)
            made[key] = max(made.get(key, 0), names.number(job, names.ATTEMPT, 1))
            self._asked.pop(job["metadata"]["name"], None)
        if made != record.made:
            self._cluster.patch(kinds.CONFIG_MAPS, record.inspection.id, records.made(made))

    def begin_anew(self, record: Record, jobs: Sequence[Document]) -> None:
        """Take away Jobs of which no script has begun: others are to be made in their place."""
        self._cluster.patch(kinds.CONFIG_MAPS, record.inspection.id, records.made({}))
        for job in jobs:
            self._cluster.delete(kinds.JOBS, job["metadata"]["name"])
            self._asked.pop(job["metadata"]["name"], None)

    def _surroundings(self, record: Record, build: BuildState) -> Surroundings:
        settings, run = self._settings, record.inspection.specification.run
        sources = [
            {"configMap": {"name": self._runner()}},
            {
                "secret" if record.inspection.abridged else "configMap": {
                    "name": record.inspection.id,
                    "items": [{"key": records.SCRIPT, "path": "script"}],
                }
            },
        ]
        labels = {names.INSPECTION: record.inspection.id, names.ENVIRONMENT: names.short(record.inspection.environment)}
        labels[names.EGRESS] = settings.run_egress
        return Surroundings(
            payload={"projected": {"defaultMode": 0o555, "sources": sources}},
            user=None,
            grace=settings.grace,
            last_words=LAST_WORDS,
            output_limit=min(settings.output_limit, LOG_LIMIT),
            deadline=run.timeout + settings.grace + MARGIN + settings.start_deadline,
            affinity=self._placement.affinity(run.requests.hardware),
            labels=labels,
            job_labels={names.QUEUE: settings.queue_name} if settings.queue_name else None,
            annotations={names.BUILT: json.dumps(asdict(build))},
            owner=records.reference("ConfigMap", record.inspection.id, record.uid),
            account=ACCOUNT,
            attempts=settings.attempts,
            devices=self._placement.devices(run.requests.hardware),
            disk=settings.storage_limit,
        )

    def _runner(self) -> str:
        """The ConfigMap of the programs that every run needs: one for all, named by what is in it."""
        if self._programs is None:
            data = {name: content.decode() for name, content in runner.programs().items()}
            digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
            name = f"runner-{digest[:16]}"
            metadata = {"name": name, "labels": names.labels(names.RUNNER)}
            with contextlib.suppress(AlreadyThere):
                self._cluster.create(kinds.CONFIG_MAPS, {"metadata": metadata, "immutable": True, "data": data})
            self._programs = name
        return self._programs

    def stop(self, record: Record, jobs: Sequence[Document], pods: Sequence[Document], *, running: bool) -> None:
        """Let nothing begin any more, and end what runs if `running`: so that what it has logged stays.

        The Job goes first and leaves its pods, or it would start others in their place. Those belong to the record from
        then on. A pod ends in order, and stays, when its deadline is over; a deleted one would take its log along,
        so that only those are deleted of which no container has begun, or will before anybody sees it.
        """
        for job in jobs:
            if not deleted_pods.over(job):
                self._cluster.delete(kinds.JOBS, job["metadata"]["name"], "Orphan")
        for pod in pods:
            if pod["metadata"].get("deletionTimestamp"):
                continue
            if (
                not pod_states.terminated(pod)
                and not pod_states.working(pod)
                and not (running and pod_states.on_its_way(pod))
            ):
                self._cluster.delete(kinds.PODS, pod["metadata"]["name"])
            else:
                self._take_over(record, pod, end=running and not pod_states.terminated(pod))

    def _take_over(self, record: Record, pod: Document, end: bool) -> None:
        """Make a pod the record's own, and end it where it runs."""
        metadata = pod["metadata"]
        owned = any(owner.get("uid") == record.uid for owner in metadata.get("ownerReferences") or ())
        if owned and (not end or names.STOPPED in (metadata.get("annotations") or {})):
            return
        owner = records.reference("ConfigMap", record.inspection.id, record.uid)
        change: dict[str, Any] = {"metadata": {"ownerReferences": [owner]}}
        if end:
            change["metadata"]["annotations"] = {names.STOPPED: "Cancelled"}
            change["spec"] = {"activeDeadlineSeconds": 1}
        try:
            self._cluster.patch(kinds.PODS, metadata["name"], change, strategic=True)
        except NotFound:
            logger.debug("pod is gone", pod=metadata["name"])


def built(jobs: Sequence[Document]) -> BuildState | None:
    """The build that the last of these Jobs was started with, as it noted."""
    ordered = sorted(jobs, key=lambda job: names.number(job, names.ATTEMPT, 1), reverse=True)
    noted = (records.build_state((job["metadata"].get("annotations") or {}).get(names.BUILT)) for job in ordered)
    return next((state for state in noted if state is not None), None)
