"""A store with the world at work on it, as tests of it need one: recorded documents at hand, and all that was seen."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import cluster
from tests.cluster.objects.store import Store
from tests.cluster.rules import schemas
from tests.cluster.serving import builds
from tests.cluster.world.nodes.processes import left
from tests.conftest import wait_until

from .world import Latencies, World

Document = dict[str, Any]

RECORDED = Path(cluster.__file__).parent / "recorded"
STREAM = "environment-abc"


def recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text())


class Stage:
    """A store in which an image is, the world at work on it, and all that was seen of objects."""

    def __init__(self, **options: Any) -> None:
        self.store = Store()
        self.store.create("ImageStream", {"metadata": {"name": STREAM, "labels": {"app": "amun"}}})
        self.seen: dict[tuple[str, str], list[Document | None]] = defaultdict(list)
        self._events = self.store.subscribe("Pod", "Job", "Build", "Event", "ImageStream", "Image", "Node", "ConfigMap")
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        latencies = options.pop("latencies", None) or Latencies(relist=1.0)
        self.world = World(self.store, latencies=latencies, **options).start()

    def _listen(self) -> None:
        for event in self._events:
            gone = event.type == "DELETED"
            self.seen[event.kind, event.entry.name].append(None if gone else event.object)

    def close(self) -> None:
        self.world.stop()
        self._events.close()
        self._listener.join(10)
        assert left() == []
        for documents in self.seen.values():
            for document in filter(None, documents):
                assert schemas.problems(document) == [], document

    def keep_image(self) -> None:
        """The image that was recorded, as if it had been built here."""
        self.store.create("Image", recorded("imagestreamtag.json")["image"])
        tags = recorded("imagestream.json")["status"]["tags"]
        self.store.update("ImageStream", STREAM, lambda stream: stream["status"].update(tags=tags))

    def job(self, scene: str, **changes: Any) -> Document:
        """Create the Job of a scene; `changes` are those of the pod's spec, or of the Job's."""
        document = recorded(f"job-{scene}.json")
        spec, labels = document["spec"], document["metadata"]["labels"]
        spec.pop("selector")
        spec["template"]["metadata"] = {"labels": labels}
        for name, value in changes.items():
            (spec if name in spec else spec["template"]["spec"])[name] = value
        return self.store.create(
            "Job", {"metadata": {"name": document["metadata"]["name"], "labels": labels}, "spec": spec}
        )

    def pods(self, job: str) -> list[Document]:
        return self.store.list("Pod", f"job-name={job}")

    def one(self, job: str) -> Document:
        (pod,) = self.pods(job)
        return pod

    def until(self, kind: str, name: str, condition: str, timeout: float = 20) -> Document:
        """Wait until a Job or a Build has a condition."""

        def reached() -> Document | None:
            found = self.store.find(kind, name)
            listed = ((found or {}).get("status") or {}).get("conditions") or ()
            return found if any(c["type"] == condition and c["status"] == "True" for c in listed) else None

        reached_one: Document = wait_until(reached, timeout, 0.01)
        return reached_one

    def build(self, config: str, spec: Document | None = None) -> str:
        """Start a build; returns its name."""
        document = recorded(f"buildconfig-{config}.json")
        metadata = {"name": document["metadata"]["name"], "labels": document["metadata"]["labels"]}
        document["spec"]["source"] |= spec or {}
        if self.store.find("BuildConfig", metadata["name"]) is None:
            self.store.create("BuildConfig", {"metadata": metadata, "spec": document["spec"]})
        triggered = [{"message": "Build configuration change"}]
        made = builds.instantiate(self.store, metadata["name"], self.store.namespace, {"triggeredBy": triggered})
        return str(made["metadata"]["name"])

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reasons and messages of the events of an object, or of objects whose names begin so."""
        listed = self.store.list("Event")
        return [(e["reason"], e["message"]) for e in listed if e["involvedObject"]["name"].startswith(name)]


def eventually(look: Callable[[], Any], expected: Any, timeout: float = 20) -> None:
    """Wait until what is seen is what is expected; else say what it is instead."""
    end = time.monotonic() + timeout
    while (found := look()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    assert found == expected
