"""Who may do what: users by their tokens, with rules as roles write them."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.cluster import errors
from tests.cluster.serving.routes import Request

Rule = Mapping[str, Any]  # apiGroups, resources, verbs, resourceNames; or nonResourceURLs

EVERYTHING: Rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
PUBLIC = ("/version", "/healthz", "/livez", "/readyz")
ANYBODY = ("selfsubjectaccessreviews",)  # what whoever has a token may ask


@dataclass
class User:
    """Somebody with a token; `rules` by namespace, ``""`` for the whole cluster."""

    name: str
    token: str = field(default_factory=lambda: f"sha256~{secrets.token_urlsafe(32)}")
    groups: tuple[str, ...] = ("system:authenticated",)
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    rules: dict[str, list[Rule]] = field(default_factory=dict)

    def may(self, verb: str, group: str, resource: str, namespace: str = "", name: str = "") -> bool:
        """Whether a rule of the cluster, or of the namespace, allows it."""
        rules = [*self.rules.get("", []), *(self.rules.get(namespace, []) if namespace else [])]
        return any(_allows(rule, verb, group, resource, name) for rule in rules)


def _allows(rule: Rule, verb: str, group: str, resource: str, name: str) -> bool:
    names = rule.get("resourceNames")
    return (
        _among(verb, rule.get("verbs"))
        and _among(group, rule.get("apiGroups"))
        and (_among(resource, rule.get("resources")) or f"*/{resource.partition('/')[2]}" in rule.get("resources", ()))
        and (not names or name in names)
    )


def _among(word: str, words: Iterable[str] | None) -> bool:
    given = tuple(words or ())
    return "*" in given or word in given


class Rights:
    """All users. Without a token one is system:anonymous; a token that nobody has is 401."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.anonymous = User("system:anonymous", "", ("system:unauthenticated",))

    def add(self, name: str, rules: Iterable[Rule] = (), namespace: str = "", groups: Iterable[str] = ()) -> User:
        """A user, with rules in a namespace or in the whole cluster; more rules for one who is there already."""
        user = self.users.get(name)
        if user is None:
            user = self.users[name] = User(name, groups=(*groups, *_groups(name)))
        user.rules.setdefault(namespace, []).extend(rules)
        return user

    def by_token(self, token: str) -> User | None:
        return next((user for user in self.users.values() if user.token == token), None)

    def who(self, request: Request) -> User:
        """Raises `ApiError` 401."""
        given = request.headers.get("authorization", "")
        if not given:
            return self.anonymous
        scheme, _, token = given.partition(" ")
        user = self.by_token(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise errors.unauthorized()
        return user

    def check(self, user: User, request: Request) -> None:
        """Raises `ApiError` 403."""
        kind = request.kind
        if kind is None:
            if user is self.anonymous and not request.path.startswith(PUBLIC):
                message = f'forbidden: User "{user.name}" cannot {request.verb} path "{request.path}"'
                raise errors.ApiError(403, "Forbidden", message, {})
            return
        if kind.plural in ANYBODY and user is not self.anonymous:
            return
        if not user.may(request.verb, kind.group, request.resource, request.namespace, request.name):
            where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
            what = f'cannot {request.verb} resource "{request.resource}" in API group "{kind.group}" {where}'
            raise errors.forbidden(kind, request.name, f'User "{user.name}" {what}')


def _groups(name: str) -> tuple[str, ...]:
    """The groups that one is in by what one is."""
    if name.startswith("system:serviceaccount:"):
        namespace = name.split(":")[2]
        return "system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"
    return "system:authenticated:oauth", "system:authenticated"
