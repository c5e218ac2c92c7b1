"""What may hold secrets is in Secrets on a cluster, goes with what it belongs to, and was elsewhere before."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.engines.kubernetes import names, retention
from amun.engines.openshift.engine import OpenShiftEngine
from amun.errors import EngineUnavailable, Unreadable
from tests.cluster.objects.store import Store
from tests.contract.sites import Desk, OpenShiftSite
from tests.support.standin_base import quick

pytestmark = [pytest.mark.openshift, pytest.mark.slow]

EARLIER = Path(__file__).parent.parent / "cases" / "cluster" / "before-secrets.json"
"""What the version before Secrets declared for one inspection, but for the uid of its environment."""

KINDS = ("ConfigMap", "BuildConfig", "Build", "ImageStream", "Job", "Pod", "Event")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[OpenShiftSite]:
    site = OpenShiftSite(tmp_path)
    yield site
    site.close()


def told(store: Store, kinds: tuple[str, ...]) -> bytes:
    """All that objects of these kinds say, also what is packed in them."""
    return b"\n".join(_unpacked(document) for kind in kinds for document in store.list(kind))


def _unpacked(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"\n".join(_unpacked(inner) for pair in value.items() for inner in pair)
    if isinstance(value, list):
        return b"\n".join(map(_unpacked, value))
    text = str(value).encode()
    try:
        decoded = base64.b64decode(text, validate=True)
        return text + b"\n" + (gzip.decompress(decoded) if decoded.startswith(b"\x1f\x8b") else decoded)
    except ValueError:
        return text


def test_nothing_but_secrets_has_values_of_variables_files_or_the_script(site: OpenShiftSite) -> None:
    desk = Desk(site)
    secrets = {
        "environment": [{"name": "TOKEN", "value": "value-of-a-variable"}],
        "files": [{"path": "/home/amun/own", "content": "content-of-a-file"}],
        "script": "#!/bin/sh\necho word-of-the-script $TOKEN; cat own; cat no-such-file\n",
    }
    with desk.controlled():
        made = desk.submit(quick(), **secrets)
        desk.end(made, "failed")
    words = [b"value-of-a-variable", b"content-of-a-file", b"word-of-the-script"]
    elsewhere, kept = told(site.server.store, KINDS), told(site.server.store, ("Secret",))
    assert [word for word in words if word in elsewhere] == []
    assert [word for word in words if word in kept] == words
    assert desk.output(made).startswith("word-of-the-script value-of-a-variable\ncontent-of-a-file")
    declared = desk.inspections.detail(made)["specification"]
    assert declared["environment"] == secrets["environment"]
    assert declared["files"] == [{"path": "/home/amun/own", "content": "content-of-a-file"}]
    assert declared["script"] == secrets["script"]


def test_what_an_earlier_version_declared_is_built_runs_and_is_told_as_it_was(site: OpenShiftSite) -> None:
    desk = Desk(site)
    made = as_an_earlier_version(site.server.store)
    assert list(desk.engine.inspections()) == [made]
    with desk.controlled():
        desk.end(made, "succeeded")
    assert desk.output(made, 1) == "ran\ncontent of a file\nvalue of a variable\n"
    specification = desk.inspections.detail(made)["specification"]
    assert specification["environment"] == [{"name": "TOLD", "value": "value of a variable"}]
    assert specification["script"].startswith("#!/bin/sh\necho ran;")
    desk.engine.delete(made)
    desk.wait(lambda: list(desk.engine.inspections()) == [], 10)


def as_an_earlier_version(store: Store) -> str:
    part, context, record = json.loads(EARLIER.read_text())
    uid = store.create("ConfigMap", context)["metadata"]["uid"]
    part["metadata"]["ownerReferences"][0]["uid"] = uid
    store.create("ConfigMap", part)
    kept = json.loads(gzip.decompress(base64.b64decode(record["binaryData"]["inspection"])))
    kept["build"]["uid"] = uid
    packed = gzip.compress(json.dumps(kept).encode())
    record["binaryData"]["inspection"] = base64.b64encode(packed).decode()
    name: str = store.create("ConfigMap", record)["metadata"]["name"]
    return name


def test_secrets_go_with_what_they_belong_to(site: OpenShiftSite) -> None:
    desk, store = Desk(site), site.server.store
    with desk.controlled():
        made = desk.submit(quick(), script="true")
        desk.end(made, "succeeded")
        (context,) = store.list("ConfigMap", f"{names.KIND}={names.CONTEXT}")
        desk.engine.delete(made)
        desk.wait(lambda: store.find("Secret", made) is None, 10)
        assert store.list("Secret", f"{names.KIND}={names.PART}")
        store.delete("ConfigMap", context["metadata"]["name"])
        desk.wait(lambda: not store.list("Secret", "app=amun"), 10)


@pytest.mark.parametrize("cached", [False, True])
def test_the_secret_of_what_is_over_at_once_goes_with_it_too(site: OpenShiftSite, cached: bool) -> None:
    desk, store = Desk(site), site.server.store
    with desk.controlled():
        if cached:
            desk.end(desk.submit(), "succeeded")
        made = desk.submit()
        desk.end(made, "succeeded")
        desk.engine.delete(made)
        desk.wait(lambda: store.find("Secret", made) is None, 10)


def test_what_was_left_of_a_submission_that_never_came_to_be_is_removed(
    site: OpenShiftSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, store = Desk(site), site.server.store
    kept = desk.submit(quick(), script="true")
    site.server.faults.refuse(500, verb="create", resource="configmaps", times=None)
    with pytest.raises(EngineUnavailable):
        desk.submit(quick(), script="true")
    site.server.faults.clear()
    before = len(store.list("Secret", "app=amun"))
    engine = OpenShiftEngine(site.settings)

    def look() -> list[str]:
        retention.Retention(engine.cluster, site.settings).expire()
        return [one["metadata"]["name"] for one in store.list("Secret", "app=amun")]

    assert len(look()) == before  # it may only be on its way
    monkeypatch.setattr(retention, "LEFT_AFTER", -1.0)
    environment = names.environment(desk.inspection(kept).environment)
    assert sorted(look()) == sorted([kept, names.part(environment, 0)])


def test_a_specification_that_somebody_removed_is_said_to_be_gone(site: OpenShiftSite) -> None:
    desk = Desk(site)
    made = desk.submit(quick(), script="true")
    site.server.store.delete("Secret", made)
    assert desk.phase(made) == "queued"
    with pytest.raises(Unreadable, match="somebody has removed its Secret"):
        desk.inspections.detail(made)
