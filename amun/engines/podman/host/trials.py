"""What can only be known by trying: which runtime starts a container, which network and which limits a pod gets.

All trials use an image of one file, catatonit, which distributions link statically: it needs no registry, takes
a tenth of a second to make, and its process can be looked at from outside.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from amun.engines.podman.builds import processes
from amun.engines.podman.builds.namespace import PATH, build_command, own_network
from amun.engines.podman.podman_cli import Podman
from amun.errors import EngineUnavailable

from . import cgroups, routes
from .outcome import Machine

IMAGE = "localhost/amun/probe:1"
PROGRAM = "/catatonit"
CPU, CORES, MEMORY, PROCESSES = "500m", Decimal("0.5"), 64 << 20, 64
PAUSE = 0.02
REACH = (sys.executable, "-I", "-S", routes.__file__)


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


MAPPED = "0:1073741824:65536"
"""Ids of a user namespace, and far from those of anybody what they are on this machine (user_namespaces(7))."""


def build_in_user_namespace(podman: Podman, machine: Machine) -> str | None:
    """Build an image with a root that is nobody on this machine; None if it worked, else what Podman said."""
    dockerfile = f'FROM {IMAGE}\nRUN ["{PROGRAM}", "--version"]\n'
    return _build(podman, machine, dockerfile, "--userns-uid-map", MAPPED, "--userns-gid-map", MAPPED)


def build(podman: Podman, machine: Machine, version: str, asked: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Build an image, and look at the process of its second step: a group may go with the first.

    Returns which of the limits `asked` (cpu, memory), and of the processes of the group, the step really had, and what
    Podman said if the image was not built. That it was built does not say that a limit was applied.
    """
    options = [argument for volume in machine.build_volumes for argument in ("--volume", volume)]
    options += cgroups.options(asked, CORES, MEMORY)
    name = f"probe-{secrets.token_hex(4)}"
    if machine.build_group:
        cgroups.limit_build(name, PROCESSES)
        options += ["--cgroup-parent", cgroups.parent_of_steps(machine.build_group, name)]
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(1) as thread:
        place = Path(directory, name)
        (place / processes.MARK).mkdir(parents=True)
        options += ["--volume", f"{place / processes.MARK}:/run/amun-build:ro"]
        dockerfile = f'FROM {IMAGE}\nRUN ["{PROGRAM}", "--version"]\nRUN ["{PROGRAM}", "-P"]\n'
        built = thread.submit(_build, podman, machine, dockerfile, *options)
        limits: tuple[str, ...] = ()
        while not built.done():
            process = processes.first(place)
            with contextlib.suppress(OSError):  # it is gone
                if process and Path(f"/proc/{process}/cmdline").read_bytes().startswith(PROGRAM.encode()):
                    limits = limits or _limits_of_step(Path(f"/proc/{process}"), version)
                    os.kill(process, signal.SIGTERM)  # it then ends well
            time.sleep(PAUSE)
    cgroups.remove_build(name)
    return limits, built.result()


def _limits_of_step(process: Path, version: str) -> tuple[str, ...]:
    """Those that were asked for: a system may have others, of all processes of a user for example."""
    applied = [limit for limit in cgroups.applied(process, version) if limit != "pids"]
    most = cgroups.most_processes(process, version)
    return (*applied, *(["pids"] if most is not None and most <= PROCESSES else []))


def _build(podman: Podman, machine: Machine, dockerfile: str, *options: str) -> str | None:
    """Build an image and remove it; None if it worked, else what Podman said."""
    try:
        with tempfile.TemporaryDirectory() as context:
            command = build_command(machine, "--quiet", "--layers=false", *options, "--file", "-", context)
            built = podman.run(command, stdin=dockerfile.encode())
        podman.call("image", "rm", "--force", built.strip().splitlines()[-1])
    except EngineUnavailable as exc:
        return str(exc)
    return None


MOUNTS = {
    "CVE-2024-1753": "type=bind,from={image},source=/link",
    "CVE-2024-9675": "type=cache,id=../../../../../../../../{directory}",
}
"""Mounts of a step that show a directory of the host where a hole is open."""


def open_mounts(podman: Podman, machine: Machine, catatonit: Path, place: Path) -> dict[str, bool]:
    """Of the holes of `MOUNTS`, whether each is open: whether a build reaches a program of ours, outside of it.

    The program is all that it reaches: a copy of `catatonit` in a directory of its own below `place`. Nothing is said
    where that cannot be tried.
    """
    image = f"localhost/amun/probe-link:{secrets.token_hex(4)}"
    try:
        with tempfile.TemporaryDirectory(dir=place) as directory:
            program = Path(shutil.copy(catatonit, directory))
            subprocess.run([program, "--version"], check=True, capture_output=True)
            podman.call("import", "--quiet", "-", image, stdin=_archive(catatonit, links={"link": directory}))
            try:
                return {
                    cve: _reaches(podman, machine, image, mount.format(image=image, directory=directory), program.name)
                    for cve, mount in MOUNTS.items()
                }
            finally:
                podman.call("image", "rm", "--force", image)
    except (EngineUnavailable, OSError, subprocess.SubprocessError):
        return {}


def _reaches(podman: Podman, machine: Machine, image: str, mount: str, program: str) -> bool:
    """Whether a step that mounts this can run a program there."""
    dockerfile = f'FROM {image}\nRUN --mount={mount},target=/mnt ["/mnt/{program}", "--version"]\n'
    return _build(podman, machine, dockerfile) is None


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
    return tuple(addresses) if looked == routes.LOOKED else ("addresses that could not be found out",)


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


def _archive(program: Path, links: Mapping[str, str] | None = None) -> bytes:
    """A root file system with one program, and links; its times are fixed, so that it is always the same image."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(PROGRAM.lstrip("/"))
        content = program.resolve().read_bytes()
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    return buffer.getvalue()
