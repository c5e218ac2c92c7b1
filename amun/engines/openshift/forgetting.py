"""When what builds ask hosts with is removed: they have ended, or nobody waits for them; their logs are kept first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from cachetools import LRUCache

from amun.engines.kubernetes import logs
from amun.engines.kubernetes.api_client import NotFound
from amun.errors import EngineUnavailable
from amun.telemetry.logs import logger

from . import build_states
from .build_config_builder import JUST_NOW, Environments
from .logins import Logins

LOOK = 30.0
"""Seconds after which is looked for what no inspection that is known here led to."""

FORGOTTEN = 10_000
"""Environments of which it is kept that nothing is left; to look once more does no harm."""


class Forgetting:
    """Removes the Secrets of `Logins`. What it keeps it would find again."""

    def __init__(self, logins: Logins, environments: Environments) -> None:
        self._logins = logins
        self._environments = environments
        self._next = time.monotonic()
        self._there: set[str] = set()
        self._unneeded: dict[str, float] = {}
        self._forgotten: LRUCache[str, bool] = LRUCache(FORGOTTEN)

    def tend(
        self, known: set[str], wanted: set[str], builds_of: Callable[[str], Sequence[build_states.Document]]
    ) -> None:
        """Forget what is not needed. `known` are environments of inspections, `wanted` those that are waited for."""
        self._there |= known - self._forgotten.keys()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOOK
            self._there |= self._logins.environments()
        for name in sorted(self._there):
            there = builds_of(name)
            last = build_states.newest(there)
            built = last is not None and build_states.image(last) is not None
            if any(map(build_states.ongoing, there)) or (name in wanted and not built):
                self._unneeded.pop(name, None)
            elif (built or self._is_given_up(name)) and self._keep_logs(name, there):
                self._logins.forget(name)
                self._there.discard(name)
                self._unneeded.pop(name, None)
                self._forgotten[name] = True
                logger.info("logins forgotten", environment=name)

    def _is_given_up(self, name: str) -> bool:
        """Whether nobody waits for an environment any more, nor will: from now on nobody joins it.

        Who has just done so is seen a moment later. One that is not there is only about to be declared; should it
        never be, `Retention` removes what was left.
        """
        since = self._unneeded.get(name)
        if since is None:
            try:
                self._environments.failed(name)
                self._unneeded[name] = time.monotonic()
            except NotFound:
                self._there.discard(name)
            return False
        return time.monotonic() - since > JUST_NOW

    def _keep_logs(self, name: str, there: Sequence[build_states.Document]) -> bool:
        """Keep the logs of an environment's Builds, masked. False while one cannot be read that may yet be."""
        words = self._logins.words(name)
        if words is None:
            return True
        since = self._unneeded.setdefault(name, time.monotonic())
        for build in there:
            try:
                self._environments.mask(build, words)
                self._environments.keep_log(build, words, even_empty=True)
            except EngineUnavailable:
                if time.monotonic() - since < logs.WITHIN:
                    return False
                self._environments.keep_no_log(build)
        return True
