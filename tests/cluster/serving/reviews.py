"""Answers to who asks whether a token is good, or who may do what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster.rules.rights import Rights, User

Document = dict[str, Any]

AUDIENCE = "https://kubernetes.default.svc"


def review(rights: Rights, user: User, kind: str, body: Mapping[str, Any]) -> Document:
    """A review with its status."""
    spec = body.get("spec") or {}
    version = "authentication.k8s.io/v1" if kind == "TokenReview" else "authorization.k8s.io/v1"
    status = REVIEWS[kind](rights, user, spec)
    return {
        "kind": kind,
        "apiVersion": version,
        "metadata": {"creationTimestamp": None},
        "spec": spec,
        "status": status,
    }


def _token(rights: Rights, _: User, spec: Mapping[str, Any]) -> Document:
    owner = rights.by_token(spec.get("token", ""))
    if owner is None:
        return {"user": {}, "error": "invalid bearer token"}
    user: Document = {"username": owner.name, "uid": owner.uid, "groups": list(owner.groups)}
    if owner.name.startswith("system:serviceaccount:"):
        user["extra"] = {"authentication.kubernetes.io/credential-id": [f"JTI={owner.uid}"]}
    audiences = spec.get("audiences") or [AUDIENCE]
    return {"authenticated": True, "user": user, "audiences": audiences}


def _self(_: Rights, user: User, spec: Mapping[str, Any]) -> Document:
    return _allowed(user, spec)


def _other(rights: Rights, _: User, spec: Mapping[str, Any]) -> Document:
    return _allowed(rights.users.get(spec.get("user", ""), rights.anonymous), spec)


def _allowed(user: User, spec: Mapping[str, Any]) -> Document:
    asked = spec.get("resourceAttributes") or {}
    resource = asked.get("resource", "")
    if asked.get("subresource"):
        resource += f"/{asked['subresource']}"
    where, name = asked.get("namespace", ""), asked.get("name", "")
    allowed = user.may(asked.get("verb", ""), asked.get("group", ""), resource, where, name)
    return {"allowed": True, "reason": "RBAC: allowed by a rule"} if allowed else {"allowed": False}


REVIEWS: dict[str, Callable[[Rights, User, Mapping[str, Any]], Document]] = {
    "TokenReview": _token,
    "SelfSubjectAccessReview": _self,
    "SubjectAccessReview": _other,
    "LocalSubjectAccessReview": _other,
}
