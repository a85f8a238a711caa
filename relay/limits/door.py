"""Who may connect at all: asked for each TCP connection, before anything was said on it.

`Gate` counts what is asked for. A connection that asks for nothing, or is slow to say what, is no
request of anybody yet, and takes a descriptor all the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from relay.limits.address import Proxies, network_of
from relay.limits.allowance import Allowance
from relay.limits.notices import Count, Notices, count_nothing
from relay.limits.refusal import Kind, Limit, Refusal
from relay.limits.tally import Tally

SPARE: Final = 1_024
"""So many connections may be open beside those that `Gate` admits: health checks, metrics, the
admin's page, and whoever is just being refused."""


class Door:
    """The open connections of one process, by address. For one event loop."""

    __slots__ = ("_by_address", "_inside", "_max", "_notices", "_proxies")

    def __init__(self, allowance: Allowance, count: Count = count_nothing) -> None:
        self._max = allowance.connections and allowance.connections + SPARE
        self._by_address = Tally(allowance.connections_per_address)
        self._proxies = Proxies(allowance.trusted_proxies)
        self._notices = Notices(count)
        self._inside: dict[Hashable, str] = {}

    def __len__(self) -> int:
        """How many are open."""
        return len(self._inside)

    def enter(self, connection: Hashable, address: str, now: float) -> Refusal | None:
        """Count a connection from this address, until it leaves."""
        if 0 < self._max <= len(self._inside):
            return self._refuse(Refusal(Limit.CONNECTIONS), {}, now)
        network = "" if address in self._proxies else network_of(address)
        if network and not self._by_address.enter(network):
            return self._refuse(Refusal(Limit.CONNECTIONS_PER_ADDRESS), {"address": network}, now)
        self._inside[connection] = network
        return None

    def leave(self, connection: Hashable) -> None:
        """Count it no more. Harmless for one that is not counted."""
        network = self._inside.pop(connection, "")
        if network:
            self._by_address.leave(network)

    def _refuse(self, refusal: Refusal, names: dict[str, str], now: float) -> Refusal:
        self._notices.refused(refusal.limit, Kind.CONNECTION, names, now)
        return refusal
