"""Every endpoint, field, status and error that callers rely on, asked of a running service."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from datetime import datetime
from typing import Any

import pytest
import requests

from amun import __version__
from amun.validation import schema
from tests.conftest import Service, environment_of, specification, wait_until

from .conftest import SCRIPT, UNKNOWN, Api, assert_error

pytestmark = pytest.mark.podman

ID = r"inspection-([a-z0-9-]+-)?[0-9a-f]{16}"
DIGEST = r"sha256:[0-9a-f]{64}"

READ = ["", "/status", "/specification", "/build/log", "/job/log", "/job/batch-size", "/job/0/log", "/job/0/result"]
"""What there is to read below an inspection."""

JSON = {"Content-Type": "application/json"}


def total(api: Api) -> int:
    """How many inspections there are."""
    number: int = api.json("/inspect", limit=1)["total"]
    return number


def is_time(text: object) -> bool:
    assert isinstance(text, str)
    return datetime.fromisoformat(text).utcoffset() is not None


def has_types(document: dict[str, Any], **types: Any) -> bool:
    """Check that the fields are there, of these types; None among them allows null."""
    for name, kinds in types.items():
        allowed = kinds if isinstance(kinds, tuple) else (kinds,)
        value = document[name]
        assert any(value is None if kind is None else type(value) is kind for kind in allowed), (name, value)
    return True


# -- beside the inspections ---------------------------------------------------------------------------------------


def test_the_version_of_contract_and_service_are_told(api: Api) -> None:
    assert api.json("/version") == {
        "version": schema.document()["info"]["version"],
        "service_version": __version__,
    }


def test_the_hardware_of_this_machine_is_told(api: Api) -> None:
    document = api.json("/hardware")
    assert document["parameters"] == {}
    (node,) = document["hardware"]
    assert has_types(node, architecture=str, cpu=float, memory=int, gpus=list, labels=dict, count=int, free=int)
    assert node["cpu"] == len(os.sched_getaffinity(0))
    assert node["labels"]["kubernetes.io/arch"] == node["architecture"]
    assert node["hwinfo"]["cpu_info"]["count"] >= 1
    assert node["count"] == 1


def test_pages_and_probes_are_there(api: Api) -> None:
    assert api.json(f"{api.root}/liveness") == {"status": "ok"}
    assert api.json(f"{api.root}/readiness") == {"status": "ok"}
    home = api.get(f"{api.root}/")
    assert (home.status_code, home.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    ui = api.get("/ui/")
    assert ui.status_code == 200
    assert "openapi.json" in ui.text or "openapi.json" in api.get("/ui/swagger-initializer.js").text
    assert "amun_http_responses_total" in api.get(f"{api.root}/metrics").text


@pytest.mark.parametrize("path", ["", "/"])
def test_the_root_of_the_api_lists_its_paths(api: Api, path: str) -> None:
    assert "/api/v1/inspect/{inspection_id}/job/{item}/result" in api.json(path)["paths"]


def test_the_description_is_served_and_names_nothing_internal(api: Api) -> None:
    served = api.json("/openapi.json")
    assert set(served["paths"]) == set(schema.document()["paths"])
    assert "api_v1" not in json.dumps(served)


def test_the_dockerfile_comes_with_all_that_is_needed_to_build_it_by_hand(api: Api, base: str) -> None:
    document = specification(base, files=[{"path": "/srv/a", "content": "tab\t$HOME\\\n"}], packages=["vim"])
    before = total(api)
    answer = api.post("/_debug/generate-dockerfile", document)
    assert answer.status_code == 200
    body = answer.json()
    assert has_types(body, dockerfile=str, parameters=dict, context=dict)
    assert f"\nFROM {base}\n" in body["dockerfile"]
    copies = re.findall(r"^COPY (\[.*\])$", body["dockerfile"], re.MULTILINE)
    copied = [name for copy in copies for name in json.loads(copy)[:-1]]
    assert set(copied) == set(body["context"])
    assert "tab\t$HOME\\\n" in body["context"].values()
    assert body["parameters"]["packages"] == ["vim"]
    assert total(api) == before


def test_the_dockerfile_of_a_bad_specification_is_refused(api: Api) -> None:
    answer = api.post("/_debug/generate-dockerfile", {"base": "UPPER"})
    assert answer.status_code == 400
    assert [problem["path"] for problem in answer.json()["details"]] == ["base"]


# -- submit ---------------------------------------------------------------------------------------------------------


def test_a_submission_is_answered_at_once_with_id_place_and_every_default(
    api: Api, service: Service, base: str
) -> None:
    document = {"base": base, "script": "true", "identifier": "my-test"}
    answer = api.post("/inspect", document)
    assert answer.status_code == 202
    body = answer.json()
    assert has_types(body, inspection_id=str, parameters=dict, build_created=bool, job_created=bool, cached=bool)
    assert re.fullmatch(r"inspection-my-test-[0-9a-f]{16}", body["inspection_id"])
    assert answer.headers["Location"] == f"/api/v1/inspect/{body['inspection_id']}"
    assert (body["build_created"], body["job_created"]) == (True, True)
    assert body["parameters"] == {
        "base": base,
        "identifier": "my-test",
        "update": False,
        "packages": [],
        "python_packages": [],
        "python": {"requirements": {}, "requirements_locked": {}},
        "package_manager": "micropipenv",
        "upgrade_pip": False,
        "files": [],
        "environment": [],
        "script": "true",
        "build": {"requests": {"cpu": "500m", "memory": "256Mi"}, "cache": True, "timeout": 3600},
        "run": {"requests": {"cpu": "500m", "memory": "256Mi"}, "timeout": 3600},
        "batch_size": 1,
        "parallelism": 1,
        "allowed_failures": 0,
    }
    assert api.get(answer.headers["Location"].removeprefix("/api/v1")).status_code == 200
    service.wait(body["inspection_id"])


def test_from_the_202_on_the_id_is_known_on_every_path(api: Api, base: str) -> None:
    answer = api.post("/inspect", specification(base))
    path = f"/inspect/{answer.json()['inspection_id']}"
    assert {api.get(path + below).status_code for below in READ} <= {200, 202}
    api.ask("DELETE", path)


def test_without_a_script_only_the_build_happens(api: Api, build_only: str) -> None:
    path = f"/inspect/{build_only}"
    status = api.json(f"{path}/status")
    assert (status["phase"], status["job"], status["status"]["job"]) == ("succeeded", None, None)
    assert api.json(f"{path}/job/batch-size")["batch_size"] == 0
    for below in ("/job/log", "/job/0/log", "/job/0/result"):
        refused = api.get(path + below)
        assert refused.status_code == 404
        assert "no script" in refused.json()["error"]
    assert api.get(f"{path}/job/log", params={"follow": "true"}).status_code == 404


def test_an_accepted_inspection_without_a_script_says_that_there_is_no_job(api: Api, base: str) -> None:
    answer = api.post("/inspect", {"base": base}).json()
    assert answer["job_created"] is False
    api.ask("DELETE", f"/inspect/{answer['inspection_id']}")


def test_what_real_callers_send_is_taken(api: Api, base: str) -> None:
    document = {
        "@created": "2020-08-05T14:49:34.654310",
        "base": base,
        "identifier": "",
        "update": None,
        "packages": None,
        "python_packages": [],
        "python": {"requirements": {}, "requirements_locked": {}},
        "package_manager": None,
        "files": None,
        "environment": None,
        "script": None,
        "build": {"requests": {"cpu": None, "memory": None, "hardware": None}},
        "run": None,
        "batch_size": "5",
        "runtime_environment": {"cuda_version": None, "hardware": {}},
        "constraints": ["x"],
        "send_messages": True,
        "force_sync": False,
    }
    answer = api.post("/inspect?dry_run=true", document)
    assert answer.status_code == 200
    parameters = answer.json()["parameters"]
    assert parameters["batch_size"] == 5
    assert parameters["constraints"] == ["x"]
    assert parameters["send_messages"] is True
    assert "@created" not in parameters


def test_a_stored_specification_posted_back_gives_the_same_environment(api: Api, service: Service, done: str) -> None:
    stored = api.json(f"/inspect/{done}/specification")
    document = {**stored["specification"], "@created": stored["created"], "identifier": "again"}
    answer = api.post("/inspect", document).json()
    assert answer["cached"] is True
    service.wait(answer["inspection_id"])
    first, second = (api.json(f"/inspect/{each}") for each in (done, answer["inspection_id"]))
    assert first["environment"]["digest"] == second["environment"]["digest"]
    assert first["environment"]["image"] == second["environment"]["image"]
    assert second["environment"]["cached"] is True


def test_a_type_in_other_letters_and_a_body_in_chunks_are_taken(api: Api, base: str) -> None:
    body = json.dumps({"base": base}).encode()
    for options in (
        {"data": body, "headers": {"Content-Type": "Application/JSON; charset=UTF-8"}},
        {"data": body, "headers": {"Content-Type": None}},
        {"data": iter([body[:10], body[10:]]), "headers": JSON},
    ):
        assert api.ask("POST", "/inspect?dry_run=true", **options).status_code == 200


# -- dry run and idempotency ----------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_happen_and_creates_nothing(api: Api, done: str, base: str) -> None:
    before = total(api)
    answer = api.post("/inspect?dry_run=true", specification(base))
    body = answer.json()
    assert answer.status_code == 200
    assert has_types(body, parameters=dict, environment=str, cached=bool, feasible=bool)
    assert re.fullmatch(DIGEST, body["environment"])
    assert body["environment"] == api.json(f"/inspect/{done}")["environment"]["digest"]
    assert (body["cached"], body["feasible"], body["message"]) == (True, True, None)
    never_built = api.post("/inspect?dry_run=true", environment_of(base, secrets.token_hex(4))).json()
    assert never_built["cached"] is False
    assert never_built["environment"] != body["environment"]
    assert total(api) == before


def test_a_dry_run_says_what_is_not_feasible_and_why(api: Api, base: str) -> None:
    document = specification(base, run={"requests": {"cpu": "4k"}})
    answer = api.post("/inspect?dry_run=true", document)
    assert (answer.status_code, answer.json()["feasible"]) == (200, False)
    assert "4k CPUs" in answer.json()["message"]


def test_a_submission_sent_twice_with_one_key_makes_one_inspection(api: Api, base: str) -> None:
    key = {"Idempotency-Key": secrets.token_hex(8)}
    document = specification(base, "true", identifier="once")
    before = total(api)
    first = api.post("/inspect", document, headers=key)
    again = api.post("/inspect", document, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["inspection_id"] == again.json()["inspection_id"]
    assert first.headers["Location"] == again.headers["Location"]
    assert total(api) == before + 1
    other = api.post("/inspect", {**document, "update": True}, headers=key)
    assert other.status_code == 409
    assert "Idempotency-Key" in other.json()["error"]
    assert total(api) == before + 1
    api.ask("DELETE", f"/inspect/{first.json()['inspection_id']}")


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
def test_a_key_that_is_none_is_refused(api: Api, base: str, key: str) -> None:
    refused = api.post("/inspect", specification(base), headers={"Idempotency-Key": key.encode("latin-1")})
    assert refused.status_code == 400
    assert "Idempotency-Key" in refused.json()["error"]


# -- refusals -------------------------------------------------------------------------------------------------------


def test_every_offending_field_is_named_at_once(api: Api) -> None:
    before = total(api)
    document = {
        "batc_size": 3,
        "identifier": "No_Label",
        "packages": ["vim", "--force"],
        "python_packages": ["numpy>>1"],
        "files": [{"path": "../etc/passwd", "content": 1}],
        "environment": [{"name": "1X", "value": "y"}],
        "run": {"requests": {"memory": "much", "hardware": {"cpu_family": "six"}}},
        "parallelism": 0,
        "python": {"requirements": {"packages": {"flask": "*"}}},
    }
    answer = api.post("/inspect", document)
    assert answer.status_code == 400
    body = answer.json()
    assert [problem["path"] for problem in body["details"]] == [
        "base",
        "batc_size",
        "environment[0].name",
        "files[0].content",
        "files[0].path",
        "identifier",
        "packages[1]",
        "parallelism",
        "python.requirements_locked",
        "python_packages[0]",
        "run.requests.hardware.cpu_family",
        "run.requests.memory",
    ]
    assert all(problem["message"] for problem in body["details"])
    assert "did you mean `batch_size`?" in {p["path"]: p["message"] for p in body["details"]}["batc_size"]
    assert body["parameters"] == document
    assert total(api) == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nothing", b"null", b"[]", b'"x"', b"\xff", b'{"base": NaN}', b'{"x":' + b"[" * 100_000]
)
def test_a_body_that_is_no_specification_is_refused(api: Api, body: bytes) -> None:
    refused = api.ask("POST", "/inspect", data=body, headers=JSON)
    assert refused.status_code == 400
    assert refused.json()["details"]


@pytest.mark.parametrize("name", [{}, [], 1, True, ""])
def test_a_lock_with_nonsense_in_it_is_refused(api: Api, base: str, name: object) -> None:
    sources = [{"name": name, "url": "https://pypi.org/simple"}]
    python = {"requirements": {"packages": {}}, "requirements_locked": {"_meta": {"sources": sources}}}
    refused = api.post("/inspect", {"base": base, "python": python})
    assert refused.status_code == 400
    paths = [problem["path"] for problem in refused.json()["details"]]
    assert paths == ["python.requirements_locked._meta.sources[0].name"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/yaml"])
def test_a_body_of_another_type_is_refused(api: Api, base: str, content_type: str) -> None:
    body = json.dumps({"base": base})
    refused = api.ask("POST", "/inspect", data=body, headers={"Content-Type": content_type})
    assert refused.status_code == 415
    assert "application/json" in refused.json()["error"]


def test_a_body_that_is_too_large_is_refused(api: Api, base: str) -> None:
    large = b'{"base": "' + b"x" * (5 * 2**20) + b'"}'
    assert api.ask("POST", "/inspect", data=large, headers=JSON).status_code == 413
    assert api.ask("POST", "/inspect", data=iter([large[:1000], large[1000:]]), headers=JSON).status_code == 413
    assert api.get("/version").status_code == 200


@pytest.mark.parametrize(
    ("requests_", "told"),
    [
        ({"cpu": "4096"}, ["4096 CPUs", f"{len(os.sched_getaffinity(0))}"]),
        ({"memory": "64Ti"}, ["64Ti of memory", "Mi"]),
        ({"hardware": {"cpu_family": 250}}, ["cpu_family 250"]),
        ({"hardware": {"processor": "Abacus"}}, ["'Abacus'"]),
        ({"hardware": {"architecture": "s390x"}}, ["s390x"]),
        ({"hardware": {"gpu": {"vendor": "example.com/gpu", "count": 2}}}, ["2 x example.com/gpu", "none"]),
        ({"hardware": {"node_selector": {"example.com/rack": "7"}}}, ["example.com/rack=7", "none"]),
    ],
)
@pytest.mark.parametrize("step", ["build", "run"])
def test_what_no_node_can_serve_is_refused_with_what_there_is(
    api: Api, base: str, step: str, requests_: dict[str, Any], told: list[str]
) -> None:
    refused = api.post("/inspect", specification(base, **{step: {"requests": requests_}}))
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert f"{step}.requests" in error
    assert "the node has" in error
    assert all(word in error for word in told)


def test_hardware_for_a_run_that_is_not_asked_for_is_in_nobodys_way(api: Api, base: str) -> None:
    document = specification(base, None, run={"requests": {"cpu": "4096"}})
    assert api.post("/inspect?dry_run=true", document).json()["feasible"] is True


@pytest.mark.parametrize("below", READ)
@pytest.mark.parametrize("inspection_id", [UNKNOWN, "x", "..", "%00", "Inspection-0123456789abcdef", "a%0A"])
def test_an_unknown_inspection_is_404_on_every_path(api: Api, inspection_id: str, below: str) -> None:
    url = f"{api.url}/inspect/{inspection_id}{below}"
    # requests would make /inspect/../status into another path
    prepared = requests.Request("GET", url).prepare()
    prepared.url = url
    with requests.Session() as session:
        refused = session.send(prepared, timeout=30)
    assert refused.status_code == 404
    assert_error(refused)


@pytest.mark.parametrize(
    ("method", "below", "query"),
    [
        ("DELETE", "", ""),
        ("POST", "/cancel", ""),
        ("GET", "/job/log", "follow=true"),
        ("GET", "/job/0/log", "follow=true"),
        ("GET", "/build/log", "follow=true"),
    ],
)
def test_nothing_is_done_to_an_unknown_inspection(api: Api, method: str, below: str, query: str) -> None:
    refused = api.ask(method, f"/inspect/{UNKNOWN}{below}?{query}")
    assert refused.status_code == 404
    assert refused.json()["parameters"]["inspection_id"] == UNKNOWN


@pytest.mark.parametrize("below", ["/job/2/log", "/job/2/result", "/job/99999999999999999999/log"])
def test_an_item_that_the_inspection_does_not_have_is_404(api: Api, done: str, below: str) -> None:
    refused = api.get(f"/inspect/{done}{below}")
    assert refused.status_code == 404
    assert "there are 2" in refused.json()["error"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/inspect?page=0", "page"),
        ("/inspect?page=x", "page"),
        ("/inspect?limit=101", "limit"),
        ("/inspect?limit=0", "limit"),
        ("/inspect?phase=asleep", "phase"),
        ("/inspect?identifier=", "identifier"),
        ("/inspect?pages=2", "pages"),
        (f"/inspect/{UNKNOWN}/build/log?offset=-1", "offset"),
        (f"/inspect/{UNKNOWN}/build/log?offset=9999999999999999999999", "offset"),
        (f"/inspect/{UNKNOWN}/job/log?stream=both", "stream"),
        (f"/inspect/{UNKNOWN}/job/log?follow=maybe", "follow"),
        (f"/inspect/{UNKNOWN}/job/-1/log", "item"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, path: str, name: str) -> None:
    refused = api.get(path)
    assert refused.status_code == 400
    assert f"`{name}`" in refused.json()["error"]


@pytest.mark.parametrize("path", ["/nothing", "/inspect/x/y", f"/inspect/{UNKNOWN}/job/x/log", "/inspect/a/b/c/d"])
def test_an_unknown_path_is_404(api: Api, path: str) -> None:
    assert api.get(path).status_code == 404
    assert api.get(f"{api.root}/nothing").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/inspect", {"GET", "HEAD", "POST"}),
        ("DELETE", "/version", {"GET", "HEAD"}),
        ("POST", f"/inspect/{UNKNOWN}", {"DELETE", "GET", "HEAD"}),
        ("GET", f"/inspect/{UNKNOWN}/cancel", {"POST"}),
        ("PATCH", f"/inspect/{UNKNOWN}/job/0/log", {"GET", "HEAD"}),
        ("GET", "/_debug/generate-dockerfile", {"POST"}),
    ],
)
def test_a_wrong_method_is_refused_with_the_right_ones(api: Api, method: str, path: str, allowed: set[str]) -> None:
    refused = api.ask(method, path)
    assert refused.status_code == 405
    assert set(refused.headers["Allow"].split(", ")) == allowed


def test_a_wrong_method_beside_the_api_is_refused_as_well(api: Api) -> None:
    refused = api.post(f"{api.root}/liveness")
    assert refused.status_code == 405
    assert "GET" in refused.headers["Allow"]


def test_who_only_wants_to_know_whether_something_is_there_is_told(api: Api, done: str) -> None:
    there = api.ask("HEAD", f"/inspect/{done}/status")
    assert (there.status_code, there.content) == (200, b"")
    assert api.ask("HEAD", f"/inspect/{done}/job/log?follow=true").status_code == 200
    assert api.ask("HEAD", f"/inspect/{UNKNOWN}/status").status_code == 404


# -- read -----------------------------------------------------------------------------------------------------------


def test_the_status_of_what_succeeded_has_every_field(api: Api, done: str) -> None:
    status = api.json(f"/inspect/{done}/status")
    assert status["parameters"] == {"inspection_id": done}
    assert (status["phase"], status["reason"], status["message"]) == ("succeeded", None, None)
    build, job, old = status["build"], status["job"], status["status"]
    assert (old["build"], old["job"]) == (build, job)
    assert old["data_stored"] is False
    assert has_types(build, container=str, state=str, reason=str, exit_code=int, message=None, cached=bool)
    assert (build["state"], build["exit_code"]) == ("terminated", 0)
    assert re.fullmatch(DIGEST, build["environment"])
    assert re.fullmatch(rf".+@{DIGEST}", build["image"])
    assert is_time(build["started_at"])
    assert is_time(build["finished_at"])
    assert (job["active"], job["succeeded"], job["failed"], job["completions"]) == (0, 2, 0, 2)
    assert (job["state"], job["exit_code"], job["reason"]) == ("terminated", 0, "Completed")
    assert is_time(job["started_at"])
    assert is_time(job["finished_at"])
    workflow = old["workflow"]
    assert workflow["phase"] == "Succeeded"
    assert workflow["conditions"] == [{"type": "Completed", "status": "True"}]
    assert is_time(workflow["startedAt"])
    assert is_time(workflow["finishedAt"])


def test_the_status_names_every_item(api: Api, done: str) -> None:
    pods = api.json(f"/inspect/{done}/status")["job"]["pods"]
    assert [pod["item"] for pod in pods] == [0, 1]
    for pod in pods:
        assert has_types(pod, container=str, reason=str, exit_code=int, attempt=int, node=str, message=None)
        assert (pod["state"], pod["exit_code"], pod["attempt"], pod["hardware_match"]) == ("terminated", 0, 1, None)
        assert pod["started_at"] <= pod["finished_at"]


def test_everything_can_be_had_at_once(api: Api, done: str) -> None:
    detail, status = api.json(f"/inspect/{done}"), api.json(f"/inspect/{done}/status")
    assert detail["inspection_id"] == done
    assert detail["parameters"] == {"inspection_id": done}
    assert detail["status"] == status
    assert detail["items"] == status["job"]["pods"]
    assert detail["specification"] == api.json(f"/inspect/{done}/specification")["specification"]
    assert is_time(detail["created"])
    assert detail["environment"] == {
        "digest": status["build"]["environment"],
        "image": status["build"]["image"],
        "cached": status["build"]["cached"],
    }


def test_the_specification_is_what_was_posted_plus_defaults(api: Api, done: str, base: str) -> None:
    document = api.json(f"/inspect/{done}/specification")
    assert document["parameters"] == {"inspection_id": done}
    assert is_time(document["created"])
    specification = document["specification"]
    assert (specification["base"], specification["script"], specification["batch_size"]) == (base, SCRIPT, 2)
    assert specification["package_manager"] == "micropipenv"


def test_the_build_log_is_there_as_json_and_as_text(api: Api, done: str) -> None:
    document = api.json(f"/inspect/{done}/build/log")
    assert document["parameters"] == {"inspection_id": done}
    assert "STEP 1/" in document["log"]
    assert api.text(f"/inspect/{done}/build/log") == document["log"]


@pytest.mark.parametrize("item", [0, 1])
def test_each_item_leaves_a_report(api: Api, done: str, item: int) -> None:
    log = api.json(f"/inspect/{done}/job/{item}/log")
    result = api.json(f"/inspect/{done}/job/{item}/result")
    assert log["log"] == result["result"]
    assert log["parameters"] == result["parameters"] == {"inspection_id": done, "item": item}
    report = result["result"]
    assert report["exit_code"] == 0
    assert report["stdout"] == {"item": item, "batch_size": 2}
    assert json.loads(report["stdout_text"]) == report["stdout"]
    assert report["stderr"] == f"this goes to stderr of item {item}\n"
    assert report["script_sha256"] == hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert report["truncated"] == {"stdout": False, "stderr": False}
    assert (report["signal"], report["oom_killed"], report["hardware_match"]) == (None, False, None)
    assert len(report["usage"]) == 16
    assert report["datetime"] == report["start_datetime"] < report["end_datetime"]


def test_the_older_path_of_the_log_is_that_of_item_0(api: Api, done: str) -> None:
    document = api.json(f"/inspect/{done}/job/log")
    assert document["parameters"] == {"inspection_id": done}
    assert document["log"] == api.json(f"/inspect/{done}/job/0/log")["log"]


def test_the_number_of_items_is_told(api: Api, done: str) -> None:
    assert api.json(f"/inspect/{done}/job/batch-size") == {"batch_size": 2, "parameters": {"inspection_id": done}}


@pytest.mark.parametrize("below", ["/job/log", "/job/0/log", "/job/0/result", "/job/1/log", "/job/1/result"])
def test_a_report_that_is_not_there_yet_is_202(api: Api, running: str, below: str) -> None:
    document = api.json(f"/inspect/{running}{below}", status=202)
    assert set(document) == {"error", "parameters"}
    assert document["parameters"]["inspection_id"] == running
    assert "not over yet" in document["error"]


def test_the_status_of_what_runs_says_so(api: Api, running: str) -> None:
    status = api.json(f"/inspect/{running}/status")
    job = status["job"]
    assert status["phase"] == "running"
    assert status["status"]["workflow"]["phase"] == "Running"
    assert "conditions" not in status["status"]["workflow"]
    assert (job["active"], job["completions"], job["state"], job["finished_at"]) == (1, 2, "running", None)
    first, second = job["pods"]
    assert (first["state"], first["exit_code"], first["finished_at"]) == ("running", None, None)
    assert second["state"] == "waiting"


def test_a_failed_build_ends_the_inspection_and_its_log_says_why(api: Api, build_failed: str) -> None:
    path = f"/inspect/{build_failed}"
    status = api.json(f"{path}/status")
    assert status["phase"] == "build_failed"
    assert status["reason"] == status["build"]["reason"] == "BuildFailed"
    assert "placing files" in status["message"]
    assert "/etc/passwd" in status["message"]
    assert status["build"]["state"] == "terminated"
    assert status["build"]["exit_code"] != 0
    assert (status["job"]["state"], status["job"]["reason"]) == ("terminated", "BuildFailed")
    assert status["status"]["workflow"]["phase"] == "Failed"
    assert "cannot create directory" in api.json(f"{path}/build/log")["log"]
    for below in ("/job/log", "/job/0/log", "/job/0/result"):  # nobody polls for ever
        refused = api.get(path + below)
        assert refused.status_code == 404
        assert "never" in refused.json()["error"]
    assert api.text(f"{path}/job/log") == ""


# -- list -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listed(service: Service, base: str, api: Api) -> list[str]:
    """Five inspections of one identifier, newest first."""
    ids = [service.submit(specification(base, None, identifier="listed")) for _ in range(5)]
    for inspection_id in ids:
        service.wait(inspection_id)
    return ids[::-1]


def test_the_list_is_newest_first_with_a_summary_of_each(api: Api, listed: list[str]) -> None:
    document = api.json("/inspect", identifier="listed")
    assert document["inspections"] == listed
    assert document["parameters"] == {"page": 1, "limit": 100}
    assert document["total"] == 5
    assert [item["inspection_id"] for item in document["items"]] == listed
    for item in document["items"]:
        assert has_types(item, identifier=str, phase=str, reason=None, message=None, batch_size=int)
        assert is_time(item["created"])
        assert is_time(item["finished_at"])
        assert item["identifier"] == "listed"


def test_each_page_has_what_the_others_have_not(api: Api, listed: list[str]) -> None:
    pages = [api.json("/inspect", identifier="listed", page=page, limit=2) for page in (1, 2, 3, 4)]
    assert [page["inspections"] for page in pages] == [listed[:2], listed[2:4], listed[4:], []]
    assert [page["total"] for page in pages] == [5] * 4
    assert [page["parameters"] for page in pages] == [{"page": page, "limit": 2} for page in (1, 2, 3, 4)]
    everything = api.json("/inspect")
    assert everything["total"] > 5
    assert set(listed) < set(everything["inspections"])


def test_the_list_can_be_filtered_by_phase(api: Api, listed: list[str], done: str, build_failed: str) -> None:
    failed = api.json("/inspect", phase="build_failed")
    assert build_failed in failed["inspections"]
    assert {item["phase"] for item in failed["items"]} == {"build_failed"}
    both = api.json("/inspect", phase="succeeded", identifier="listed", limit=2, page=2)
    assert both["inspections"] == listed[2:4]
    assert both["total"] == 5
    assert api.json("/inspect", phase="cancelled", identifier="listed")["inspections"] == []


def test_an_identifier_is_matched_as_a_whole(api: Api, listed: list[str]) -> None:
    assert api.json("/inspect", identifier="liste")["total"] == 0


# -- end ------------------------------------------------------------------------------------------------------------


def test_what_is_cancelled_stops_and_keeps_its_logs(api: Api, service: Service, base: str) -> None:
    inspection_id = service.submit(specification(base, "echo before; exec sleep 600"))
    path = f"/inspect/{inspection_id}"
    wait_until(lambda: api.text(f"{path}/job/log") == "before\n")
    cancelled = api.post(f"{path}/cancel")
    assert cancelled.status_code == 202
    assert cancelled.json() == {"parameters": {"inspection_id": inspection_id}}
    status = service.wait(inspection_id)
    assert (status["phase"], status["reason"]) == ("cancelled", "Cancelled")
    assert status["message"]
    assert status["status"]["workflow"]["phase"] == "Failed"
    assert status["job"]["state"] == "terminated"
    assert api.text(f"{path}/job/log") == "before\n"
    assert "STEP 1/" in api.text(f"{path}/build/log")
    again = api.post(f"{path}/cancel")
    assert again.status_code == 409
    assert "over already" in again.json()["error"]


def test_what_is_over_cannot_be_cancelled(api: Api, done: str, build_failed: str) -> None:
    for inspection_id in (done, build_failed):
        assert api.post(f"/inspect/{inspection_id}/cancel").status_code == 409


def test_what_is_deleted_is_gone_from_everywhere(api: Api, service: Service, base: str) -> None:
    inspection_id = service.submit(specification(base, "exec sleep 600", identifier="deleted"))
    service.wait(inspection_id, "running")
    path = f"/inspect/{inspection_id}"
    deleted = api.ask("DELETE", path)
    assert (deleted.status_code, deleted.json()) == (202, {"parameters": {"inspection_id": inspection_id}})
    assert {api.get(path + below).status_code for below in READ} == {404}
    assert api.json("/inspect", identifier="deleted")["inspections"] == []
    assert api.ask("DELETE", path).status_code == 404
    assert api.post(f"{path}/cancel").status_code == 404
