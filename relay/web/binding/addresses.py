"""Which addresses the relay may ask for a photo: those of the open Internet, and no others.

Whoever holds an access key names the URL. Behind a private address stands the operator's own
network: its databases, its routers, the cloud's metadata service.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_CARRIES_IPV4: Final = tuple(
    ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible, of old
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of one's own
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "192.88.99.0/24",  # 6to4's relays
    )
)
"""Addresses in which, or behind which, another one stands that would have to be looked at."""

_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")


def is_open(text: str) -> bool:
    """Whether this is an address of the open Internet, for one host.

    Everything else is refused: private, loopback, link-local, shared (100.64/10), multicast,
    reserved and documentation ranges, those that carry an IPv4 address, and those with a zone.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and (address.scope_id or address.is_site_local):
        return False
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(
        network.version == address.version and address in network for network in _CARRIES_IPV4
    )


def is_disguised(host: str) -> bool:
    """Whether a host is an address in a form that only resolvers read.

    `2130706433`, `0x7f.1` and `0177.0.0.1` are all 127.0.0.1. By the URL standard, a host is an
    IPv4 address where its last label is a number.
    """
    try:
        ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        return _NUMBER.fullmatch(last) is not None
    return False
