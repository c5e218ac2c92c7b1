"""What a build asks hosts with, on a cluster: a Secret of its own, mounted into the build and into nothing else.

Of many who declare one environment at the same time each makes such a Secret. That of the first counts: an annotation
of the environment's ConfigMap names it. All of them go when the build has ended (`forgetting`).
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from amun.engines.kubernetes import kinds, names, records
from amun.engines.kubernetes.api_client import AlreadyThere, Cluster, NotFound
from amun.environments import logins
from amun.model.inspection import Inspection
from amun.model.login import Login

NETRC = "netrc"
"""The key of what the build reads."""

KEPT = "logins.json"
"""The key of the same in JSON, from which logs are masked."""


class Logins:
    """The Secrets of environments whose builds ask hosts with a password."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def keep(self, environment: str, inspection: Inspection, asked_with: Sequence[Login]) -> str:
        """Make the Secret of an inspection for an environment that is to be declared. Returns its name."""
        name = names.logins(environment, inspection.id)
        labels = names.labels(names.LOGINS, **{names.ENVIRONMENT: names.short(inspection.environment)})
        listed = json.dumps([asdict(one) for one in asked_with])
        document = records.secret(name, labels, {NETRC: logins.netrc(asked_with).encode(), KEPT: listed.encode()})
        with contextlib.suppress(AlreadyThere):  # our own: the answer to the first try was lost
            self._cluster.create(kinds.SECRETS, document)
        return name

    def adopt(self, context: Mapping[str, Any]) -> str | None:
        """Make the Secret that counts the environment's own. Returns its name; None where the build has none."""
        name = _of(context)
        if name is not None:
            metadata = context["metadata"]
            with contextlib.suppress(NotFound):  # forgotten already
                self._cluster.patch(kinds.SECRETS, name, records.owned(metadata["name"], metadata["uid"]))
        return name

    def words(self, environment: str) -> list[str] | None:
        """What must not be seen of it in a log; None once it is forgotten."""
        context = self._cluster.find(kinds.CONFIG_MAPS, environment)
        name = None if context is None else _of(context)
        kept = None if name is None else self._cluster.find(kinds.SECRETS, name)
        if kept is None:
            return None
        return logins.secrets(Login(**one) for one in json.loads(base64.b64decode(kept["data"][KEPT])))

    def environments(self) -> set[str]:
        """Environments that have such Secrets, be it that they are only about to be declared."""
        return set(map(names.owner, self._names(names.selector(**{names.KIND: names.LOGINS}))))

    def forget(self, environment: str) -> None:
        """Remove all such Secrets of an environment."""
        wanted = {names.KIND: names.LOGINS, names.ENVIRONMENT: names.digits(environment)}
        for name in self._names(names.selector(**wanted)):
            if names.owner(name) == environment:
                self._cluster.delete(kinds.SECRETS, name)

    def _names(self, selector: str) -> list[str]:
        return [one["metadata"]["name"] for one in self._cluster.list(kinds.SECRETS, selector, metadata=True)]


def _of(context: Mapping[str, Any]) -> str | None:
    name: str | None = (context["metadata"].get("annotations") or {}).get(names.ASKED_WITH)
    return name
