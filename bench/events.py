"""When what happened to a pod: Podman's own account, see podman-events(1)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from amun.engines.podman.podman_cli import Podman
from amun.model import timestamps


def of_pod(podman: Podman, pod: str, since: float) -> dict[str, float]:
    """Seconds since the epoch of each event, by ``KIND STATUS`` (`infra start`, `run died`, `pod remove`, …).

    Containers of the pod are called by the name that its manifest gives them. The first event of a name counts.
    """
    found: dict[str, float] = {}
    events = list(_all(podman, since))
    ids = {event.get("ID") for event in events if event.get("Type") == "pod" and event.get("Name") == pod}
    for event in events:
        name, moment = event.get("Name", ""), timestamps.seconds(event["Time"])
        if name.startswith(f"{pod}-"):
            found.setdefault(f"{name.removeprefix(f'{pod}-')} {event['Status']}", moment)
        elif name == pod:
            found.setdefault(f"pod {event['Status']}", moment)
        elif event.get("PodID") in ids and name.endswith("-infra"):
            found.setdefault(f"infra {event['Status']}", moment)
    return found


def _all(podman: Podman, since: float) -> Iterator[dict[str, str]]:
    text = podman.call("events", "--stream=false", "--since", f"{int(since)}", "--format", "json")
    for line in text.splitlines():
        yield json.loads(line)
