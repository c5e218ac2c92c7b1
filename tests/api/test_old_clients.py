"""The clients that were generated from the original's descriptions, unchanged, against this service.

Version 0.3.8 belongs to the service of one job an inspection, 0.5.0 to that of batches. Both are installed as they are
on the package index. What does not work in them, whatever a service answers, is listed at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.auth.api_keys import new_key
from tests.conftest import Service, environment_of

from .conftest import SCRIPT, SLEEPER, UNKNOWN, Api

pytestmark = [pytest.mark.podman, pytest.mark.slow]

BATCHES, ONE_JOB = "0.5.0", "0.3.8"
PROGRAM = Path(__file__).with_name("old_client.py")

both = pytest.mark.parametrize("client", [BATCHES, ONE_JOB], indirect=True)
of_batches = pytest.mark.parametrize("client", [BATCHES], indirect=True)
of_one_job = pytest.mark.parametrize("client", [ONE_JOB], indirect=True)


class Raised(Exception):
    """What the client raised: the name of its exception, and the service's answer if it holds one."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(answer["raised"], answer["message"])
        self.name = answer["raised"]
        self.status = answer["status"]
        self.body = json.loads(answer["body"]) if answer["body"] else None


class OldClient:
    """One version of the client, in a process that has nothing else to import."""

    def __init__(self, version: str, directory: Path, url: str, *token: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", str(PROGRAM), f"{url}/api/v1", *token],
            env={**os.environ, "PYTHONPATH": str(directory), "PYTHONSAFEPATH": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.call("version") == version

    def call(self, name: str, **arguments: Any) -> Any:
        """What the client's function returns, models as dictionaries; raises `Raised`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([name, arguments]), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        if "raised" in answer:
            raise Raised(answer)
        return answer["returned"]

    def close(self) -> None:
        self._process.communicate()


def install(version: str, directory: Path) -> None:
    """Install the client and what it needs into a directory of its own, once."""
    if (directory / "complete").exists():
        return
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(directory)]
    done = subprocess.run([*pip, f"amun=={version}"], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip(f"the package index does not give amun {version}: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    (directory / "complete").touch()


@pytest.fixture(scope="session")
def installed(pytestconfig: pytest.Config) -> dict[str, Path]:
    """Where each version is."""
    assert pytestconfig.cache is not None
    places = {version: pytestconfig.cache.mkdir(f"amun-{version}") for version in (BATCHES, ONE_JOB)}
    for version, directory in places.items():
        install(version, directory)
    return places


@pytest.fixture(scope="module")
def clients(service: Service, installed: dict[str, Path]) -> Iterator[dict[str, OldClient]]:
    running = {version: OldClient(version, directory, service.url) for version, directory in installed.items()}
    yield running
    for client in running.values():
        client.close()


@pytest.fixture
def client(request: pytest.FixtureRequest, clients: dict[str, OldClient]) -> OldClient:
    return clients[request.param]


def follow(client: OldClient, inspection_id: str) -> list[dict[str, Any]]:
    """Poll as fast as the client can, from the first moment to the end; returns all it was told, in order."""
    seen: list[dict[str, Any]] = []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        status = client.call("get_inspection_status", inspection_id=inspection_id)
        seen.append(status)
        workflow = status.get("workflow", {}).get("phase")
        if workflow in ("Succeeded", "Failed", "Error") or (status.get("job") or {}).get("state") == "terminated":
            return seen
    raise AssertionError(f"not over within a minute: {seen[-1]}")


# -- one inspection from its first moment to its last ---------------------------------------------------------------


@both
def test_an_inspection_is_submitted_polled_and_read(client: OldClient, base: str, request: Any) -> None:
    document = environment_of(base, request.node.name)
    submitted = client.call(
        "inspect",
        **document,
        script=SCRIPT,
        identifier="old-client",
        packages=[],
        files=[{"path": "/srv/file", "content": "text\n"}],
        build={"requests": {"cpu": "500m", "memory": "256Mi"}},
        run={"requests": {"cpu": "500m", "memory": "256Mi"}},
    )
    inspection_id = submitted["inspection_id"]
    assert submitted["parameters"]["script"] == SCRIPT

    seen = follow(client, inspection_id)
    builds = [status["build"] for status in seen]
    assert builds[0]["state"] in ("waiting", "scheduling", "running")
    assert builds[0]["started_at"]
    assert (builds[-1]["state"], builds[-1]["exit_code"]) == ("terminated", 0)
    assert builds[-1]["started_at"] <= builds[-1]["finished_at"]

    assert "STEP 1/" in client.call("get_inspection_build_log", inspection_id=inspection_id)
    specification = client.call("InspectionApi.get_inspection_specification", inspection_id=inspection_id)
    assert specification["specification"]["script"] == SCRIPT
    assert specification["specification"]["environment"] == document["environment"]


@of_one_job
def test_a_client_of_one_job_reads_its_status_and_report(client: OldClient, done: str) -> None:
    status = client.call("get_inspection_status", inspection_id=done)
    assert (status["job"]["state"], status["job"]["exit_code"]) == ("terminated", 0)
    assert status["job"]["started_at"] <= status["job"]["finished_at"]
    assert client.call("is_inspection_finished", inspection_id=done) is True
    assert client.call("has_inspection_job", inspection_id=done) is True
    report = client.call("get_inspection_job_log", inspection_id=done)
    check(report)
    assert report["os_release"]["id"]
    assert report["runtime_environment"]["operating_system"]["name"] == report["os_release"]["id"]
    specification, created = client.call("get_inspection_specification", inspection_id=done)
    assert specification["script"] == SCRIPT
    assert created


@of_batches
def test_a_client_of_batches_reads_each_item(client: OldClient, done: str) -> None:
    assert client.call("InspectionApi.get_inspection_job_batch_size", inspection_id=done)["batch_size"] == 2
    for item in (0, 1):
        log = client.call("InspectionApi.get_inspection_job_log", inspection_id=done, item=item)["log"]
        result = client.call("InspectionApi.get_inspection_job_result", inspection_id=done, item=item)["result"]
        assert log == result
        check(log, item)
    status = client.call("InspectionApi.get_inspection_status", inspection_id=done)["status"]
    assert status["workflow"]["phase"] == "Succeeded"
    assert {"type": "Completed", "status": "True"} in status["workflow"]["conditions"]
    assert status["data_stored"] is False


def check(report: dict[str, Any], item: int = 0) -> None:
    assert report["exit_code"] == 0
    assert report["stdout"] == {"item": item, "batch_size": 2}
    assert report["stderr"] == f"this goes to stderr of item {item}\n"
    assert report["script_sha256"] == hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert report["hwinfo"]["cpu_info"]["arch"]
    assert len(report["usage"]) == 16
    assert set(report["runtime_environment"]) == {"hardware", "operating_system", "python_version", "cuda_version"}


@of_one_job
def test_polling_does_not_break_before_anything_has_started(
    client: OldClient, api: Api, service: Service, base: str
) -> None:
    """Its model refuses null for `started_at`, of the build and of the job."""
    inspection_id = service.submit({**environment_of(base, "first moment"), "script": "true"})
    seen = follow(client, inspection_id)
    assert seen[0]["job"]["state"] in ("waiting", "scheduling")
    assert all(status[step]["started_at"] for status in seen for step in ("build", "job"))
    assert client.call("is_inspection_finished", inspection_id=inspection_id) is True


# -- what goes wrong ------------------------------------------------------------------------------------------------


@both
def test_a_failed_build_is_over_for_whoever_polls(client: OldClient, build_failed: str) -> None:
    status = follow(client, build_failed)[-1]
    assert (status["build"]["state"], status["build"]["exit_code"]) == ("terminated", 1)
    assert status["build"]["reason"] == "BuildFailed"
    if "job" in status:
        assert (status["job"]["state"], status["job"]["reason"]) == ("terminated", "BuildFailed")
        assert client.call("is_inspection_finished", inspection_id=build_failed) is True
    else:
        assert status["workflow"]["phase"] == "Failed"
    assert "cannot create directory" in client.call("get_inspection_build_log", inspection_id=build_failed)
    item = {} if "job" in status else {"item": 0}
    with pytest.raises(Raised) as caught:
        client.call("InspectionApi.get_inspection_job_log", inspection_id=build_failed, **item)
    assert caught.value.status == 404


@of_batches
def test_a_client_of_batches_is_told_that_a_report_is_not_there_yet(
    client: OldClient, service: Service, base: str
) -> None:
    inspection_id = service.submit({"base": base, "script": SLEEPER})
    for name, key in (("get_inspection_job_log", "log"), ("get_inspection_job_result", "result")):
        answer = client.call(f"InspectionApi.{name}", inspection_id=inspection_id, item=0)
        assert answer[key] is None
        assert answer["parameters"] == {"inspection_id": inspection_id, "item": 0}
    service.client.delete(inspection_id)


@both
def test_errors_carry_the_sentence_and_what_was_sent(client: OldClient, base: str) -> None:
    with pytest.raises(Raised) as unknown:
        client.call("get_inspection_status", inspection_id=UNKNOWN)
    assert (unknown.value.name, unknown.value.status) in (("ApiException", 404), ("NotFoundException", 404))
    assert unknown.value.body["parameters"] == {"inspection_id": UNKNOWN}
    with pytest.raises(Raised) as refused:
        client.call("inspect", base=base, identifier="Not a label", packages=["--force"])
    assert refused.value.status == 400
    assert [problem["path"] for problem in refused.value.body["details"]] == ["identifier", "packages[0]"]
    hardware = {"cpu_family": 250, "cpu_model": 1, "processor": "Abacus"}
    with pytest.raises(Raised) as infeasible:
        client.call("inspect", base=base, build={"requests": {"hardware": hardware}})
    assert infeasible.value.status == 422
    assert "cpu_family 250" in infeasible.value.body["error"]


# -- the rest of what they can do -----------------------------------------------------------------------------------


@both
def test_null_for_everything_that_was_not_given_is_understood(client: OldClient, service: Service, base: str) -> None:
    submitted = client.call("InspectionSpecification.post", base=base, identifier="nulls")
    service.wait(submitted["inspection_id"])
    answer = client.call("InspectionApi.get_inspection_specification", inspection_id=submitted["inspection_id"])
    specification = answer["specification"]
    assert (specification["base"], specification["script"], specification["packages"]) == (base, None, [])
    assert specification["python"] == {"requirements": {}, "requirements_locked": {}}


@both
def test_the_dockerfile_is_generated(client: OldClient, base: str) -> None:
    document = {"base": base, "packages": ["vim"], "script": "true"}
    answer = client.call("DebugApi.post_generate_dockerfile", inspection_specification=document)
    assert f"FROM {base}\n" in answer["dockerfile"]
    assert answer["parameters"]["packages"] == ["vim"]


@of_batches
def test_the_version_is_told(client: OldClient, api: Api) -> None:
    assert client.call("ServiceApi.get_version") == api.json("/version")


@both
def test_a_hardware_request_that_this_machine_meets_comes_back_whole(
    client: OldClient, api: Api, service: Service, base: str
) -> None:
    """Their models refuse null in `hardware`, so that it has to come back with all that was sent."""
    cpu = api.json("/hardware")["hardware"][0]["hwinfo"]["cpu_info"]
    hardware = {"cpu_family": cpu["family"], "cpu_model": cpu["model"], "processor": cpu["brand_raw"]}
    submitted = client.call("inspect", base=base, build={"requests": {"hardware": hardware}})
    answer = client.call("InspectionApi.get_inspection_specification", inspection_id=submitted["inspection_id"])
    requests = answer["specification"]["build"]["requests"]
    assert requests["hardware"] == {**hardware, "physical_cpus": None}
    service.wait(submitted["inspection_id"])


# -- where callers are asked who they are ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Service]:
    """A service that asks for a key."""
    directory = tmp_path_factory.mktemp("asking")
    key, entry = new_key("alice")
    (directory / "keys").write_text(f"{entry}\n")
    running = Service(directory / "state", auth="keys", api_keys=directory / "keys", workers=1, grace=1)
    running.token = key
    try:
        yield running.start()
    finally:
        running.finish()


@pytest.mark.parametrize("version", [BATCHES, ONE_JOB])
def test_both_generations_can_send_a_token(
    installed: dict[str, Path], asking: Service, base: str, version: str
) -> None:
    client = OldClient(version, installed[version], asking.url, str(asking.token))
    try:
        submitted = client.call("inspect", **environment_of(base, "token"), script=SCRIPT)
        inspection_id = submitted["inspection_id"]
        follow(client, inspection_id)
        assert client.call("InspectionApi.get_inspection_specification", inspection_id=inspection_id)
        assert "STEP 1/" in client.call("get_inspection_build_log", inspection_id=inspection_id)
        item = {"item": 0} if version == BATCHES else {}
        assert client.call("InspectionApi.get_inspection_job_log", inspection_id=inspection_id, **item)["log"]
    finally:
        client.close()
    assert asking.client.detail(inspection_id)["owner"] == "alice"


@pytest.mark.parametrize("version", [BATCHES, ONE_JOB])
def test_both_generations_are_told_what_is_missing(installed: dict[str, Path], asking: Service, version: str) -> None:
    for token, said in (([], "A credential is missing"), (["amun_wrong"], "This API key is not known here.")):
        client = OldClient(version, installed[version], asking.url, *token)
        with pytest.raises(Raised) as refused:
            client.call("get_inspection_status", inspection_id=UNKNOWN)
        client.close()
        assert refused.value.status == 401
        assert said in refused.value.body["error"]


# -- what no service can help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "function", "raised"),
    [
        # 0.5.0 asks for the field `job`, which its own model of the status leaves out …
        (BATCHES, "is_inspection_finished", "KeyError"),
        (BATCHES, "has_inspection_job", "KeyError"),
        # … for `created`, which its model of the specification leaves out …
        (BATCHES, "get_inspection_specification", "KeyError"),
        # … and for an operation that it does not have.
        (BATCHES, "get_inspection_job_logs", "AttributeError"),
    ],
    indirect=["client"],
)
def test_some_helpers_of_0_5_0_contradict_its_own_models(
    client: OldClient, function: str, raised: str, done: str
) -> None:
    with pytest.raises(Raised) as caught:
        client.call(function, inspection_id=done)
    assert caught.value.name == raised
    assert caught.value.status is None


@of_one_job
def test_0_3_8_refuses_null_where_the_contract_has_it(
    client: OldClient, service: Service, base: str, build_only: str
) -> None:
    """An inspection without a script has no job; a report that is not there yet is answered without one."""
    with pytest.raises(Raised, match="Invalid value for `job`"):
        client.call("get_inspection_status", inspection_id=build_only)
    inspection_id = service.submit({"base": base, "script": SLEEPER})
    with pytest.raises(Raised, match="Invalid value for `log`"):
        client.call("get_inspection_job_log", inspection_id=inspection_id)
    service.client.delete(inspection_id)
