"""Addresses of the internet, told from those of this machine, its networks, and the platform under it."""

from __future__ import annotations

import ipaddress

_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is in use between networks."""

_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses, in their last 32 bits, as they are written where only IPv6 is spoken (NAT64)."""

_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # of protocols, and of a cloud's metadata; Python counts some of them as global
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # the platform's own services, on each machine of a large cloud
            "2002::/16",  # 6to4: an IPv4 address, of any kind
            "3fff::/20",  # documentation
        ),
    )
)


def is_public(host: str) -> bool:
    """Whether an address, in digits, is one that anybody on the internet could ask as well."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped
        if address in _TRANSLATED:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is None and address not in _UNICAST:
            return False
        address = embedded or address
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast
