"""What came of an inspection, gathered from the service: its status and the report of each item that has one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amun.client import Client, ClientError, Document
from amun.model import timestamps

Numbers = dict[str, float]


@dataclass(frozen=True)
class Item:
    """One item: its state as in the status, and its report once there is one."""

    index: int
    state: Document
    report: Document | None

    @property
    def wall(self) -> float | None:
        """Seconds from start to end."""
        report = self.report or {}
        try:
            return timestamps.between(report.get("start_datetime"), report.get("end_datetime"))
        except ValueError:
            return None

    def usage(self, name: str) -> float | None:
        """One number of getrusage, for example `ru_utime` (seconds) or `ru_maxrss` (KiB)."""
        return ((self.report or {}).get("usage") or {}).get(name)

    @property
    def numbers(self) -> Numbers:
        """The numbers in the JSON object that the script printed, by dotted path."""
        return dict(_numbers((self.report or {}).get("stdout") or {}))

    def to_document(self) -> Document:
        return {"item": self.index, **self.state, "result": self.report}


@dataclass(frozen=True)
class Result:
    """An inspection's status with its items."""

    inspection_id: str
    status: Document
    items: tuple[Item, ...]

    @property
    def phase(self) -> str:
        return str(self.status["phase"])

    def to_document(self) -> Document:
        summary = {name: self.status.get(name) for name in ("phase", "reason", "message", "build")}
        return {
            "inspection_id": self.inspection_id,
            **summary,
            "items": [item.to_document() for item in self.items],
        }


def gather(client: Client, inspection_id: str, only: int | None = None) -> Result:
    """Read status and reports from the service; with `only`, that item's alone."""
    status = client.status(inspection_id)
    states = item_states(status)
    if only is not None:
        states = {only: states.get(only, {})}
    items = []
    for index, state in states.items():
        asked = only is not None or started(state)
        items.append(Item(index, state, _report(client, inspection_id, index, only is not None) if asked else None))
    return Result(inspection_id, status, tuple(items))


def item_states(status: Document) -> dict[int, Document]:
    """The state of every item by index; one that the service does not list yet is empty."""
    job = status.get("job") or {}
    pods = {pod.get("item", position): pod for position, pod in enumerate(job.get("pods") or [])}
    return {index: pods.get(index, {}) for index in range(max(job.get("completions") or 0, len(pods)))}


def started(state: Document) -> bool:
    """Whether a build or an item has come so far that it may have printed something."""
    return state.get("state") in ("running", "terminated") and state.get("reason") != "NotStarted"


def _report(client: Client, inspection_id: str, item: int, required: bool) -> Document | None:
    """An item's report, None while there is none; that the item does not exist matters if it is `required`."""
    try:
        report: Document = client.result(inspection_id, item)["result"]
    except ClientError as error:
        if error.not_ready or (error.status == 404 and not required):
            return None
        raise
    return report


def _numbers(value: Any, path: str = "", depth: int = 20) -> Iterator[tuple[str, float]]:
    """Numbers down to `depth`, in the order they were printed."""
    if isinstance(value, bool) or depth == 0:
        return
    if isinstance(value, int | float):
        yield path, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _numbers(part, f"{path}.{name}" if path else str(name), depth - 1)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _numbers(part, f"{path}[{index}]", depth - 1)
