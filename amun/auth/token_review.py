"""Tokens of a cluster: it says whose a token is (TokenReview), and what they may do (SubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from amun.engines.kubernetes.api_client import Cluster
from amun.engines.kubernetes.connection import find
from amun.engines.kubernetes.kinds import SUBJECT_REVIEWS, TOKEN_REVIEWS
from amun.engines.kubernetes.rights import Right, Rights
from amun.errors import EngineUnavailable, Forbidden, Unauthenticated
from amun.settings import Settings
from amun.telemetry.logs import logger

from .callers import Caller, Reviewer
from .permission import Access

Document = dict[str, Any]

GROUP = "group:"
"""Begins the names of groups among the names of those who see all."""

PATIENCE = 5.0
"""Seconds that one of the requests of a review may take at most: somebody waits at the door."""

OUT_OF_REACH = "The cluster cannot be asked now who the caller is, and what they may do."


NEEDED = (
    Right("create", "authentication.k8s.io", "tokenreviews"),
    Right("create", "authorization.k8s.io", "subjectaccessreviews"),
)
"""What the service's own account needs."""


class ClusterReviewer(Reviewer):
    """Asks the cluster, each time.

    Args:
        access: the right without which nobody comes in.
        admin: the right of those who see all; None where only the names in `admins` do.
        admins: names of users who see all, and of groups, with ``group:`` before them.
    """

    def __init__(
        self, cluster: Cluster, access: Access, admin: Access | None = None, admins: Collection[str] = ()
    ) -> None:
        self._cluster = cluster
        self._rights = Rights(cluster)
        self._access = access
        self._admin = admin
        self._admins = frozenset(admins)

    def check(self) -> None:
        self._rights.check(NEEDED)

    def review(self, credential: str) -> Caller:
        user = self._user(credential)
        name = str(user["username"])
        if not self._may(user, self._access):
            right = f"`{self._access}` in the namespace {self._cluster.namespace}"
            raise Forbidden(f"{name} may not use this service: that takes the right {right}.")
        return Caller(name, admin=self._named(user) or (self._admin is not None and self._may(user, self._admin)))

    def _user(self, token: str) -> Document:
        """Whose the token is: `status.user` of its review."""
        status = self._review(TOKEN_REVIEWS, {"spec": {"token": token}})
        user = status.get("user")
        if status.get("authenticated") is not True or not isinstance(user, dict) or not user.get("username"):
            raise Unauthenticated("The token is not valid here.")
        return user

    def _may(self, user: Mapping[str, Any], access: Access) -> bool:
        subject = {name: user[name] for name in ("uid", "groups", "extra") if user.get(name)}
        attributes = access.attributes(self._cluster.namespace)
        spec = {"user": user["username"], **subject, "resourceAttributes": attributes}
        status = self._review(SUBJECT_REVIEWS, {"spec": spec})
        return status.get("allowed") is True

    def _named(self, user: Mapping[str, Any]) -> bool:
        names = {user["username"], *(GROUP + group for group in user.get("groups") or ())}
        return not names.isdisjoint(self._admins)

    def _review(self, kind: Any, document: Document) -> Document:
        """The status of a review. Whatever goes wrong is a reason to let nobody in, and says nothing of the token."""
        try:
            status = self._cluster.create(kind, document)["status"]
        except Exception as exc:
            # `from None`, and no traceback in the log: what failed holds the token.
            logger.error("review failed", kind=kind.kind, error=_words(exc))
            raise EngineUnavailable(OUT_OF_REACH) from None
        return status if isinstance(status, dict) else {}


def _words(exc: Exception) -> str:
    return str(exc) if isinstance(exc, EngineUnavailable) else type(exc).__name__


def reviewer(settings: Settings, access: Access, admin: Access | None, admins: Collection[str]) -> ClusterReviewer:
    """A reviewer that asks the cluster of the inspections, as the service's own account there."""
    cluster = Cluster(find(settings), min(settings.cluster_timeout, PATIENCE))
    return ClusterReviewer(cluster, access, admin, admins)
