"""What counts as one address."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

_IPV6_NETWORK_BITS: Final = 64
_CHARS_MAX: Final = 64


def network_of(address: str) -> str:
    """Return the name under which an address is counted.

    A whole IPv6 /64 is one: one machine has all of it. What is no address counts as it stands,
    and the empty one is nobody's.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
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
        try:
            parsed = ip_address(str(address))
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)
