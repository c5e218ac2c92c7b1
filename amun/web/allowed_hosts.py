"""By which names the service may be asked, and from which pages.

A page from elsewhere can have its own name point at this machine, after which a browser takes what it asks here for
its own (DNS rebinding). Such requests have that name as their Host (RFC 9110, 7.2): a service that only this machine
reaches answers to the names of loopback and to those of AMUN_ALLOWED_HOSTS. What changes something must not come from
a page of another origin either; browsers name it (Origin, RFC 6454), other clients send none.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from amun.auth.configuration import is_loopback
from amun.errors import Forbidden, MalformedHost, Misdirected
from amun.settings import Settings

PROBES = frozenset({"/liveness", "/readiness"})
"""Asked by whoever watches the service, by whatever address it has; they tell nothing."""

METRICS = "/metrics"
"""Asked by its address as well: no name points elsewhere then."""

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

# RFC 3986, 3.2.2, without percent-encoding; RFC 9110 allows no user here.
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5})?)?")

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Names:
    """The names that a service may be asked by."""

    def __init__(self, settings: Settings) -> None:
        self._loopback = is_loopback(settings.host)
        self._allowed = frozenset(_normal(name) for name in settings.allowed_hosts.split(",") if name.strip())

    def check(self, path: str, hosts: Sequence[str]) -> None:
        """Raise `MalformedHost` or `Misdirected` unless a request for `path` with these Host headers is for us."""
        if path in PROBES or not (self._loopback or self._allowed):
            return
        if len(hosts) != 1:
            raise MalformedHost("A request must have one Host header.")
        host = host_of(hosts[0])
        if host is None:
            raise MalformedHost("The Host of the request is none.")
        if not self.knows(host) and not (path == METRICS and _address(host) is not None):
            raise Misdirected("This service is not known by that name. Those it has are set by AMUN_ALLOWED_HOSTS.")

    def knows(self, host: str) -> bool:
        """Whether a name (or address), in its normal form, is one of ours."""
        return host in self._allowed or (self._loopback and is_loopback(host))

    def check_origin(self, method: str, hosts: Sequence[str], origins: Sequence[str]) -> None:
        """Raise `Forbidden` for what changes something and is asked by a page of another origin."""
        if method in SAFE or not origins:
            return
        if len(origins) > 1 or not (_is_of(origins[0], hosts) or self._is_allowed(origins[0])):
            raise Forbidden("A page from elsewhere may not use this service by your browser.")

    def _is_allowed(self, origin: str) -> bool:
        """Whether a page is at one of the names that somebody allowed, whatever a proxy made of the Host."""
        return host_of(_authority(origin)) in self._allowed


class Hosts:
    """ASGI middleware: refuses what is asked of another host."""

    def __init__(self, app: ASGIApp, names: Names) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._names.check(scope["path"], values(scope, b"host"))
        await self._app(scope, receive, send)


def values(scope: Scope, name: bytes) -> list[str]:
    """All values of a header in an ASGI scope."""
    return [value.decode("latin-1").strip() for header, value in scope["headers"] if header.lower() == name]


def host_of(authority: str) -> str | None:
    """The host in ``HOST[:PORT]``, in its normal form; None where it is none."""
    found = _AUTHORITY.fullmatch(authority)
    return _normal(found["host"]) if found else None


def _normal(host: str) -> str:
    """In lower case, without brackets and the last dot; addresses as they are usually written."""
    host = host.strip().lower()
    host = (host[:-1] if host.endswith(".") else host).strip("[]")
    address = _address(host)
    return host if address is None else str(address)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _is_of(origin: str, hosts: Sequence[str]) -> bool:
    """Whether a page is at the host and port that it asks; a port that is not named is the usual one."""
    if len(hosts) != 1:
        return False
    usual = _DEFAULT_PORTS.get(origin.partition(":")[0].lower())
    return usual is not None and _place(_authority(origin), usual) == _place(hosts[0], usual) is not None


def _place(authority: str, usual: int) -> tuple[str, int] | None:
    found = _AUTHORITY.fullmatch(authority)
    return (_normal(found["host"]), int(found["port"] or usual)) if found else None
