"""The log subresources of pods and builds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.cluster import errors
from tests.cluster.objects.logs import Log
from tests.cluster.rules.podrules import containers

from .answers import TEXT, Answer, Stream
from .routes import Request

if TYPE_CHECKING:
    from tests.cluster.objects.store import Store

BINARY = "application/octet-stream"
NONE_AVAILABLE = "No logs are available."
WAITING = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}
NOTHING_YET = ("New", "Pending")


def of_pod(store: Store, request: Request) -> Answer | Stream:
    """Raises `ApiError` 400, 404."""
    pod = store.entry("Pod", request.name, request.namespace).object
    container = _container(pod, request.query.get("container", ""))
    if not pod["spec"].get("nodeName"):
        return Answer(204, content_type="")
    _refuse_waiting(pod, container)
    return _answer(store.log("Pod", request.name, container, request.namespace), request, TEXT)


def _container(pod: Mapping[str, Any], asked: str) -> str:
    name, spec = pod["metadata"]["name"], pod["spec"]
    regular = [container["name"] for container in spec["containers"]]
    if not asked and len(regular) == 1:
        return str(regular[0])
    if not asked:
        message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(regular)}]"
        initial = " ".join(container["name"] for container in spec.get("initContainers") or ())
        raise errors.bad_request(message + (f" or one of the init containers: [{initial}]" if initial else ""))
    if asked not in [container["name"] for container in containers(spec)]:
        raise errors.bad_request(f"container {asked} is not valid for pod {name}")
    return asked


def _refuse_waiting(pod: Mapping[str, Any], container: str) -> None:
    """Of a container that never ran there is no log."""
    status, name = pod.get("status") or {}, pod["metadata"]["name"]
    found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    state = next((entry for entry in found if entry["name"] == container), None)
    if state is None:
        raise errors.bad_request(f'container "{container}" in pod "{name}" is not available')
    waiting = (state.get("state") or {}).get("waiting")
    if waiting is not None and not (state.get("lastState") or {}).get("terminated"):
        reason = waiting.get("reason", "")
        why = WAITING.get(reason, reason)
        raise errors.bad_request(f'container "{container}" in pod "{name}" is waiting to start: {why}')


def of_build(store: Store, request: Request, patience: float) -> Answer | Stream:
    """Waits for a build that has not begun, unless told not to. Raises `ApiError` 400, 404, 504."""
    name, namespace = request.name, request.namespace
    build = store.entry("Build", name, namespace).object
    phase = build["status"]["phase"]
    if phase in NOTHING_YET and request.flag("nowait"):
        return Answer(204, content_type="")
    words = {"Cancelled": f"build {name} was cancelled. ", "Error": f"build {name} is in an error state. "}
    if phase in NOTHING_YET:
        build = _await(store, name, namespace, patience)
        phase = build["status"]["phase"]
        words = {"Cancelled": f"build {name} was cancelled: ", "Error": f"build {name} encountered an error: "}
    if phase in words:
        raise errors.bad_request(words[phase] + NONE_AVAILABLE)
    pod = (build["metadata"].get("annotations") or {}).get("openshift.io/build.pod-name")
    if pod and store.find("Pod", pod, namespace) is None:
        raise errors.bad_request(f'pods "{pod}" not found')
    return _answer(store.log("Build", name, namespace=namespace), request, BINARY)


def _await(store: Store, name: str, namespace: str, patience: float) -> dict[str, Any]:
    """A build once it has begun, or is over."""
    end = time.monotonic() + patience
    history = store.ledger.histories["Build"]
    while (left := end - time.monotonic()) > 0:
        version = history.events[-1].version if history.events else 0
        build = store.entry("Build", name, namespace).object
        if build["status"]["phase"] not in NOTHING_YET:
            return build
        history.since(max(version, history.floor), min(left, 0.5))
    message = f"timed out waiting for build {name} to start after {patience:g}s"
    raise errors.ApiError(504, "Timeout", message, {"retryAfterSeconds": 1}, {"Retry-After": "1"})


def _answer(log: Log, request: Request, content_type: str) -> Answer | Stream:
    query, stamped = request.query, request.flag("timestamps")
    content, position = log.read(request.number("tailLines"), _since(query), stamped)
    if not request.flag("follow"):
        return Answer(200, content[: request.number("limitBytes")], content_type)
    return Stream(_followed(content, log, position, stamped), content_type)


def _followed(content: bytes, log: Log, position: int, stamped: bool) -> Iterator[bytes]:
    yield content
    yield from log.follow(position, stamped)


def _since(query: Mapping[str, str]) -> datetime | None:
    if query.get("sinceTime"):
        return datetime.fromisoformat(query["sinceTime"])
    if query.get("sinceSeconds"):
        return datetime.now(UTC) - timedelta(seconds=int(query["sinceSeconds"]))
    return None
