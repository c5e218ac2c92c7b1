"""The hardware beside each run: what the script sees of it, what the report and the API say of it, and who may run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from amun.application.controller import Controller
from amun.application.inspections import Inspections
from amun.auth.callers import ANYBODY
from amun.engines.podman import cleanup
from amun.engines.podman.engine import PodmanEngine
from amun.engines.podman.host.machine import for_settings
from amun.engines.podman.host.node import this_node
from amun.engines.podman.podman_cli import Podman
from amun.model import status
from amun.settings import Settings
from tests.conftest import Service, wait_until

pytestmark = pytest.mark.podman

SCRIPT = """#!/usr/bin/env python3
import json, os
kernel = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
open("here", "w").close()
open("/tmp/there", "w").close()
print(json.dumps({
    "hwinfo": json.load(open("/home/amun/hwinfo/info.json")),
    "environment": {name: value for name, value in os.environ.items() if name.startswith("AMUN_")},
    "home": os.environ["HOME"],
    "directory": os.getcwd(),
    "written": os.path.exists("/home/amun/here"),
    "uid": os.getuid(),
    "gid": os.getgid(),
    "kernel": {name: kernel[name].strip() for name in kernel if name.startswith(("Cap", "NoNewPrivs", "Seccomp"))},
    "first": os.access("/proc/1/environ", os.R_OK),
}))
"""
STABLE = ("cpu_info", "cpu_type")
"""Parts of a description that are the same each time one looks; of cpu_info all but the frequency of the moment."""


def stable(hwinfo: dict[str, Any]) -> dict[str, Any]:
    found = {part: dict(hwinfo[part]) for part in STABLE}
    found["cpu_info"].pop("hz_actual_friendly")
    return {**found, "flags": sorted(hwinfo["cpu_features"]["flags"]), "total_bytes": hwinfo["memory"]["total_bytes"]}


def machine_hardware(service: Service) -> dict[str, Any]:
    """What to request for exactly this machine."""
    (node,) = service.client.hardware()["hardware"]
    cpu = node["hwinfo"]["cpu_info"]
    return {
        "cpu_family": cpu["family"],
        "cpu_model": cpu["model"],
        "physical_cpus": cpu["cores"],
        "processor": cpu["brand_raw"],
        "architecture": node["architecture"],
        "node_selector": {"kubernetes.io/os": "linux"},
    }


@pytest.fixture(scope="module")
def matched(service: Service, base: str) -> str:
    """An inspection of two items on exactly this machine's hardware, over."""
    requested = {"cpu": "250m", "memory": "100Mi", "hardware": machine_hardware(service)}
    run = {"requests": requested, "timeout": 60}
    inspection_id = service.submit({"base": base, "script": SCRIPT, "batch_size": 2, "parallelism": 2, "run": run})
    assert service.wait(inspection_id)["phase"] == "succeeded"
    return inspection_id


@pytest.mark.parametrize("item", [0, 1])
def test_script_report_and_api_agree_on_the_hardware(service: Service, matched: str, item: int) -> None:
    report = service.client.result(matched, item)["result"]
    (node,) = service.client.hardware()["hardware"]
    assert stable(report["stdout"]["hwinfo"]) == stable(report["hwinfo"]) == stable(node["hwinfo"])
    assert report["hwinfo"]["cpu_info"]["count"] == len(os.sched_getaffinity(0))
    assert node["memory"] == report["hwinfo"]["memory"]["total_bytes"]
    cpu = report["hwinfo"]["cpu_info"]
    assert report["runtime_environment"]["hardware"] == {"cpu_family": cpu["family"], "cpu_model": cpu["model"]}


@pytest.mark.parametrize("item", [0, 1])
def test_hardware_that_is_what_was_requested_is_said_to_be(service: Service, matched: str, item: int) -> None:
    assert service.client.result(matched, item)["result"]["hardware_match"] is True
    assert service.client.status(matched)["job"]["pods"][item]["hardware_match"] is True


def test_limits_that_were_requested_are_those_of_the_run(service: Service, matched: str) -> None:
    cgroup = service.client.result(matched)["result"]["hwinfo"]["cgroup"]
    limits = for_settings(service.settings).limits
    assert ("cpu" not in limits) or float(cgroup["cpu_limit"]) == 0.25
    assert ("memory" not in limits) or cgroup["memory_limit_bytes"] == 100 << 20
    assert ("pids" not in limits) or cgroup["pids_limit"] == service.settings.pids_limit


@pytest.mark.parametrize("item", [0, 1])
def test_each_item_finds_the_place_that_it_was_promised(service: Service, matched: str, item: int) -> None:
    seen = service.client.result(matched, item)["result"]["stdout"]
    assert seen["environment"] == {
        "AMUN_INSPECTION_ID": matched,
        "AMUN_ITEM": str(item),
        "AMUN_BATCH_SIZE": "2",
        "AMUN_WARMUP": "0",
    }
    assert (seen["home"], seen["directory"], seen["written"]) == ("/home/amun", "/home/amun", True)


def test_a_script_is_nobody_and_may_do_nothing(service: Service, matched: str) -> None:
    seen = service.client.result(matched)["result"]["stdout"]
    assert (seen["uid"], seen["gid"]) == (service.settings.run_uid, 0)
    kernel = seen["kernel"]
    capabilities = {name: int(value, 16) for name, value in kernel.items() if name.startswith("Cap")}
    assert capabilities == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
    assert (kernel["NoNewPrivs"], kernel["Seccomp"]) == ("1", "2")
    assert not seen["first"]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"cpu_family": 9999}, "cpu_family 9999"),
        ({"cpu_model": 9999}, "cpu_model 9999"),
        ({"physical_cpus": 4096}, "physical_cpus 4096"),
        ({"processor": "Difference Engine"}, "Difference Engine"),
        ({"architecture": "s390x"}, "architecture s390x"),
        ({"gpu": {"vendor": "nvidia.com/gpu", "count": 64}}, "nvidia.com/gpu"),
        ({"node_selector": {"example.org/rack": "7"}}, "example.org/rack=7"),
    ],
)
@pytest.mark.parametrize("step", ["build", "run"])
def test_hardware_that_is_not_here_is_refused_at_once(
    service: Service, base: str, step: str, other: dict[str, Any], named: str
) -> None:
    document = {
        "base": base,
        "script": "true",
        step: {"requests": {"hardware": {**machine_hardware(service), **other}}},
    }
    answer = requests.post(f"{service.url}/api/v1/inspect", json=document, timeout=30)
    assert answer.status_code == 422
    assert f"{step}.requests" in answer.json()["error"]
    assert named in answer.json()["error"]
    tried = service.client.submit(document, dry_run=True)
    assert (tried["feasible"], named in tried["message"]) == (False, True)


def test_a_build_without_script_may_ask_for_any_run(service: Service, base: str) -> None:
    document = {"base": base, "run": {"requests": {"hardware": {"cpu_family": 9999}}}}
    assert service.client.submit(document, dry_run=True)["feasible"] is True


@pytest.fixture
def lying(tmp_path: Path, base: str) -> Iterator[Inspections]:
    """A service whose node is believed to be of another family than it is, as a wrong label makes one seem."""
    settings = Settings(state_dir=tmp_path / "state", engine="podman", grace=1, attempts=3)
    engine = PodmanEngine(settings)
    node = this_node()
    claimed = json.loads(json.dumps(node.hwinfo))
    claimed["cpu_info"]["family"] += 1
    engine.__dict__["_node"] = replace(node, hwinfo=claimed)
    controller = Controller(engine)
    thread = threading.Thread(target=controller.run)
    thread.start()
    yield Inspections(engine, settings, ANYBODY)
    controller.stop()
    thread.join()
    machine = for_settings(settings)
    cleanup.stop(Podman(machine.podman, machine.environment), settings.state_dir)


def test_a_run_on_other_hardware_than_requested_is_no_success(lying: Inspections, base: str) -> None:
    """It is the platform's error, told so that nobody measures on the wrong machine; the script's work is kept."""
    family = lying.engine.nodes()[0].hwinfo["cpu_info"]["family"]
    run = {"requests": {"hardware": {"cpu_family": family}}}
    accepted, _ = lying.submit({"base": base, "script": "echo 42", "run": run})
    wait_until(lambda: lying.observe(accepted.id).finished_at, 90)
    found = status.verdict(lying.observe(accepted.id))
    assert (found.phase, found.reason) == ("error", "HardwareMismatch")
    assert found.message is not None
    assert f"Requested cpu_family {family}, the node has {family - 1}." in found.message
    (item,) = lying.observe(accepted.id).items
    assert (item.outcome, item.reason, item.attempt, item.hardware_match) == ("error", "HardwareMismatch", 1, False)
    report = lying.report(accepted.id, 0)
    assert report is not None
    assert (report["hardware_match"], report["exit_code"], report["stdout_text"]) == (False, 0, "42\n")
