"""Keeping a network namespace away from the host: routes that make the host's own addresses unreachable in it.

What leaves a namespace through slirp4netns or pasta is sent by a process on the host, for which the host's addresses
are its own. So no packet to them may leave: the routes are in the namespace, where nobody without CAP_NET_ADMIN
changes them. Written with rtnetlink(7) and the standard library alone, since the hook imports it (`precreate`).

As a program: ``hostroutes.py NAMESPACE PORT``, which prints `LOOKED` and the host's addresses at which it reaches that
port of the host from inside the namespace; NAMESPACE is a file of nsfs, like /proc/PID/ns/net.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Network = tuple[int, bytes, int]
    """Address family, first address, bits of the prefix."""

PLATFORM = (
    ("169.254.0.0", 16),  # link-local, with the metadata of most clouds
    ("168.63.129.16", 32),  # Azure
    ("100.100.100.200", 32),  # Alibaba Cloud
    ("192.0.0.192", 32),  # Oracle Cloud
    ("fe80::", 10),
    ("fd00:ec2::", 32),  # Amazon
    ("fd20:ce::254", 128),  # Google Cloud
)
"""Networks of the platform under the host: who asks there is taken for the host."""

LOOKED = "looked"

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000  # mount(2)

# <linux/rtnetlink.h>, <linux/fib_rules.h>, <linux/netlink.h>
_NEWROUTE, _GETROUTE, _NEWRULE = 24, 26, 32
_REQUEST, _ACK, _EXCL, _CREATE, _DUMP = 1, 4, 0x200, 0x400, 0x300
_ERROR, _DONE = 2, 3
_DST, _OIF, _PRIORITY = 1, 4, 6
_LOCAL, _UNREACHABLE = 2, 7
_TABLE_MAIN, _TABLE_LOCAL = 254, 255
_SCOPE_HOST, _STATIC, _LOOPBACK = 254, 4, 1
_RULE = 1000
"""Priority of the one rule: any between those that are there by default (ip-rule(8))."""

_LINK_LOCAL = b"\xfe\x80"
_HEADER, _ROUTE, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=8BI"), struct.Struct("=HH")

NO_IPV6 = (errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EACCES)
"""What the kernel says where there is no IPv6: then nothing is reached by it either."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def own() -> list[Network]:
    """The addresses and networks that are this host's own, those of its loopback included."""
    with _netlink() as netlink:
        request = _ROUTE.pack(socket.AF_UNSPEC, *bytes(7), 0)
        netlink.send(_HEADER.pack(_HEADER.size + len(request), _GETROUTE, _REQUEST | _DUMP, 1, 0) + request)
        return [network for message in _answers(netlink) if (network := _local(message)) is not None]


def to_close(own_networks: list[Network]) -> list[Network]:
    """What a namespace must not reach, given what is the host's own; a namespace has a loopback of its own."""
    platform = [_network(address, bits) for address, bits in PLATFORM]
    return platform + [network for network in own_networks if not is_loopback(network)]


def is_loopback(network: Network) -> bool:
    family, address, _ = network
    return address[0] == 127 if family == socket.AF_INET else address == bytes(15) + b"\1"


def close(networks: list[Network]) -> None:
    """Make networks unreachable in the namespace of this thread. Raises OSError."""
    for family, address, bits in networks:
        if address[:2] != _LINK_LOCAL:
            _add(_NEWROUTE, family, address, bits, _UNREACHABLE, _TABLE_MAIN)
        elif bits == 10:
            # A route of the loopback's does not count for an address that goes with an interface; a rule does.
            priority = _ATTRIBUTE.pack(8, _PRIORITY) + struct.pack("=I", _RULE)
            _add(_NEWRULE, family, address, bits, _UNREACHABLE, 0, more=priority)


def adopt(address: str) -> None:
    """Make an address this namespace's own, as if its loopback had it. Raises OSError."""
    family, packed, bits = _network(address, None)
    interface = _ATTRIBUTE.pack(8, _OIF) + struct.pack("=I", _LOOPBACK)
    _add(_NEWROUTE, family, packed, bits, _LOCAL, _TABLE_LOCAL, _SCOPE_HOST, interface)


def loopback_up() -> None:
    """Bring the loopback of this thread's namespace up (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def unshare() -> None:
    """Give this thread a network namespace of its own. Raises OSError."""
    _checked(_LIBC.unshare(CLONE_NEWNET))


def own_mounts() -> None:
    """Give this process mounts of its own, so that what it mounts or unmounts is nobody else's. Raises OSError."""
    _checked(_LIBC.unshare(CLONE_NEWNS))
    _checked(_LIBC.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))


def enter(namespace: int) -> None:
    """Put this thread into a namespace, an open file of nsfs. Raises OSError."""
    _checked(_LIBC.setns(namespace, CLONE_NEWNET))


def close_host(path: str) -> None:
    """Close the namespace at this path to the host; this process stays in it. Raises OSError."""
    networks = to_close(own())
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(descriptor)
    finally:
        os.close(descriptor)
    close(networks)


def reached(path: str, port: int) -> list[str]:
    """The host's addresses at which its port answers from inside a namespace; this process stays in it."""
    networks = own()
    with open(path) as namespace:
        enter(namespace.fileno())
    candidates = [socket.inet_ntop(family, address) for family, address, _ in networks]
    interfaces = [name for _, name in socket.if_nameindex() if name != "lo"]
    scoped = [f"{address}%{name}" for address in candidates if address.startswith("fe80:") for name in interfaces]
    # Names that slirp4netns, pasta and Podman have for the host, or for its resolver.
    aliases = ["10.0.2.2", "10.0.2.3", "169.254.1.2", "fd00::2", "fd00::3", *(f"fe80::2%{name}" for name in interfaces)]
    plain = [address for address in candidates if not address.startswith("fe80:")]
    return [address for address in dict.fromkeys([*plain, *scoped, *aliases]) if _connects(address, port)]


def _connects(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _network(address: str, bits: int | None) -> Network:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    return family, packed, len(packed) * 8 if bits is None else bits


def _add(
    message: int, family: int, address: bytes, bits: int, kind: int, table: int, scope: int = 0, more: bytes = b""
) -> None:
    """Add a route or a rule (struct rtmsg and fib_rule_hdr are alike, and so are these kinds and actions)."""
    protocol = _STATIC if message == _NEWROUTE else 0
    route = _ROUTE.pack(family, bits, 0, 0, table, protocol, scope, kind, 0)
    body = route + _ATTRIBUTE.pack(4 + len(address), _DST) + address + more
    header = _HEADER.pack(_HEADER.size + len(body), message, _REQUEST | _ACK | _CREATE | _EXCL, 1, 0)
    with _netlink() as netlink:
        netlink.send(header + body)
        try:
            list(_answers(netlink))
        except FileExistsError:
            return
        except OSError as exc:
            if family != socket.AF_INET6 or exc.errno not in NO_IPV6:
                raise


def _netlink() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)


def _answers(netlink: socket.socket) -> Iterator[bytes]:
    """The bodies of the messages that answer a request, to the last. Raises OSError as the kernel says."""
    while True:
        data = netlink.recv(1 << 20)
        while data:
            length, kind, _, _, _ = _HEADER.unpack_from(data)
            body, data = data[_HEADER.size : length], data[(length + 3) & ~3 :]
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -int.from_bytes(body[:4], sys.byteorder, signed=True)
                if code:
                    raise OSError(code, os.strerror(code))
                return
            yield body


def _local(message: bytes) -> Network | None:
    """The network of a route to the host itself; None for any other route."""
    family, bits, *_, kind, _ = _ROUTE.unpack_from(message)
    attributes = message[_ROUTE.size :]
    while kind == _LOCAL and len(attributes) >= _ATTRIBUTE.size:
        length, name = _ATTRIBUTE.unpack_from(attributes)
        if name == _DST:
            return family, attributes[_ATTRIBUTE.size : length], bits
        attributes = attributes[(length + 3) & ~3 :]
    return None


def _checked(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


if __name__ == "__main__":
    print(LOOKED, *reached(sys.argv[1], int(sys.argv[2])))
