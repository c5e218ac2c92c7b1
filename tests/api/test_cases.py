"""What real callers of the original sent, and what they read: the specifications and a report of tests/cases.

Their base images lie in registries. Where none is in reach, each build has to fail soon and say why.
"""

from __future__ import annotations

import copy
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from amun.engines.podman.builds import aliases
from amun.model import image_names
from amun.validation.problems import validated
from tests.conftest import Service, environment_of

from .conftest import Api

pytestmark = [pytest.mark.podman, pytest.mark.slow]

CASES = Path(__file__).parent.parent / "cases"
SPECIFICATIONS = {path.stem: json.loads(path.read_text()) for path in sorted(CASES.glob("*.json"))}
REPORT = json.loads((CASES / "reports" / "conv2d-batch.json").read_text())

NOWHERE = "registry.invalid/team/image:1"
"""An image that no network has: .invalid is reserved for that (RFC 2606)."""

each = pytest.mark.parametrize("name", SPECIFICATIONS)


def steps_with_hardware(document: dict[str, Any]) -> list[str]:
    return [step for step in ("build", "run") if document.get(step, {}).get("requests", {}).get("hardware")]


def feasible(name: str) -> dict[str, Any]:
    """The specification without what this machine may not have, and without a script that lies elsewhere."""
    document = copy.deepcopy(SPECIFICATIONS[name])
    for step in ("build", "run"):
        requests = document.get(step, {}).get("requests", {})
        requests.pop("hardware", None)
        requests.update(cpu="500m", memory="256Mi")
    return offline(document)


def offline(document: dict[str, Any]) -> dict[str, Any]:
    """The same with a script that need not be fetched: where there is no internet, no URL is taken."""
    fetched = document.get("script", "").startswith("http")
    return {**document, "script": "true"} if fetched else document


@each
def test_a_specification_of_the_original_is_valid_and_keeps_what_it_says(api: Api, name: str) -> None:
    document = offline(SPECIFICATIONS[name])
    answer = api.post("/inspect?dry_run=true", document)
    assert answer.status_code == 200, answer.text
    parameters = answer.json()["parameters"]
    for field in ("base", "script", "packages", "python_packages", "environment", "identifier", "python"):
        if document.get(field):
            assert parameters[field] == document[field]
    files = [(f"/{file['path'].lstrip('/')}", file["content"]) for file in document.get("files") or []]
    assert [(file["path"], file["content"]) for file in parameters["files"]] == files
    assert parameters["batch_size"] == int(document.get("batch_size") or 1)
    assert parameters["run"]["requests"]["memory"] == document["run"]["requests"]["memory"]
    dockerfile = api.post("/_debug/generate-dockerfile", document).json()
    assert f"FROM {image_names.complete(document['base'], aliases.of_machine())}\n" in dockerfile["dockerfile"]


@pytest.mark.parametrize("name", [name for name in SPECIFICATIONS if steps_with_hardware(SPECIFICATIONS[name])])
def test_hardware_that_this_machine_lacks_is_refused_with_what_it_has(api: Api, name: str) -> None:
    document = offline(SPECIFICATIONS[name])
    cpu = api.json("/hardware")["hardware"][0]["hwinfo"]["cpu_info"]
    refused = api.post("/inspect", document)
    assert refused.status_code == 422
    error = refused.json()["error"]
    wanted = document[steps_with_hardware(document)[0]]["requests"]["hardware"]
    assert f"{steps_with_hardware(document)[0]}.requests" in error
    for name_, field in (("cpu_family", "family"), ("cpu_model", "model")):
        if wanted.get(name_) not in (None, cpu[field]):
            assert f"Requested {name_} {wanted[name_]}, the node has {cpu[field]}." in error


@each
def test_what_is_stored_can_be_posted_again(name: str) -> None:
    first = validated(SPECIFICATIONS[name])
    assert validated(json.loads(json.dumps(first.to_document()))) == first


def test_a_base_image_out_of_reach_fails_the_build_soon_and_clearly(api: Api, service: Service) -> None:
    """All cases at once, their images put where surely none is."""
    started = time.monotonic()
    ids = [service.submit({**feasible(name), "base": NOWHERE}) for name in SPECIFICATIONS]
    statuses = [service.wait(inspection_id, timeout=120) for inspection_id in ids]
    assert time.monotonic() - started < 120
    for inspection_id, status in zip(ids, statuses, strict=True):
        assert (status["phase"], status["reason"]) == ("build_failed", "ErrImagePull")
        assert f"The base image {NOWHERE} could not be pulled" in status["message"]
        assert (status["job"]["state"], status["job"]["reason"]) == ("terminated", "BuildFailed")
        assert status["build"]["reason"] == "ErrImagePull"
        assert NOWHERE in api.text(f"/inspect/{inspection_id}/build/log")


def test_a_pull_that_does_not_end_is_ended_by_the_deadline_of_the_build(service: Service, hanging: str) -> None:
    inspection_id = service.submit({"base": f"{hanging}/image:1", "script": "true", "build": {"timeout": 2}})
    started = time.monotonic()
    status = service.wait(inspection_id, timeout=60)
    assert time.monotonic() - started < 20
    assert (status["phase"], status["reason"]) == ("build_failed", "DeadlineExceeded")
    assert "2 s" in status["message"]


@pytest.fixture
def hanging() -> Any:
    """The address of a registry that accepts connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


# -- the report -----------------------------------------------------------------------------------------------------


def differences(expected: Any, found: Any, path: str = "report") -> list[str]:
    """What readers of the original's report would miss: absent keys, and values of another type."""
    if expected is None or found is None:
        return []
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{path} is no object"]
        missing = [f"{path}.{key} is missing" for key in expected if key not in found]
        common = [key for key in expected if key in found]
        return missing + [what for key in common for what in differences(expected[key], found[key], f"{path}.{key}")]
    if isinstance(expected, list):
        if not isinstance(found, list):
            return [f"{path} is no list"]
        return [what for item in found for what in differences(expected[0], item, f"{path}[]")] if expected else []
    numbers = (int, float)
    same = type(expected) is type(found) or (type(expected) in numbers and type(found) in numbers)
    return [] if same else [f"{path} is {type(found).__name__}, not {type(expected).__name__}"]


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from one script, distribution and processor to the next."""
    report = copy.deepcopy(report)
    report["stdout"] = {}
    report["os_release"] = {key: report["os_release"][key] for key in ("id", "name", "version", "version_id")}
    for cache in [key for key in report["hwinfo"]["cpu_features"] if key.startswith(("l1_", "l2_", "l3_"))]:
        del report["hwinfo"]["cpu_features"][cache]
    for cache in [key for key in report["hwinfo"]["cpu_info"] if key.startswith("l2_")]:
        del report["hwinfo"]["cpu_info"][cache]
    return report


def test_a_report_has_what_readers_of_the_originals_reports_know(api: Api, done: str) -> None:
    for item in (0, 1):
        found = api.json(f"/inspect/{done}/job/{item}/result")["result"]
        assert differences(comparable(REPORT), found) == []


def test_a_measurement_printed_as_json_is_where_readers_look_for_it(api: Api, service: Service, base: str) -> None:
    text = json.dumps(REPORT["stdout"], indent=2)
    script = f"#!/usr/bin/env python3\nprint({text!r})\n"
    inspection_id = service.submit({**environment_of(base, "measurement"), "script": script})
    assert service.wait(inspection_id)["phase"] == "succeeded"
    report = api.json(f"/inspect/{inspection_id}/job/0/result")["result"]
    assert report["stdout"] == REPORT["stdout"]
    assert report["stdout_text"] == text + "\n"
