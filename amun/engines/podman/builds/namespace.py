"""A build's own network: a program that runs `podman build` in a network namespace made for it.

The namespace reaches the internet by slirp4netns or pasta, and nothing of the host's: not its loopback, not its other
addresses, not its abstract sockets. Doors lead to what the host lets builds have (`doors`, `forwarder`); where neither
program works, a proxy behind one is the only way out.

Namespace, network and forwarder last exactly as long as this program, which is part of the detached build: like it,
they outlive the service. Killed, this program takes slirp4netns or pasta along, and the build is begun again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import amun
from amun import parent_death
from amun.engines.podman.host import routes
from amun.engines.podman.host.facts import find_programs

from .doors import Doors, adopted

if TYPE_CHECKING:
    from amun.engines.podman.host.outcome import Machine

FORWARDER = "forwarder"
WAYS = ("slirp4netns", "pasta", FORWARDER)
"""What connects a namespace to the internet, without any right on the host: a program, or a proxy alone."""

DNS = "10.0.2.3"
"""Where they answer questions for names, in the namespace; it is slirp4netns's own choice."""

ROOT = Path(amun.__file__).resolve().parent.parent
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from amun.engines.podman.builds.namespace import main; main()"
)

NETWORK, PATH = "AMUN_NETWORK", "AMUN_NAMESPACE"
"""Words of the command that stand for Podman's options of the network, and for the file of the namespace."""

PATIENCE = 20.0
"""Seconds that a network has to come up."""

PAUSE = 0.02

KILLED = 128 + signal.SIGKILL

QUIET = "--log-level=error"
"""Podman's option: its own warnings, of this machine, say nothing of what is built."""

Result = TypeVar("Result")


class NoNetwork(Exception):
    """The network did not come up; says why."""


def build_command(machine: Machine, *arguments: str) -> list[str]:
    """``podman build ARGUMENTS…``, in the network that this machine has for builds."""
    # What builds know of proxies is in their environment.
    # systemd takes nothing but its own slices for parents of control groups (crun: "Invalid unit name or type").
    manager = ["--cgroup-manager=cgroupfs"] if machine.build_group else []
    build = [machine.podman, QUIET, *manager, "build", "--http-proxy=false"]
    if machine.build_seccomp is not None:
        build += ["--security-opt", f"seccomp={machine.build_seccomp}"]
    if machine.build_network not in WAYS:
        return [*build, "--network", machine.build_network, *arguments]
    # Who has these gets past the routes in the namespace.
    build += ["--cap-drop", "CAP_NET_ADMIN", "--cap-drop", "CAP_NET_RAW"]
    return own_network(machine, *build, NETWORK, *arguments)


def own_network(machine: Machine, *command: str) -> list[str]:
    """A command in which `NETWORK` and `PATH` stand for a network that is made for it."""
    become = [machine.podman, QUIET, "unshare"] if machine.rootless else []
    return [*become, sys.executable, "-c", PROGRAM, str(ROOT), machine.build_network, machine.build_doors, *command]


def main() -> None:
    """Run as ``WAY DOORS COMMAND…``: one of `WAYS`, the file of the doors, and what is to be run."""
    way, doors, *command = sys.argv[1:]
    try:
        code = asyncio.run(run(way, Doors.read(Path(doors)), command))
    except (NoNetwork, OSError, subprocess.SubprocessError) as exc:
        print(f"The network of the build did not come up: {exc}", file=sys.stderr)
        code = KILLED  # as if something had killed the build: it is nothing that it did
    sys.exit(code)


async def run(way: str, doors: Doors, command: Sequence[str]) -> int:
    """Run a command; returns its exit code, or that of a killed one if its network ended before. Raises `NoNetwork`."""
    namespace, sockets = _in_thread(lambda: _make(doors))
    path = f"/proc/{os.getpid()}/fd/{namespace}"
    with tempfile.TemporaryFile() as said:
        network = await START[way](path, namespace, said) if way in START else None
        try:
            networks = routes.to_close(routes.own())
            _in_thread(lambda: _inside(namespace, lambda: routes.close(networks)))
            servers = await _open(doors, sockets)
            code = await _while_connected(_completed(command, path, doors, bool(network)), network)
            del servers
            return code
        finally:
            if network is not None and network.returncode is None:
                network.kill()


async def _open(
    doors: Doors, sockets: Mapping[tuple[tuple[str, int], ...], Sequence[socket.socket]]
) -> list[asyncio.Server]:
    if not doors.doors:
        return []
    from .forwarder import Forwarder  # with the libraries of HTTP, which take as long as all the rest

    forwarder = Forwarder(doors.names, doors.bundle)
    return [server for door in doors.doors for server in await forwarder.serve(door, sockets[door.listen])]


def _make(doors: Doors) -> tuple[int, dict[tuple[tuple[str, int], ...], list[socket.socket]]]:
    """Make a namespace, of this thread: a descriptor of it, and the sockets that listen in it for each door."""
    routes.unshare()
    routes.loopback_up()
    for address in adopted(doors.doors):
        routes.adopt(address)
    sockets = {door.listen: list(_listening(door.listen)) for door in doors.doors}
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), sockets


def _listening(addresses: Sequence[tuple[str, int]]) -> Iterator[socket.socket]:
    """Sockets that listen there; a machine may write `localhost` for an IPv6 that it does not have."""
    for address, port in addresses:
        six = ":" in address
        with contextlib.suppress(*(OSError,) * six):
            yield socket.create_server((address, port), family=socket.AF_INET6 if six else socket.AF_INET)


def _inside(namespace: int, do: Callable[[], Result]) -> Result:
    routes.enter(namespace)
    return do()


def _in_thread(do: Callable[[], Result]) -> Result:
    """Do something in a thread of its own: a namespace is a thread's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(do).result()


async def _slirp4netns(path: str, _namespace: int, said: IO[bytes]) -> asyncio.subprocess.Process:
    ready, readied = os.pipe()
    options = ["--configure", "--mtu=65520", "--disable-host-loopback", "--enable-ipv6"]
    options += ["--enable-sandbox", "--enable-seccomp", f"--ready-fd={readied}", "--netns-type=path", path, "tap0"]
    network = await _start("slirp4netns", options, said, pass_fds=(readied,))
    os.close(readied)
    with open(ready, "rb") as pipe:
        if not await asyncio.wait_for(asyncio.to_thread(pipe.read, 1), PATIENCE):
            raise NoNetwork(await _last_words(network, said))
    return network


async def _pasta(path: str, namespace: int, said: IO[bytes]) -> asyncio.subprocess.Process:
    options = ["--foreground", "--config-net", "--no-map-gw", "--dns-forward", DNS]
    for forwarded in ("-t", "-u", "-T", "-U"):
        options += [forwarded, "none"]
    network = await _start("pasta", [*options, "--netns", path], said)
    end = time.monotonic() + PATIENCE
    while len(_in_thread(lambda: _inside(namespace, socket.if_nameindex))) < 2:
        if network.returncode is not None or time.monotonic() > end:
            raise NoNetwork(await _last_words(network, said))
        await asyncio.sleep(PAUSE)
    return network


START = {"slirp4netns": _slirp4netns, "pasta": _pasta}


async def _start(
    program: str, options: Sequence[str], said: IO[bytes], pass_fds: Sequence[int] = ()
) -> asyncio.subprocess.Process:
    path = find_programs().get(program)
    if path is None:
        raise NoNetwork(f"{program} is not installed.")
    return await asyncio.create_subprocess_exec(
        path,
        *options,
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        pass_fds=pass_fds,
        preexec_fn=_apart,
    )


def _apart() -> None:
    """Be ended with this program, and have mounts of one's own.

    The sandbox that slirp4netns makes for itself unmounts what it does not need. Without this it would do so for all of
    the machine: the networks of all containers are mounts that are shared.
    """
    parent_death.end_with_parent(signal.SIGKILL)
    routes.own_mounts()


async def _last_words(network: asyncio.subprocess.Process, said: IO[bytes]) -> str:
    if network.returncode is None:
        network.kill()
        await network.wait()
    said.seek(0)
    lines = said.read().decode(errors="replace").splitlines()
    return lines[-1] if lines else "It says nothing."


def _completed(command: Sequence[str], path: str, doors: Doors, names: bool) -> list[str]:
    options = ["--network", f"ns:{path}", *(["--dns", DNS] if names else [])]
    for name, address in doors.hosts.items():
        options += ["--add-host", f"{name}:{address}"]
    words = ((options if word == NETWORK else [path] if word == PATH else [word]) for word in command)
    return [word for some in words for word in some]


async def _while_connected(command: Sequence[str], network: asyncio.subprocess.Process | None) -> int:
    process = await asyncio.create_subprocess_exec(*command)
    if network is None:
        return _code(await process.wait())
    ends = [asyncio.create_task(process.wait()), asyncio.create_task(network.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if network.returncode is not None and process.returncode != 0:
        print("The network of the build ended before the build.", file=sys.stderr)
        if process.returncode is None:
            process.kill()
        await process.wait()
        return KILLED
    return _code(await process.wait())


def _code(code: int) -> int:
    """An exit code as shells have it: 128 and its number for a signal."""
    return code if code >= 0 else 128 - code
