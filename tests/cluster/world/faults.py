"""What is to go wrong, planned before it can: by the name of the pod that it happens to."""

from __future__ import annotations

import fnmatch
import threading
from dataclasses import dataclass

KINDS = ("create-container-error", "image-pull", "oom", "push-refused")


@dataclass
class Fault:
    """Something that goes wrong so many times."""

    kind: str
    pods: str
    times: int
    message: str


class Faults:
    """The faults that are planned."""

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._lock = threading.Lock()

    def plan(self, kind: str, pods: str = "*", times: int = 1, message: str = "") -> Fault:
        """Let it happen to the next `times` pods whose names match a pattern, or as often to one of them."""
        if kind not in KINDS:
            raise ValueError(f"{kind} cannot be planned, only {', '.join(KINDS)}")
        fault = Fault(kind, pods, times, message)
        with self._lock:
            self._planned.append(fault)
        return fault

    def take(self, kind: str, pod: str) -> Fault | None:
        """Whether it happens to this pod now."""
        with self._lock:
            for fault in self._planned:
                if fault.kind == kind and fault.times > 0 and fnmatch.fnmatch(pod, fault.pods):
                    fault.times -= 1
                    return fault
        return None

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()
