"""What counts as one address."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

_IPV6_NETWORK_BITS: Final = 64
_CHARS_MAX: Final = 64

_REMEMBERED_MAX: Final = 1_024
"""Addresses that were read lately: each is asked for several times for a connection."""


def network_of(address: str) -> str:
    """Return the name under which an address is counted.

    A whole IPv6 /64 is one: one machine has all of it. What is no address counts as it stands,
    and the empty one is nobody's.
    """
    parsed = _parse(address[: _CHARS_MAX + 1])
    if parsed is None:
        return address[:_CHARS_MAX]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> _IPV6_NETWORK_BITS << _IPV6_NETWORK_BITS)}/64"
    return str(parsed)


class Proxies:
    """The proxies that are believed: many callers come from each, so none is one caller."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = tuple(ip_network(network) for network in networks)

    def __contains__(self, address: object) -> bool:
        """Whether this address is one of them."""
        parsed = _parse(str(address)[: _CHARS_MAX + 1])
        return parsed is not None and any(parsed in network for network in self._networks)


@lru_cache(_REMEMBERED_MAX)
def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
