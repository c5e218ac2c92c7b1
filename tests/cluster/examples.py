"""What a real cluster answered (`recorded/`), to be put into a store or held against what is answered here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.cluster.objects.store import Store

RECORDED = Path(__file__).parent / "recorded"
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def read(name: str) -> Any:
    """A recorded document by the name of its file."""
    return json.loads((RECORDED / f"{name}.json").read_text())


def events(name: str) -> list[dict[str, Any]]:
    """The events of a recorded watch by the name of its file."""
    return [json.loads(line) for line in (RECORDED / f"{name}.jsonl").read_text().splitlines()]


def text(name: str) -> str:
    """A recorded log by the name of its file."""
    return (RECORDED / name).read_text()


def objects() -> list[dict[str, Any]]:
    """All objects that were recorded, those of watches and exchanges too."""
    found = []
    for file in sorted(RECORDED.glob("*.json*")):
        if file.suffix == ".jsonl":
            found += [event["object"] for event in events(file.stem)]
        elif file.name == "exchanges.json":
            found += [entry["body"] for entry in json.loads(file.read_text()) if isinstance(entry["body"], dict)]
        elif file.name not in ("version.json", "api-groups.json"):
            found.append(json.loads(file.read_text()))
    return [document for document in found if "kind" in document]


def restore(store: Store, document: dict[str, Any]) -> None:
    """Put an object, or all of a list, into a store as it was recorded."""
    if "items" not in document:
        store.restore(document)
        return
    kind = document["kind"].removesuffix("List")
    for item in document["items"]:
        store.restore({"kind": kind, "apiVersion": document["apiVersion"], **item})


def alike(value: Any) -> Any:
    """A document with what differs from one cluster to the next made the same: uids, times, versions."""
    if isinstance(value, dict):
        kept = {key: alike(item) for key, item in value.items() if key != "managedFields"}
        if "resourceVersion" in kept:
            kept["resourceVersion"] = "VERSION"
        return kept
    if isinstance(value, list):
        return [alike(item) for item in value]
    return TIME.sub("TIME", UID.sub("UID", value)) if isinstance(value, str) else value
