"""Calls to the API server: this module and `place` alone know the client libraries.

Documents go in and come out as plain dictionaries. Transport errors, 429 and 5xx are tried again a few times, as long
as the server asks for (Retry-After); what is left of errors is one of

* `NotFound`, `AlreadyThere`, `Changed` (somebody else was first), `Gone` (a watch that is too old);
* `Refused`, with the server's words: not known who asks, a quota; `RefusedForGood`: no right, an object it finds
  wrong;
* `EngineUnavailable`: out of reach.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import tenacity
import urllib3
from kubernetes import client as kubernetes
from openshift.dynamic import DynamicClient, Resource
from openshift.dynamic.exceptions import DynamicApiError

from amun import __version__
from amun.errors import EngineUnavailable, Rejected
from amun.settings import Settings

from .connection import Place, find

Document = dict[str, Any]

CONNECT = 5.0
"""Seconds for a connection."""

ATTEMPTS = 5
LONGEST_PAUSE = 10.0
"""Seconds between two attempts, whatever the server asks for: what takes longer is tried again by the caller."""

WATCH_SECONDS = 300
"""How long one watch may last: a connection that died unnoticed is missed for no longer."""

SEEN_WITHIN = 30.0
"""Seconds within which what was asked of a cluster is seen to be there; then it is asked for once more."""

METADATA = "application/json;as=PartialObjectMetadata{list};v=v1;g=meta.k8s.io,application/json"
"""What to accept where an object's metadata is all that matters; servers that cannot do that send all of it."""


_QUOTA = re.compile(r"exceeded quota|status unknown for quota")
"""A quota is refused as 403 (plugin/pkg/admission/resourcequota), like a missing right."""

BUILDING = ("build.openshift.io", "image.openshift.io")
"""API groups without which nothing can be built on a cluster."""


class ClusterError(EngineUnavailable):
    """The API server said no: `code` of the answer, and the server's own sentence."""

    reason: ClassVar[str] = "Refused"
    """What is said to have been waited for, if it is waited for."""

    def __init__(self, message: str, code: int = 0, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.body = body or {}


class NotFound(ClusterError):
    """There is no such object."""


class AlreadyThere(ClusterError):
    """There is one of this name."""


class Changed(ClusterError):
    """It is not what the request took it to be any more."""


class Gone(ClusterError):
    """The resourceVersion that a watch was to begin at is forgotten."""


class Refused(ClusterError):
    """401, and 403 for a quota: it may pass."""


class RefusedForGood(Refused, Rejected):
    """400, 403 for want of a right, 413 and 422: it does not pass by itself."""

    status = Rejected.status

    @property
    def wrong(self) -> bool:
        """Whether it is the request that the server finds wrong: no right would help."""
        return self.code != 403


class _Again(Exception):
    """Worth another attempt, after so many seconds if the server said."""

    def __init__(self, error: EngineUnavailable, after: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after = error, after


def connect(settings: Settings) -> Cluster:
    """The cluster that the settings lead to. Raises `EngineUnavailable` where they lead to none."""
    return Cluster(find(settings), settings.cluster_timeout)


class Cluster:
    """One API server, one namespace. Safe for many threads."""

    def __init__(self, place: Place, timeout: float) -> None:
        self.namespace = place.namespace
        self._timeout = timeout
        api = kubernetes.ApiClient(place.configuration)
        api.user_agent = f"amun/{__version__}"
        self._client = DynamicClient(api, discoverer=lambda _client, _cache_file: None)

    def lacks(self) -> list[str]:
        """The API groups that the server does not have of those that are needed to build."""
        there = {one["name"] for one in self._call("get", "/apis")["groups"]}
        return [group for group in BUILDING if group not in there]

    # -- objects ------------------------------------------------------------------------------------------------

    def create(self, kind: Resource, document: Mapping[str, Any], **query: str) -> Document:
        """Raises `AlreadyThere`, `Refused`."""
        body = {"apiVersion": kind.group_version, "kind": kind.kind, **document}
        return self._call("post", self._path(kind), body, {"fieldValidation": "Strict", **query})

    def get(self, kind: Resource, name: str, namespace: str | None = None) -> Document:
        """Raises `NotFound`."""
        return self._call("get", self._path(kind, name, namespace))

    def find(self, kind: Resource, name: str) -> Document | None:
        """As `get`, None where there is none."""
        try:
            return self.get(kind, name)
        except NotFound:
            return None

    def pages(
        self, kind: Resource, selector: str = "", *, fields: str = "", metadata: bool = False
    ) -> Iterator[Document]:
        """Lists of the objects that a selector finds, page by page; of `metadata` only, where that is asked for."""
        query = {"limit": "500", "labelSelector": selector, "fieldSelector": fields}
        accept = METADATA.format(list="List") if metadata else "application/json"
        while True:
            page = self._call("get", self._path(kind), None, {k: v for k, v in query.items() if v}, accept=accept)
            yield page
            more = page["metadata"].get("continue")
            if not more:
                return
            query["continue"] = more

    def list(self, kind: Resource, selector: str = "", *, fields: str = "", metadata: bool = False) -> list[Document]:
        """The objects that a selector finds."""
        pages = self.pages(kind, selector, fields=fields, metadata=metadata)
        return [item for page in pages for item in page.get("items") or ()]

    def patch(self, kind: Resource, name: str, change: Mapping[str, Any], *, strategic: bool = False) -> Document:
        """Merge a change into an object. Raises `NotFound`, and `Changed` if it names a version that is past."""
        content = f"application/{'strategic-' if strategic else ''}merge-patch+json"
        return self._call("patch", self._path(kind, name), change, content=content)

    def remove(self, kind: Resource, name: str, propagation: str = "Background") -> None:
        """Delete an object, and by `propagation` what it owns. Raises `NotFound`."""
        self._call("delete", self._path(kind, name), {"propagationPolicy": propagation})

    def delete(self, kind: Resource, name: str, propagation: str = "Background") -> None:
        """As `remove`; one that is gone already is fine."""
        with contextlib.suppress(NotFound):
            self.remove(kind, name, propagation)

    def post(self, kind: Resource, name: str, subresource: str, document: Mapping[str, Any]) -> Document:
        """Post to a subresource of an object."""
        return self._call("post", f"{self._path(kind, name)}/{subresource}", document)

    # -- streams ------------------------------------------------------------------------------------------------

    def open(
        self, kind: Resource, name: str | None = None, subresource: str | None = None, *, idle: float, **query: str
    ) -> urllib3.BaseHTTPResponse:
        """An answer that comes bit by bit; it is the caller's to close. Reading fails after `idle` seconds of silence.

        Raises as the others do, but only for what is known when the answer begins.
        """
        path = self._path(kind, name) + (f"/{subresource}" if subresource else "")
        return self._answer("get", path, None, query, "application/json, */*", None, (CONNECT, idle))

    def watch(
        self, kind: Resource, selector: str = "", version: str = "", *, idle: float, metadata: bool = False
    ) -> urllib3.BaseHTTPResponse:
        """What happens after a version, or what there is and what happens then: lines of JSON, opened as by `open`.

        It ends by itself after `WATCH_SECONDS`. Bookmarks are among the events.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        query |= {"labelSelector": selector} if selector else {}
        query |= {"resourceVersion": version} if version else {}
        accept = METADATA.format(list="") if metadata else "application/json"
        return self._answer("get", self._path(kind), None, query, accept, None, (CONNECT, idle))

    # -- underneath ---------------------------------------------------------------------------------------------

    def _path(self, kind: Resource, name: str | None = None, namespace: str | None = None) -> str:
        path: str = kind.path(name=name, namespace=(namespace or self.namespace) if kind.namespaced else None)
        return path

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        *,
        accept: str = "application/json",
        content: str | None = None,
    ) -> Document:
        answer = self._answer(method, path, body, query or {}, accept, content, (CONNECT, self._timeout))
        document: Document = json.loads(answer.data or b"{}")
        return document

    def _answer(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, str],
        accept: str,
        content: str | None,
        timeout: tuple[float, float],
    ) -> urllib3.BaseHTTPResponse:
        def attempt() -> urllib3.BaseHTTPResponse:
            try:
                answer: urllib3.BaseHTTPResponse = self._client.request(
                    method,
                    path,
                    body=body,
                    query_params=list(query.items()),
                    header_params={"Accept": accept},
                    content_type=content,
                    serialize=False,
                    _request_timeout=timeout,
                )
            except DynamicApiError as exc:
                error = _error(exc)
                # Without a condition of ours it was a collision inside the server, as of those who use up a quota.
                if isinstance(error, Changed) and not _conditional(body):
                    error = _Again(error)
                raise error from exc
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                raise _Again(EngineUnavailable(f"The API server does not answer: {_reason(exc)}")) from exc
            return answer

        try:
            return tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(_Again),
                stop=tenacity.stop_after_attempt(ATTEMPTS),
                wait=_pause,
                reraise=True,
            )(attempt)
        except _Again as exc:
            raise exc.error from exc


def _pause(state: tenacity.RetryCallState) -> float:
    """As long as the server asks for, else longer each time; with a part by chance, lest all come back at once."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, _Again) else None
    backoff: float = tenacity.wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE)(state)
    return min(LONGEST_PAUSE, asked + backoff / 10) if asked is not None else backoff


def _reason(exc: Exception) -> str:
    cause = getattr(exc, "reason", None) or exc
    return f"{type(cause).__name__}" if isinstance(cause, Exception) else str(cause)


def _error(exc: DynamicApiError) -> Exception:
    """What an answer other than 2xx means to us."""
    body = _status(exc.body)
    said = str(body.get("message") or exc.reason or "no reason given")
    if exc.status in (400, 401, 403, 413, 422):
        passes = exc.status == 401 or (exc.status == 403 and _QUOTA.search(said))
        kind = Refused if passes else RefusedForGood
        return kind(f"The API server refused: {said}", exc.status, body)
    if exc.status == 404:
        return NotFound(f"The API server has none: {said}", 404, body)
    if exc.status == 409:
        return (AlreadyThere if body.get("reason") == "AlreadyExists" else Changed)(said, 409, body)
    if exc.status == 410:
        return Gone(said, 410, body)
    error = ClusterError(f"The API server failed: {said}", exc.status, body)
    if exc.status == 429 or exc.status >= 500:
        return _Again(error, _seconds((exc.headers or {}).get("Retry-After")))
    return error


def _conditional(body: Mapping[str, Any] | None) -> bool:
    """Whether a request says what must be so for it to be carried out."""
    return "resourceVersion" in ((body or {}).get("metadata") or {})


def _status(body: object) -> Mapping[str, Any]:
    """The Status document of an answer; anything else may be a proxy's page, and is nobody's business."""
    try:
        document = json.loads(body) if isinstance(body, bytes | str) else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) and document.get("kind") == "Status" else {}


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isdecimal() else None
