"""The objects that engines are given, word for word; whatever a caller wrote stays a value in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.engines import pod_manifests
from amun.model.inspection import Inspection
from amun.validation.problems import validated
from tests.cluster.objects.store import Store
from tests.cluster.rules import schemas

GOLDEN = Path(__file__).parents[2] / "golden" / "pods"
IMAGE = "localhost/amun/environment@sha256:" + "0" * 64

ON_PODMAN = pod_manifests.Surroundings(
    payload={"hostPath": {"path": "/state/inspections/ID/mount", "type": "Directory"}},
    user=10001,
    grace=5,
    output_limit=1024,
    pull_policy="Never",
    labels={"amun/instance": "0123"},
)
ON_A_CLUSTER = pod_manifests.Surroundings(
    payload={"configMap": {"name": "inspection-test", "defaultMode": 0o555}},
    user=None,
    grace=5,
    output_limit=1024,
    deadline=700,
    affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
)


def inspection(**fields: Any) -> Inspection:
    document = {"base": "debian:12", "script": "true", **fields}
    specification = validated(document)
    return Inspection("inspection-test-0123456789abcdef", specification, "0" * 64, "sha256:1", "2026-01-01T00:00:00Z")


BATCH = {
    "warmup": 2,
    "batch_size": 20,
    "parallelism": 4,
    "allowed_failures": 2,
    "run": {"requests": {"cpu": "1", "memory": "1Gi"}, "timeout": 600},
}


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("job-on-a-cluster", pod_manifests.job(inspection(**BATCH), IMAGE, ON_A_CLUSTER)),
        (
            "pod-on-podman",
            pod_manifests.pod(pod_manifests.job(inspection(**BATCH), IMAGE, ON_PODMAN), "inspection-test-3", 3),
        ),
    ],
)
def test_what_engines_are_given_is_what_was_agreed(name: str, document: dict[str, Any]) -> None:
    assert document == json.loads((GOLDEN / f"{name}.json").read_text())


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_value_becomes_structure(label: str, path: str) -> None:
    surroundings = pod_manifests.Surroundings(
        payload={"hostPath": {"path": path}}, user=1, grace=1, output_limit=1, labels={"label": label}
    )
    job = pod_manifests.job(inspection(), IMAGE, surroundings)
    assert job["metadata"]["labels"] == {"app": "amun", "inspection": inspection().id, "label": label}
    assert job["spec"]["template"]["spec"]["volumes"][1] == {"name": "amun", "hostPath": {"path": path}}


def test_a_limit_that_the_machine_cannot_set_is_not_asked_for() -> None:
    pod = pod_manifests.pod(pod_manifests.job(inspection(), IMAGE, ON_PODMAN), "pod", 0)
    limited = pod_manifests.with_limits(pod, ["cpu"])
    assert limited["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "256Mi"


def test_pods_on_one_machine_share_no_volume() -> None:
    job = pod_manifests.job(inspection(batch_size=2), IMAGE, ON_PODMAN)
    first, second = (pod_manifests.pod(job, f"pod-{item}", item)["spec"]["volumes"] for item in (0, 1))
    assert {volume["name"] for volume in first}.isdisjoint(volume["name"] for volume in second)


def test_a_job_is_what_a_strict_api_server_takes() -> None:
    job = pod_manifests.job(inspection(**BATCH), IMAGE, ON_A_CLUSTER)
    assert schemas.problems(job) == []
    Store().create("Job", job)  # what is required, and what values mean to each other
