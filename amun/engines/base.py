"""The interface of engines: what builds environments and runs scripts.

Three layers use it: the API declares, reads and cancels; the controller observes and moves each inspection one step
on; nothing else talks to an engine. An engine keeps all state itself (cluster objects, or a directory), so that any
process may ask it anything at any moment, and every method is safe to repeat after a crash.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

from amun.errors import InspectionNotFound, ItemNotFound
from amun.model import image_names
from amun.model.inspection import Accepted, Inspection, Node, Observation, Submission
from amun.model.specification import Hardware
from amun.runs.hardware_match import mismatches


@dataclass(frozen=True)
class Queue:
    """How much waits and how much works: builds and items."""

    builds_waiting: int = 0
    builds_running: int = 0
    items_waiting: int = 0
    items_running: int = 0


class NotYet(Exception):
    """What the controller asked for is under way: it asks again at its next look."""


def check_item(inspection: Inspection, item: int) -> None:
    """Raise `ItemNotFound` for an item that the inspection does not have."""
    if not inspection.items:
        raise ItemNotFound(f"Inspection {inspection.id!r} has no script, so nothing is run.")
    if item not in inspection.items:
        raise ItemNotFound(f"Inspection {inspection.id!r} has no item {item}; there are {len(inspection.items)}.")


def lacks_labels(wanted: Mapping[str, str], node: Node) -> Iterator[str]:
    """Which labels a node lacks, a sentence each."""
    for label, value in wanted.items():
        if node.labels.get(label) != value:
            yield f"Requested the label {label}={value}, the node has {node.labels.get(label, 'none')}."


class Engine(ABC):
    """Builds environments and runs scripts in them.

    Every method may raise `EngineUnavailable`; those that take an id raise `InspectionNotFound` for one that is not
    there. Logs and reports that went with the pod they were kept in are empty and None. Methods are called from many
    threads and processes at once. Nothing blocks for longer than a request to the engine takes, except `wait`.
    """

    name: ClassVar[str]

    # -- asked by the API ---------------------------------------------------------------------------------------

    @abstractmethod
    def check(self) -> None:
        """Raise `EngineUnavailable`, saying what is missing, unless the engine can work now."""

    @abstractmethod
    def nodes(self, *, free: bool = True) -> Sequence[Node]:
        """The kinds of node inspections may be placed on.

        Without `free` it is not counted how many could take one now: quick, however many inspections wait.
        """

    def lacks(self, hardware: Hardware, node: Node) -> Iterator[str]:
        """What a node lacks of the hardware requested, a sentence each: by what hwinfo saw there, unless overridden."""
        yield from mismatches(hardware, node.hwinfo)
        gpu = hardware.gpu
        if gpu is not None and not any(device.get("vendor") == gpu.vendor for device in node.gpus):
            yield f"Requested {gpu.count} x {gpu.vendor}, the node has none."
        yield from lacks_labels(hardware.node_selector, node)

    def complete(self, base: str) -> str:
        """The complete reference that the name of a base image stands for, see `image_names.complete`."""
        return image_names.complete(base, {})

    @abstractmethod
    def resolve(self, base: str) -> str | None:
        """Digest (``sha256:…``) that a base image has now, or None where that cannot be told without pulling it.

        `base` is a complete reference.
        """

    def refusal(self, base: str) -> str | None:
        """Why nothing is ever built on a base image, in one sentence, as far as that can be told without pulling it."""
        return None

    def volumes(self, base: str) -> Sequence[str]:
        """Directories of a base image that are volumes, as far as that can be told without pulling it."""
        return ()

    @abstractmethod
    def has_environment(self, environment: str) -> bool:
        """Whether an environment of this digest is built or being built."""

    @abstractmethod
    def submit(self, submission: Submission, key: str | None = None, fingerprint: str | None = None) -> Accepted:
        """Declare an inspection: all of it, or nothing. Returns at once; the controller does the rest.

        `key` is the caller's Idempotency-Key and `fingerprint` a digest of the body it came with: the same pair again
        gives the inspection declared before, the same key with another fingerprint raises `Conflict`.
        """

    @abstractmethod
    def inspections(self, owner: str | None = None) -> Sequence[str]:
        """Ids of all inspections, newest first; with `owner`, of those that this caller submitted."""

    def phases(self, owner: str | None = None) -> Mapping[str, str | None]:
        """`inspections`, each with the phase it was closed in, where that is told without observing it; else None."""
        return dict.fromkeys(self.inspections(owner))

    @abstractmethod
    def declared(self, inspection_id: str) -> Inspection:
        """What was declared: the record alone, which never changes, so that this is cheap."""

    def whole(self, inspection: Inspection) -> Inspection:
        """The same with all of its specification: `declared`, `observe` and `observations` may give an abridged one."""
        return inspection

    @abstractmethod
    def observe(self, inspection_id: str) -> Observation:
        """What is, now. Never waits for a step of the controller."""

    def observations(self, ids: Sequence[str]) -> Iterator[Observation]:
        """What is of each of these, in order; those that are not there any more are left out."""
        for inspection_id in ids:
            with contextlib.suppress(InspectionNotFound):
                yield self.observe(inspection_id)

    @abstractmethod
    def build_log(self, inspection_id: str, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        """The log of the build from byte `offset` on, in chunks.

        With `follow` the iterator goes on until the build is over and yields ``b""`` whenever there is nothing new
        (the caller sleeps, or leaves). A build that has not started is waited for. Memory stays constant.
        """

    @abstractmethod
    def item_log(self, inspection_id: str, item: int, follow: bool = False) -> Iterator[bytes]:
        """The container log of one item (CRI format, see `amun.runs.log_frames`), in chunks; `follow` as in
        `build_log`.

        Raises `ItemNotFound` for an item that the inspection does not have.
        """

    @abstractmethod
    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        """The report of an item, None while it is not over. Raises `ItemNotFound` as `item_log`."""

    @abstractmethod
    def cancel(self, inspection_id: str) -> None:
        """Ask for everything of the inspection to be stopped. Repeating it changes nothing."""

    @abstractmethod
    def delete(self, inspection_id: str) -> None:
        """Forget the inspection; from the return on it does not exist. What still runs is stopped soon after."""

    @abstractmethod
    def queue(self) -> Queue:
        """How much waits and works now."""

    # -- asked by the controller --------------------------------------------------------------------------------

    @abstractmethod
    def leadership(self) -> AbstractContextManager[bool]:
        """Enter as the controller: True if this process may act now, False if another one does already."""

    @abstractmethod
    def unfinished(self, owner: str | None = None) -> Sequence[str]:
        """Ids of the inspections that the controller has not closed, oldest first; with `owner`, of this caller's."""

    @abstractmethod
    def build(self, inspection: Inspection) -> None:
        """See to it that the build of the environment goes on: start it where there is place, else leave it queued."""

    @abstractmethod
    def run(self, inspection: Inspection) -> None:
        """See to it that the items go on: start those that may start now, in order. The build is complete."""

    @abstractmethod
    def stop(self, inspection: Inspection) -> None:
        """Stop what runs for this inspection only; a build that others wait for goes on."""

    @abstractmethod
    def give_up(self, inspection_id: str, reason: str, message: str) -> None:
        """Have whatever of the inspection is not over end as the platform's error. Repeating it changes nothing."""

    def final(self, inspection_id: str) -> Observation:
        """What `finish` would keep now of an inspection that is over: what is, and what takes more to find out."""
        return self.observe(inspection_id)

    @abstractmethod
    def finish(self, inspection: Inspection, stored: bool = False, at: str | None = None) -> None:
        """Close the inspection: it is over, for good. Repeating it changes nothing. May raise `NotYet`.

        `stored` says that the archive has it (`Observation.data_stored`) and `at` what the archive says of when it was
        closed (`Observation.finished_at`): engines keep both with their own mark. Without `at`, that is now.
        """

    @abstractmethod
    def tend(self) -> None:
        """Housekeeping between steps: deadlines, what was deleted, what has expired."""

    @abstractmethod
    def wait(self, timeout: float) -> None:
        """Sleep until something may have changed, or `timeout` seconds."""
