"""What can only be known by trying: which runtime starts a container, which network and which limits a pod gets.

All trials use an image of one file, catatonit, which distributions link statically: it needs no registry, takes
a tenth of a second to make, and its process can be looked at from outside.
"""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import socket
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import EngineUnavailable
from . import cgroups, hostroutes
from .command import Podman
from .namespace import PATH, build_command, own_network
from .outcome import Machine

IMAGE = "localhost/amun/probe:1"
PROGRAM = "/catatonit"
CPU, MEMORY = "500m", 64 << 20
REACH = (sys.executable, "-I", "-S", hostroutes.__file__)


@dataclass(frozen=True)
class Pod:
    """A pod that started: interfaces other than loopback, which limits its process really has, and where it reached
    the host."""

    interfaces: tuple[str, ...]
    limits: tuple[str, ...]
    reached: tuple[str, ...]


def make_image(podman: Podman, catatonit: Path) -> None:
    """Make the image of the trials, unless it is there. Raises `EngineUnavailable`."""
    try:
        podman.call("image", "exists", IMAGE)
    except EngineUnavailable:
        podman.call("import", "--quiet", "-", IMAGE, stdin=_archive(catatonit))


def start_container(podman: Podman) -> str | None:
    """Run a container that ends at once; None if it did, else what Podman said."""
    try:
        podman.call("run", "--rm", "--pull=never", "--network=none", IMAGE, PROGRAM, "--version", timeout=60)
    except EngineUnavailable as exc:
        return str(exc)
    return None


def start_pod(podman: Podman, network: str, version: str, asked: Sequence[str]) -> Pod:
    """Start a pod as runs do, look at its process, remove it. Raises `EngineUnavailable` if it does not start."""
    name = f"amun-probe-{secrets.token_hex(4)}"
    with _removed(podman, name):
        manifest = json.dumps(_pod(name, asked)).encode()
        podman.call("kube", "play", "--quiet", "--network", network, "-", stdin=manifest, timeout=60)
        answer = podman.call("container", "inspect", "--format", "{{.State.Pid}}", f"{name}-probe")
        pid = int(answer.strip() or 0)
        if not pid:
            raise EngineUnavailable("The container ended at once.")
        process = Path(f"/proc/{pid}")
        return Pod(interfaces(process), cgroups.applied(process, version), _reached_by_pod(podman, process))


def build(podman: Podman, machine: Machine, group: str | None) -> str | None:
    """Build an image with one RUN step; None if it worked, else what Podman said."""
    mounts = [argument for volume in machine.build_volumes for argument in ("--volume", volume)]
    parent = ["--cgroup-parent", f"{group}/probe-{secrets.token_hex(4)}"] if group else []
    dockerfile = f'FROM {IMAGE}\nRUN ["{PROGRAM}", "--version"]\n'.encode()
    try:
        with tempfile.TemporaryDirectory() as context:
            options = ["--quiet", "--layers=false", *mounts, *parent, "--file", "-"]
            built = podman.run(build_command(machine, *options, context), stdin=dockerfile)
        podman.call("image", "rm", "--force", built.strip().splitlines()[-1])
    except EngineUnavailable as exc:
        return str(exc)
    return None


def reached_by_build(podman: Podman, machine: Machine) -> tuple[str, ...]:
    """Where a network that is made for a build reaches this machine. Raises `EngineUnavailable`."""
    with _listening() as port:
        return _addresses(podman.run(own_network(machine, *REACH, PATH, str(port))))


def _reached_by_pod(podman: Podman, process: Path) -> tuple[str, ...]:
    with _listening() as port:
        command = [*REACH, str(process / "ns" / "net"), str(port)]
        return _addresses(podman.on_files(*command, timeout=60).decode())


def _addresses(printed: str) -> tuple[str, ...]:
    """What `hostroutes` printed; an address that is none where it could not look."""
    looked, *addresses = printed.split() or [""]
    return tuple(addresses) if looked == hostroutes.LOOKED else ("addresses that could not be found out",)


@contextlib.contextmanager
def _listening() -> Iterator[int]:
    """A port at which this machine answers, at all its addresses."""
    six = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if six else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=six) as server:
        yield server.getsockname()[1]


def interfaces(process: Path) -> tuple[str, ...]:
    """Network interfaces of a process of /proc, loopback left out (proc(5), /proc/pid/net/dev)."""
    lines = (process / "net" / "dev").read_text().splitlines()[2:]
    return tuple(name for line in lines if (name := line.split(":")[0].strip()) != "lo")


def _pod(name: str, asked: Sequence[str]) -> Mapping[str, object]:
    amounts = {"cpu": CPU, "memory": str(MEMORY)}
    container = {
        "name": "probe",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": [PROGRAM, "-P"],
        "resources": {"limits": {limit: amounts[limit] for limit in asked}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "amun"}},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsUser": 10001, "runAsGroup": 0},
            "containers": [container],
        },
    }


@contextlib.contextmanager
def _removed(podman: Podman, name: str) -> Iterator[None]:
    try:
        yield
    finally:
        podman.remove_pods([name])


def _archive(program: Path) -> bytes:
    """A root file system with one program; its times are fixed, so that it is always the same image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(PROGRAM.lstrip("/"))
        content = program.resolve().read_bytes()
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
