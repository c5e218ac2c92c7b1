"""Doors: how a build in a network of its own reaches what is not for it to reach, or to know the password of.

Proxies and package indexes that listen on this machine, and those that ask for a password, get a door each: an address
inside the build's network behind which the `forwarder` answers, which is outside of it. Their URLs in the build's
environment name the doors, and hold no password.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

from amun.engines.podman.host import routes
from amun.engines.podman.state import files

from .environment import BuildEnvironment

STANDIN = "127.0.0.1"
FIRST_PORT = 49100
"""Stand-ins for what is elsewhere get ports from here on: a build's own network has nothing else there."""

USUAL_NAMES = (
    "pypi.org", "files.pythonhosted.org", "deb.debian.org", "security.debian.org", "archive.ubuntu.com",
    "security.ubuntu.com",
)  # fmt: skip
"""Hosts of packages that a proxy is always told by name: nobody makes these lead to this machine."""

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Door:
    """One way out. `listen` are the addresses inside; `upstream` is the URL outside, with its password.

    A `kind` is `proxy`, without an upstream if it is the forwarder itself, `index`, or `relay`: of an index whose
    connections are encrypted to the end, and passed on unread. `own` says that the upstream is on this machine,
    `verified` that its certificate has to be good.
    """

    kind: str
    listen: tuple[tuple[str, int], ...]
    upstream: str
    own: bool = False
    verified: bool = True


@dataclass(frozen=True)
class Doors:
    """All doors of this machine, and what goes with them.

    `hosts` are names of this machine that builds have to be told; `names` and `bundle` are the forwarder's; `lost` says
    what gets no door, and why.
    """

    doors: tuple[Door, ...] = ()
    hosts: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    bundle: str | None = None
    lost: tuple[str, ...] = ()

    def write(self, path: Path) -> None:
        """Only the owner may read it: it holds the passwords."""
        files.write(path, json.dumps(asdict(self)), mode=0o600)

    @classmethod
    def read(cls, path: Path) -> Doors:
        document = json.loads(path.read_bytes())
        listened = [tuple((address, port) for address, port in door["listen"]) for door in document["doors"]]
        doors = (Door(**{**door, "listen": listen}) for door, listen in zip(document["doors"], listened, strict=True))
        lists = {name: tuple(document[name]) for name in ("names", "lost")}
        return cls(**{**document, **lists, "doors": tuple(doors)})


def resolve(host: str) -> Sequence[str]:
    """The addresses of a host; none where it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_own(address: str) -> bool:
    """Whether an address is one of this host's own."""
    asked = ipaddress.ip_address(address.partition("%")[0])
    return asked.is_unspecified or any(
        asked in ipaddress.ip_network((packed, bits), strict=False)
        for family, packed, bits in routes.own()
        if len(packed) == len(asked.packed)
    )


def arrange(
    found: BuildEnvironment,
    names: Sequence[str] = (),
    only_way: bool = False,
    resolve: Resolve = resolve,
    is_own: Callable[[str], bool] = is_own,
) -> tuple[BuildEnvironment, Doors]:
    """The environment of builds that go by doors, and the doors; a proxy is told `names` by name, too.

    Where doors are the `only_way` out, every proxy gets one, or the forwarder is the proxy; nothing goes round it.
    """
    maker = _Maker(resolve, is_own, found.pip.get("trusted-host", "").split(), only_way)
    pip, proxies = dict(found.pip), dict(found.proxies)
    for name in PROXIES:
        if name in proxies:
            proxies[name] = maker.through(proxies[name], "proxy")
        elif only_way and "all_proxy" not in proxies and name != "all_proxy":
            proxies[name] = maker.forwarder()
    if "proxy" in pip:
        pip["proxy"] = maker.through(pip["proxy"], "proxy")
    for name in ("index-url", "extra-index-url"):
        if name in pip:
            pip[name] = " ".join(maker.through(url, "index") for url in pip[name].split())
    near = [address for door in maker.doors if door.kind != "proxy" for address, _ in door.listen]
    if near and "proxy" in pip:  # pip would ask it for what is near, too; variables make exceptions
        proxies = dict.fromkeys(("http_proxy", "https_proxy"), pip.pop("proxy")) | proxies
    if maker.doors and any(proxies.get(name) for name in PROXIES):
        around = [] if only_way else [name for name in proxies.get("no_proxy", "").split(",") if name]
        proxies["no_proxy"] = ",".join(dict.fromkeys([*around, "localhost", *near, *maker.hosts]))
    doors = Doors(tuple(maker.doors), maker.hosts, (*USUAL_NAMES, *names), found.bundle, tuple(maker.lost))
    return replace(found, pip=pip, proxies=proxies), doors


class _Maker:
    def __init__(
        self, resolve: Resolve, is_own: Callable[[str], bool], unverified: Sequence[str], all_proxies: bool
    ) -> None:
        self._all_proxies = all_proxies
        self._resolve = resolve
        self._is_own = is_own
        self._unverified = unverified
        self.doors: list[Door] = []
        self.hosts: dict[str, str] = {}
        self.lost: list[str] = []

    def through(self, url: str, kind: str) -> str:
        """The URL that stands for this one in a build, with a door behind it where it needs one."""
        parts = _split(url, kind)
        if parts is None:
            return url
        host = parts.hostname or ""
        own = [address for address in self._resolve(host) if self._is_own(address)]
        secret = parts.username is not None
        if not own and not secret and not (self._all_proxies and kind == "proxy"):
            return url
        if parts.scheme not in PORTS:
            self.lost.append(f"{parts.scheme}://{host} is not forwarded: only http and https can be.")
            return _without_password(parts)
        encrypted = parts.scheme == "https"
        # A password is put in where the connection is read; an index that needs none may be read by nobody.
        if not own or (secret and kind == "index") or (encrypted and kind == "proxy"):
            return self._by_standin(parts, kind, bool(own))
        return self._at_its_address(parts, own, "relay" if encrypted else kind)

    def _at_its_address(self, parts: SplitResult, own: Sequence[str], kind: str) -> str:
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        listen = tuple((address, port) for address in own)
        if host != "localhost" and host not in own:
            self.hosts[host] = own[0]
        there = next((door for door in self.doors if set(door.listen) & set(listen)), None)
        if there is None:
            self.doors.append(Door(kind, listen, urlunsplit(parts), own=True))
        elif there.kind != kind:
            self.lost.append(f"{host}:{port} is forwarded as a {there.kind} only, not as {kind} too.")
        return _without_password(parts)

    def forwarder(self) -> str:
        """The URL of the forwarder as a proxy of its own."""
        return self._by_standin(urlsplit(""), "proxy", own=False)

    def _by_standin(self, parts: SplitResult, kind: str, own: bool) -> str:
        upstream = urlunsplit(parts)
        verified = not {parts.hostname, parts.netloc.rpartition("@")[2]} & set(self._unverified)
        known = next((door for door in self.doors if door.kind == kind and door.upstream == upstream), None)
        if known is None:
            known = Door(kind, ((STANDIN, self._free_port()),), upstream, own, verified)
            self.doors.append(known)
        return urlunsplit(("http", f"{STANDIN}:{known.listen[0][1]}", parts.path, parts.query, ""))

    def _free_port(self) -> int:
        taken = {port for door in self.doors for _, port in door.listen}
        return next(port for port in range(FIRST_PORT, 65536) if port not in taken)


def _split(url: str, kind: str) -> SplitResult | None:
    """A URL in parts; a proxy may be written without a scheme. None if it has no host, or is nonsense."""
    try:
        parts = urlsplit(url if "://" in url or kind != "proxy" else f"http://{url}")
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None


def _without_password(parts: SplitResult) -> str:
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def adopted(doors: Iterable[Door]) -> set[str]:
    """Addresses beside loopback's that doors listen at, which the build's network must have for its own."""
    listened = {address for door in doors for address, _ in door.listen}
    addresses = {address: ipaddress.ip_address(address) for address in listened}
    return {text for text, address in addresses.items() if not (address.is_loopback or address.is_unspecified)}
