"""What goes when its time has come: closed inspections, environments that nobody used, keys; what nobody owns."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from amun.model import timestamps
from amun.settings import Settings
from amun.telemetry.logs import logger

from . import kinds, names
from .api_client import Cluster

PERIOD = 600.0
"""Seconds between two looks."""

AT_ONCE = 500
"""Objects that one look removes at most: what is left waits for the next."""

DAY = 86400.0

LEFT_AFTER = 3600.0
"""Seconds after which a Secret without an owner was left by something that never came to its end."""


class Retention:
    """Removes what is past its time; looks seldom, and at metadata only."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._next = time.monotonic()

    def expire(self) -> None:
        """Remove what has expired, if it is time to look. Raises `EngineUnavailable`."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PERIOD
        left, used = AT_ONCE, set()
        for record in self._cluster.list(
            kinds.CONFIG_MAPS, names.selector(**{names.KIND: names.RECORD}), metadata=True
        ):
            metadata = record["metadata"]
            if left and self._expired(metadata):
                self._cluster.delete(kinds.CONFIG_MAPS, metadata["name"])
                logger.info("inspection expired", inspection_id=metadata["name"])
                left -= 1
            else:
                used.add(metadata["labels"].get(names.ENVIRONMENT))
        self._expire_others(used, left)
        self._remove_left()

    def _expired(self, metadata: Mapping[str, Any]) -> bool:
        finished = (metadata.get("annotations") or {}).get(names.FINISHED)
        succeeded = metadata["labels"].get(names.OUTCOME) == "succeeded"
        days = self._settings.retention_days if succeeded else self._settings.failed_retention_days
        return finished is not None and past(finished, days)

    def _expire_others(self, used: set[str | None], left: int) -> None:
        """Environments of which no inspection is left, and keys."""
        lasts = {names.CONTEXT: self._settings.environment_days, names.KEY: self._settings.retention_days}
        for kind, days in lasts.items():
            for one in self._cluster.list(kinds.CONFIG_MAPS, names.selector(**{names.KIND: kind}), metadata=True):
                metadata = one["metadata"]
                if left and metadata["labels"].get(names.ENVIRONMENT, "") not in used and past(_made(metadata), days):
                    self._cluster.delete(kinds.CONFIG_MAPS, metadata["name"])
                    logger.info("expired", kind=kind, name=metadata["name"])
                    left -= 1

    def _remove_left(self) -> None:
        """Secrets that were made for a record or an environment that never came to be, or went too soon."""
        for kind in (names.SPECIFICATION, names.PART, names.LOGINS):
            for one in self._cluster.list(kinds.SECRETS, names.selector(**{names.KIND: kind}), metadata=True):
                metadata = one["metadata"]
                age = timestamps.between(_made(metadata), timestamps.now()) or 0
                if metadata.get("ownerReferences") or age < LEFT_AFTER:
                    continue
                if self._cluster.find(kinds.CONFIG_MAPS, names.owner(metadata["name"])) is None:
                    self._cluster.delete(kinds.SECRETS, metadata["name"])
                    logger.info("left behind, removed", kind=kind, name=metadata["name"])


def _made(metadata: Mapping[str, Any]) -> str:
    moment: str = metadata["creationTimestamp"]
    return moment


def past(moment: str, days: int) -> bool:
    """Whether it is so many days ago; 0 days are for ever."""
    return bool(days) and (timestamps.between(moment, timestamps.now()) or 0) > days * DAY
