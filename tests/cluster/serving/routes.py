"""What a request asks for: which verb of which resource, as rights and quotas name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.cluster import errors
from tests.cluster.objects.kinds import BUILDS, BY_PATH, IMAGES, Kind

VIRTUAL = (  # resources of which nothing is kept
    Kind("BuildRequest", "buildrequests", BUILDS),
    Kind("ImageStreamTag", "imagestreamtags", IMAGES),
    Kind("ImageStreamImport", "imagestreamimports", IMAGES),
    Kind("SelfSubjectAccessReview", "selfsubjectaccessreviews", "authorization.k8s.io", namespaced=False),
    Kind("SubjectAccessReview", "subjectaccessreviews", "authorization.k8s.io", namespaced=False),
    Kind("LocalSubjectAccessReview", "localsubjectaccessreviews", "authorization.k8s.io"),
    Kind("TokenReview", "tokenreviews", "authentication.k8s.io", namespaced=False),
)
RESOURCES = {**BY_PATH, **{(kind.group, kind.plural): kind for kind in VIRTUAL}}
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
SUBRESOURCES = {
    "builds": ("log", "details", "clone"),
    "buildconfigs": ("instantiate",),
    "pods": ("log", "status", "eviction"),
}
PARTIAL = ";as=PartialObjectMetadata"


@dataclass(frozen=True)
class Request:
    """One request, with its path taken apart. `kind` is None for what is no resource, such as ``/version``."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    kind: Kind | None = None
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    seen: dict[str, Any] = field(default_factory=dict)  # what is found out on the way, for the recording

    @cached_property
    def verb(self) -> str:
        """As in the rules of roles."""
        if self.kind is None:
            return self.method.lower()
        if self.method == "GET":
            return "get" if self.name else "watch" if self.flag("watch") else "list"
        if self.method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return VERBS.get(self.method, self.method.lower())

    @property
    def resource(self) -> str:
        """As in the rules of roles: ``pods/log``."""
        plural = self.kind.plural if self.kind else ""
        return f"{plural}/{self.subresource}" if self.subresource else plural

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("true", "1")

    def number(self, name: str) -> int | None:
        """A number of the query, None if it is not there. Raises `ApiError` 400."""
        given = self.query.get(name)
        if not given:
            return None
        if not given.isdecimal():
            raise errors.bad_request(f'strconv.ParseInt: parsing "{given}": invalid syntax')
        return int(given)

    @property
    def dry_run(self) -> bool:
        return self.query.get("dryRun") == "All"

    @property
    def partial(self) -> bool:
        """Metadata alone is asked for."""
        return PARTIAL in self.headers.get("accept", "").replace(" ", "").partition(",")[0]


def parse(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Request:
    """Take a request apart. Raises `ApiError` 404 for a resource that is not served."""
    split = urlsplit(target)
    query = {key: values[-1] for key, values in parse_qs(split.query, keep_blank_values=True).items()}
    parts = [unquote(part) for part in split.path.strip("/").split("/")]
    rest, group = _in_group(parts)
    if not rest:
        return Request(method, split.path, query, headers, body)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group, rest[2]) in RESOURCES:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource, *_ = [*rest, "", ""]
    kind = RESOURCES.get((group, plural))
    if kind is None or (subresource and not _has(kind, subresource)) or len(rest) > 3:
        raise errors.ApiError(404, "NotFound", "the server could not find the requested resource", {})
    return Request(method, split.path, query, headers, body, kind, namespace, name, subresource)


def _in_group(parts: list[str]) -> tuple[list[str], str]:
    """What comes after ``/api/v1`` or ``/apis/GROUP/v1``, and the group."""
    if parts[:2] == ["api", "v1"]:
        return parts[2:], ""
    if parts[0] == "apis" and len(parts) > 3 and parts[2] == "v1":
        return parts[3:], parts[1]
    return [], ""


def _has(kind: Kind, subresource: str) -> bool:
    return subresource in SUBRESOURCES.get(kind.plural, ()) or (kind.status and subresource == "status")
