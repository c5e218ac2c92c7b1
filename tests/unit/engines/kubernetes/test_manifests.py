"""What the OpenShift engine sends: every kind of object as it was agreed, and valid for a strict API server."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.engines.base import NotYet
from amun.engines.kubernetes import kinds, records
from amun.engines.kubernetes.jobs import Jobs
from amun.engines.kubernetes.nodes import Placement
from amun.engines.openshift import build_config_builder
from amun.engines.openshift.build_config_builder import DOCKERFILE, Environments, parts
from amun.engines.openshift.image_streams import Images
from amun.engines.openshift.logins import Logins
from amun.engines.openshift.record_store import Declarations
from amun.environments import digest, dockerfile
from amun.model.inspection import BuildState, Inspection, Submission
from amun.settings import Settings
from amun.validation.problems import validated
from tests.cluster.rules import schemas
from tests.conftest import wait_until

GOLDEN = Path(__file__).parents[3] / "golden" / "openshift"
SPECIFICATION = {
    "base": "registry.example/team/base:1",
    "packages": ["gcc"],
    "environment": [{"name": "LINES", "value": "one\ntwo"}],
    "script": "#!/bin/sh\necho \"$HOME\"\t'é'\n",
    "batch_size": 3,
    "parallelism": 2,
    "allowed_failures": 1,
    "build": {"requests": {"cpu": "2", "hardware": {"architecture": "arm64"}}, "timeout": 600},
    "run": {
        "requests": {
            "memory": "1Gi",
            "hardware": {"cpu_family": 6, "gpu": {"vendor": "nvidia.com/gpu", "count": 2, "product": "Tesla T4"}},
        }
    },
}


class Sent:
    """Stands where a cluster would: takes down what is created, and knows it afterwards."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}

    def create(self, kind: Any, document: dict[str, Any], **_: str) -> dict[str, Any]:
        if kind is kinds.IMAGE_STREAM_IMPORTS:
            return {"status": {"images": [{"image": {"metadata": {"name": "sha256:" + "0" * 64}}}]}}
        whole = {"apiVersion": kind.group_version, "kind": kind.kind, **document}
        self.documents[kind.kind, document["metadata"]["name"]] = whole
        return {**whole, "metadata": {**document["metadata"], "uid": "0-1-2-3"}}

    def get(self, kind: Any, name: str) -> dict[str, Any]:
        kept = self.documents[kind.kind, name]
        return {**kept, "metadata": {**kept["metadata"], "uid": "0-1-2-3"}}

    def list(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return []

    def patch(self, kind: Any, name: str, _change: dict[str, Any]) -> dict[str, Any]:
        return self.documents[kind.kind, name]

    def post(self, *_: Any) -> None:
        pass


def built(environments: Environments, record: records.Record) -> bool:
    """Whether the Build was asked for: its base image may have to be looked up first."""
    try:
        environments.build(record, [], 2, [])
    except NotYet:
        return False
    return True


@pytest.fixture(scope="module")
def sent() -> dict[str, dict[str, Any]]:
    """All that is sent for one inspection, by kind."""
    sent: Any = Sent()
    settings = Settings(engine="openshift", queue_name="lab", run_egress="closed")
    placement = Placement.of(settings)
    specification = validated(SPECIFICATION)
    context = dockerfile.context(specification)
    inspection = Inspection(
        "inspection-0123456789abcdef",
        specification,
        "0" * 64,
        digest.environment_digest({"Dockerfile": b"the same for ever"}, None),
        "2026-01-01T00:00:00.000000Z",
        "somebody",
    )
    made = Environments(sent, placement, Images(sent), Logins(sent), settings.build_storage_limit)
    Declarations(sent, made).declare(Submission(inspection, specification.script.encode(), context))
    kept = sent.get(kinds.CONFIG_MAPS, inspection.id)
    record = records.from_document({**kept, "metadata": {**kept["metadata"], "uid": "4-5-6", "resourceVersion": "1"}})
    assert record.inspection.abridged
    assert records.whole(record.inspection, sent.get(kinds.SECRETS, inspection.id)) == inspection
    wait_until(lambda: built(made, record))
    build = BuildState("terminated", "succeeded", "Completed", image="registry/amun/environment@sha256:" + "1" * 64)
    Jobs(sent, placement, settings).start(record, build)
    found = {}
    for (kind, name), document in sent.documents.items():
        plain = {"ConfigMap": "", "Secret": "secret of "}
        found[plain[kind] + name.partition("-")[0] if kind in plain else kind.lower()] = document
    return found


@pytest.mark.parametrize("what", ["imagestream", "buildconfig", "job"])
def test_objects_are_as_agreed(sent: dict[str, dict[str, Any]], what: str) -> None:
    document = json.loads(json.dumps(sent[what]))
    if what == "job":
        sources = document["spec"]["template"]["spec"]["volumes"][1]["projected"]["sources"]
        sources[0]["configMap"]["name"] = sources[0]["configMap"]["name"].partition("-")[0]
    golden = GOLDEN / f"{what}.json"
    if os.environ.get("GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    assert document == json.loads(golden.read_text())


def test_every_object_is_what_a_strict_api_server_takes(sent: dict[str, dict[str, Any]]) -> None:
    assert sent.keys() == {
        *("imagestream", "buildconfig", "job", "runner"),
        *("environment", "secret of environment", "inspection", "secret of inspection"),
    }
    for document in sent.values():
        assert schemas.problems(document) == []


def test_the_record_carries_the_script_byte_for_byte(sent: dict[str, dict[str, Any]]) -> None:
    assert base64.b64decode(sent["secret of inspection"]["data"]["script"]) == SPECIFICATION["script"].encode()  # type: ignore[attr-defined]
    assert "somebody" not in json.dumps(sent["inspection"]["metadata"])


NAMES = st.from_regex(r"\A[A-Za-z0-9._-]{1,40}\Z").filter(lambda name: name not in ("Dockerfile", DOCKERFILE))


@given(st.dictionaries(NAMES, st.binary(max_size=3000), max_size=20), st.integers(3100, 9000))
def test_a_context_is_cut_into_secrets_that_hold_all_of_it(files: dict[str, bytes], largest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_config_builder, "LARGEST", largest)
        cut = parts({"Dockerfile": b"FROM x", **files})
    assert {name: content for part in cut for name, content in part.items()} == {DOCKERFILE: b"FROM x", **files}
    assert DOCKERFILE in cut[0]
    for part in cut:
        assert sum(len(name) + len(content) for name, content in part.items()) <= largest + 10
