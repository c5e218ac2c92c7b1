"""What the code of builds and runs reaches of this machine: nothing, beside what it is let have."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from amun.engines.podman.builds.namespace import WAYS, own_network
from amun.engines.podman.host import routes, trials
from amun.engines.podman.host.machine import Machine, for_settings
from amun.engines.podman.podman_cli import Podman
from amun.settings import Settings
from tests.conftest import Service, wait_until
from tests.support import proxy_and_index

pytestmark = [pytest.mark.podman, pytest.mark.slow, pytest.mark.timeout(420)]

METADATA = "169.254.169.254"
ALIASES = ["10.0.2.2", "10.0.2.3", "169.254.1.2", "fd00::2", "fd00::3"]
"""What slirp4netns, pasta and Podman may have for the host, or for its resolver, inside a network of theirs."""

NAMES = ["localhost", "LOCALHOST.", "localhost.localdomain", "host.containers.internal", socket.gethostname()]
NAMES += ["ip6-localhost", "0", "127.1", "0x7f.1", "0177.0.0.1"]


PERMITTED = "CONNECT www.debian.org:443 HTTP/1.1\r\nHost: x"
PERMITTED_BY_NAME = "CONNECT pypi.org:443 HTTP/1.1\r\nHost: x"


def own() -> list[str]:
    """The addresses of this host."""
    found = [socket.inet_ntop(family, address) for family, address, bits in routes.own() if bits in (32, 128)]
    return list(dict.fromkeys(found))


@dataclass
class Scene:
    """A service behind a proxy, with an index of its own; what a build of it saw, and a run."""

    service: Service
    machine: Machine
    proxy: proxy_and_index.Server
    index: proxy_and_index.Server
    build: dict[str, Any]
    run: dict[str, Any]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Scene]:
    with contextlib.ExitStack() as stack:
        proxy, index = stack.enter_context(proxy_and_index.proxy()), stack.enter_context(proxy_and_index.index())
        port = stack.enter_context(proxy_and_index.everywhere())
        hidden = stack.enter_context(proxy_and_index.abstract(f"amun-test-{secrets.token_hex(8)}"))
        service = Service(tmp_path_factory.mktemp("networks") / "state", workers=1, grace=1)
        for name in ("http_proxy", "https_proxy"):
            service.environment[name] = service.environment[name.upper()] = proxy.with_password
        service.environment["no_proxy"] = service.environment["NO_PROXY"] = "nowhere.example"
        service.environment["PIP_INDEX_URL"] = f"{index.with_password}/team/simple/"
        stack.callback(service.finish)
        service.start()
        name = f"spy{secrets.token_hex(4)}"
        hosts = [*proxy_and_index.spellings([*own(), METADATA]), *NAMES]
        targets = [(host, each) for host in hosts for each in (port, service.port)]
        targets += [(METADATA, 80), ("168.63.129.16", 80), ("100.100.100.200", 80), ("fd00:ec2::254", 80)]
        quoted = [f"[{host}]:{each}" if ":" in host else f"{host}:{each}" for host, each in targets]
        targets += [(host, each) for host in ALIASES for each in (port, service.port)]
        asked = {
            "name": name,
            "targets": targets,
            "abstract": hidden,
            "proxied": [f"CONNECT {target} HTTP/1.1\r\nHost: x" for target in quoted]
            + [f"GET http://{target}/ HTTP/1.1\r\nHost: pypi.org\r\nConnection: close" for target in quoted]
            + [f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\nConnection: close"]
            + [PERMITTED, PERMITTED_BY_NAME],
            "indexed": [
                f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close"
                for method, path, host in (
                    ("GET", "/admin", "x"),
                    ("GET", "/team/../admin", "x"),
                    ("GET", "/team/%2e%2e/admin", "x"),
                    ("GET", "/team/%252e%252e/admin", "x"),
                    ("PUT", f"/team/simple/{name}/", "x"),
                    ("GET", f"http://127.0.0.1:{service.port}/liveness", "x"),
                    ("GET", f"//127.0.0.1:{service.port}/liveness", "x"),
                    ("CONNECT", f"127.0.0.1:{service.port}", "x"),
                )
            ],
        }
        index.files[f"{name}-1.tar.gz"] = proxy_and_index.sdist(asked)
        script = f"""#!/usr/bin/env python3
{proxy_and_index.SPY}
import pathlib
asked = {asked!r}
found = [place / (asked["name"] + ".json") for place in map(pathlib.Path, sys.path)]
build = json.loads(next(path for path in found if path.exists()).read_text())
print(json.dumps({{"build": build, "run": look(asked)}}))
"""
        document = {"base": base, "python_packages": [name], "script": script, "run": {"timeout": 300}}
        inspection = service.submit(document)
        status = service.wait(inspection, timeout=300)
        log = b"".join(service.client.build_log(inspection)).decode()
        assert status["phase"] == "succeeded", log
        stdout = service.client.result(inspection)["result"]["stdout"]
        found = json.loads(stdout) if isinstance(stdout, str) else stdout
        machine = for_settings(service.settings)
        yield Scene(service, machine, proxy, index, found["build"], found["run"])


def test_code_in_a_build_reaches_nothing_of_this_machine(scene: Scene) -> None:
    assert scene.build["reached"] == []
    assert scene.build["abstract"] is False


def test_a_script_reaches_nothing_of_this_machine(scene: Scene) -> None:
    assert scene.run["reached"] == []
    assert scene.run["abstract"] is False


def test_a_proxy_of_this_machine_leads_out_and_not_back(scene: Scene) -> None:
    if scene.machine.build_network not in WAYS:
        pytest.skip(f"builds have no network of their own here: {scene.machine.build_network}")
    answers = dict(scene.build["proxied"])
    permitted = [answers.pop(PERMITTED), answers.pop(PERMITTED_BY_NAME)]
    refused = ("HTTP/1.1 400 ", "HTTP/1.1 403 ", "HTTP/1.1 502 ")
    assert not {request: answer for request, answer in answers.items() if not answer.startswith(refused)}
    asked = [path for _, path in scene.proxy.asked]
    assert not set(asked) & {request.split()[1] for request in answers}
    if _resolves("www.debian.org"):
        assert permitted[0].startswith("HTTP/1.1 200")
        assert "www.debian.org:443" not in asked  # it was told the address that was looked at
    assert "pypi.org:443" in asked
    assert {method for method, _ in scene.proxy.asked} == {"CONNECT"}


def test_the_operator_s_passwords_are_nowhere_in_a_build(scene: Scene) -> None:
    if scene.machine.build_network not in WAYS:
        pytest.skip(f"builds have no network of their own here: {scene.machine.build_network}")
    seen = json.dumps([scene.build["environment"], scene.build["files"], scene.build["indexed"]])
    assert scene.build["environment"]["PIP_INDEX_URL"].endswith("/team/simple/")
    for secret in (proxy_and_index.PASSWORD, proxy_and_index.QUOTED, proxy_and_index.BASIC.split()[1]):
        assert secret not in seen
    environment = Path(scene.service.state_dir, "build-environment", "environment")
    assert proxy_and_index.QUOTED not in environment.read_text()


def test_the_password_of_an_index_opens_the_index_alone(scene: Scene) -> None:
    if scene.machine.build_network not in WAYS:
        pytest.skip(f"builds have no network of their own here: {scene.machine.build_network}")
    statuses = {
        request.partition(" HTTP")[0]: int(answer.split()[1]) for request, answer in scene.build["indexed"].items()
    }
    assert all(status in (400, 401, 405) for status in statuses.values()), statuses
    assert not [method for method, _ in scene.index.asked if method not in ("GET", "HEAD")]


def _resolves(host: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(socket.getaddrinfo(host, 443))
    return False


def test_the_network_of_a_build_leaves_those_of_other_containers_alone() -> None:
    machine = for_settings(Settings())
    if machine.rootless or machine.build_network not in WAYS:
        pytest.skip("networks are mounted on this machine by root alone, and builds must have their own")
    podman = Podman(machine.podman, machine.environment)
    container = podman.call(
        "run", "--detach", "--network", machine.run_network, trials.IMAGE, trials.PROGRAM, "-P"
    ).strip()
    try:
        mounted = podman.call("inspect", "--format", "{{.NetworkSettings.SandboxKey}}", container).strip()
        assert mounted in Path("/proc/self/mountinfo").read_text()
        podman.run(own_network(machine, "true"))
        assert mounted in Path("/proc/self/mountinfo").read_text()
    finally:
        podman.call("rm", "--force", "--time", "0", container)


def test_each_start_says_aloud_what_of_this_machine_is_within_reach(own_service: Callable[..., Service]) -> None:
    service = own_service(build_network="host", run_network="host")
    for start in (1, 2):
        service.start()
        said = wait_until(lambda: _warnings(service.log, 2 * start))  # noqa: B023 - it is over before the next
        assert "network of builds: What is built reaches all services of this machine" in said[-2]
        assert "host access of runs: It cannot be closed" in said[-1]
        service.stop()


def _warnings(log: Path, number: int) -> list[str] | None:
    """The warnings that a service logged, once there are so many."""
    lines = [json.loads(line) for line in log.read_bytes().splitlines() if line.startswith(b"{")]
    events = [str(line["event"]) for line in lines if line.get("level") == "warning"]
    return events if len(events) >= number else None
