"""Objects that engines create, rendered from ``templates/``: pure functions of what is asked.

Every value goes through ``tojson`` (JSON is YAML), so nothing that a caller wrote can become structure. The Podman
engine plays the very pod that the Job of a cluster has as its template.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from amun import package_data
from amun.model.inspection import Inspection
from amun.model.specification import Build, Requests
from amun.validation import yaml_loader

TEMPLATES = package_data.directory("templates")

INIT_ANNOTATION = "io.podman.annotations.init.container.type"
"""Podman's: init containers that are `always` there go with the pod, and with them the volumes that an image asks for;
those of others, which go when they have ended, stay behind (podman-kube-play(1))."""

INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}

MOUNTS = [
    {"name": "hwinfo", "mountPath": "/home/amun/hwinfo"},
    {"name": "amun", "mountPath": "/amun", "readOnly": True},
]


DISK = "ephemeral-storage"


@dataclass(frozen=True)
class Surroundings:
    """What an engine adds to a job: where runner and script come from, the user, limits beyond the specification.

    Attributes:
        payload: volume source of /amun (``hostPath`` or ``configMap``).
        user: uid that the run gets; None leaves it to the cluster.
        grace: seconds between SIGTERM and SIGKILL.
        output_limit: bytes kept of each stream.
        deadline: seconds after which the engine ends the pod; None where the engine watches itself.
        affinity: node affinity, None on one machine.
        labels: more labels for job and pods.
        job_labels: labels of the job that its pods do not have.
        annotations: annotations of the job.
        owner: reference to the object with which the job goes.
        account: file of a container that the engine reads when the container has ended, its termination message.
        last_words: seconds that the runner has after the grace, to report what it has ended.
        attempts: how often an item is started when the platform fails it.
        devices: extended resources of the run, by name.
        disk: bytes that the containers may write to disk; None where the engine watches itself.
    """

    payload: Mapping[str, Any]
    user: int | None
    grace: int
    output_limit: int
    deadline: int | None = None
    affinity: Mapping[str, Any] | None = None
    pull_policy: str = "IfNotPresent"
    labels: Mapping[str, str] | None = None
    job_labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    owner: Mapping[str, str] | None = None
    account: str | None = None
    last_words: int = 0
    attempts: int = 1
    devices: Mapping[str, str] | None = None
    disk: int | None = None


_SURROGATES = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


def _dumps(value: object, **options: Any) -> str:
    """JSON that is YAML too: what JSON escapes as two surrogates is one character there (YAML 1.2, 5.7)."""

    def joined(match: re.Match[str]) -> str:
        high, low = (int(number, 16) for number in match.groups())
        return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"

    return _SURROGATES.sub(joined, json.dumps(value, **options))


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    # It is YAML, not HTML; what every value has to pass is tojson.
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    environment.policies["json.dumps_function"] = _dumps
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True}
    return environment


_ENVIRONMENT = _environment()


def resources(
    requests: Requests, devices: Mapping[str, str] | None = None, disk: int | None = None
) -> dict[str, dict[str, str]]:
    """Requests that are limits as well: what was asked for is what is got, so that runs compare.

    `disk`, in bytes, is a limit alone: nothing waits for room that it most likely does not need.
    """
    amounts = {"cpu": requests.cpu, "memory": requests.memory, **(devices or {})}
    if disk is None:
        return {"limits": amounts, "requests": amounts}
    return {"limits": {**amounts, DISK: str(disk)}, "requests": {**amounts, DISK: "0"}}


def job(inspection: Inspection, image: str, surroundings: Surroundings) -> dict[str, Any]:
    """The Job of an inspection; `image` is a reference by digest."""
    specification = inspection.specification
    command = ["/bin/sh", "/amun/runner.sh", "--timeout", str(specification.run.timeout)]
    command += ["--grace", str(surroundings.grace), "--output-limit", str(surroundings.output_limit)]
    describe = ["/bin/sh", "/amun/hwinfo.sh", "/home/amun/hwinfo/info.json"]
    if surroundings.account is not None:
        command += ["--account", surroundings.account]
        describe += ["", surroundings.account]
    return _render(
        "job.yaml.j2",
        inspection_id=inspection.id,
        items=specification.items,
        batch_size=specification.batch_size,
        warmup=specification.warmup,
        parallelism=specification.parallelism,
        allowed_failures=specification.allowed_failures,
        labels={"app": "amun", "inspection": inspection.id, **(surroundings.labels or {})},
        job_labels=surroundings.job_labels or {},
        image=image,
        command=[*command, "/amun/script"],
        describe=describe,
        resources=resources(specification.run.requests, disk=surroundings.disk),
        run_resources=resources(specification.run.requests, surroundings.devices, surroundings.disk),
        restricted=RESTRICTED,
        mounts=MOUNTS,
        user=surroundings.user,
        grace=surroundings.grace + surroundings.last_words,
        deadline=surroundings.deadline,
        affinity=surroundings.affinity,
        pull_policy=surroundings.pull_policy,
        payload=surroundings.payload,
        annotations=surroundings.annotations,
        owner=surroundings.owner,
        attempts=surroundings.attempts,
    )


def job_of_item(job: Mapping[str, Any], name: str, item: int, notes: Mapping[str, str]) -> dict[str, Any]:
    """Of the Job of an inspection, one that runs one of its items only; `notes` are annotations of it and its pod."""
    made: dict[str, Any] = copy.deepcopy(dict(job))
    spec, metadata = made["spec"], made["metadata"]
    metadata |= {"name": name, "annotations": {**(metadata.get("annotations") or {}), **notes}}
    spec |= {"completions": 1, "parallelism": 1, "maxFailedIndexes": 0}
    template = spec["template"]
    template["metadata"]["annotations"] = {**(template["metadata"].get("annotations") or {}), **notes}
    for container in template["spec"]["containers"]:
        for variable in container["env"]:
            if variable.pop("valueFrom", None) is not None:
                variable["value"] = str(item)
    return made


def image_stream(name: str, labels: Mapping[str, str], owner: Mapping[str, str]) -> dict[str, Any]:
    """The ImageStream that the images of an environment are pushed to."""
    return _render("imagestream.yaml.j2", name=name, labels=labels, owner=owner)


def build_config(
    name: str,
    labels: Mapping[str, str],
    owner: Mapping[str, str],
    *,
    dockerfile: str,
    base: str | None,
    arguments: Mapping[str, str],
    sources: Sequence[str],
    secret: bool,
    asked_with: str | None,
    build: Build,
    node_selector: Mapping[str, str],
    devices: Mapping[str, str],
    disk: int,
) -> dict[str, Any]:
    """The BuildConfig of an environment; `sources` hold the files of its context: Secrets or ConfigMaps.

    `asked_with` names the Secret of what its build asks hosts with, which becomes no part of the image.
    `base` stands in for the Dockerfile's own base image.
    """
    return _render(
        "buildconfig.yaml.j2",
        name=name,
        labels=labels,
        owner=owner,
        dockerfile=dockerfile,
        base=base,
        arguments=[{"name": name, "value": value} for name, value in sorted(arguments.items())],
        sources=sources,
        secret=secret,
        asked_with=asked_with,
        resources=resources(build.requests, devices, disk),
        timeout=build.timeout,
        cache=build.cache,
        node_selector=node_selector,
    )


def _render(template: str, **values: Any) -> dict[str, Any]:
    document: dict[str, Any] = yaml_loader.load(_ENVIRONMENT.get_template(template).render(**values))
    return document


def with_limits(pod: dict[str, Any], limits: Collection[str]) -> dict[str, Any]:
    """The pod without the limits (of cpu, memory) that a machine cannot set: podman would refuse to start it."""
    pod = copy.deepcopy(pod)
    for container in pod["spec"]["initContainers"] + pod["spec"]["containers"]:
        for amounts in container["resources"].values():
            for name in amounts.keys() - set(limits):
                del amounts[name]
    return pod


def pod(job: Mapping[str, Any], name: str, item: int) -> dict[str, Any]:
    """The pod that a Job's controller would create for one index, as `podman kube play` takes it.

    Podman makes an emptyDir a volume of the same name, which all pods share: so that each has its own, its name
    becomes part of that of the volume.
    """
    template = copy.deepcopy(job["spec"]["template"])
    annotations = {INDEX_ANNOTATION: str(item), INIT_ANNOTATION: "always"}
    metadata = {**template["metadata"], "name": name, "annotations": annotations}
    for container in template["spec"]["containers"]:
        for variable in container["env"]:
            if variable.pop("valueFrom", None) is not None:
                variable["value"] = str(item)
    spec = template["spec"]
    containers = spec["initContainers"] + spec["containers"]
    for named in [*spec["volumes"], *(mount for container in containers for mount in container["volumeMounts"])]:
        named["name"] = f"{name}-{named['name']}"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
