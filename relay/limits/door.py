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

    __slots__ = ("_by_address", "_inside", "_max", "_notices", "_proxies", "_turned_away")

    def __init__(self, allowance: Allowance, count: Count = count_nothing) -> None:
        self._max = allowance.connections and allowance.connections + SPARE
        self._by_address = Tally(allowance.connections_per_address)
        self._proxies = Proxies(allowance.trusted_proxies)
        self._notices = Notices(count)
        self._inside: dict[Hashable, str] = {}
        self._turned_away: set[Hashable] = set()

    @property
    def crowded(self) -> bool:
        """Whether so many are just being turned away that one more is to be cut without a word."""
        return len(self._turned_away) > SPARE

    def __len__(self) -> int:
        """How many are open."""
        return len(self._inside)

    def enter(self, connection: Hashable, address: str, now: float) -> Refusal | None:
        """Count a connection from this address, until it leaves; also one that is refused."""
        if 0 < self._max <= len(self._inside):
            return self._refuse(connection, Refusal(Limit.CONNECTIONS), {}, now)
        network = "" if address in self._proxies else network_of(address)
        if network and not self._by_address.enter(network):
            names = {"address": network}
            return self._refuse(connection, Refusal(Limit.CONNECTIONS_PER_ADDRESS), names, now)
        self._inside[connection] = network
        return None

    def leave(self, connection: Hashable) -> None:
        """Count it no more. Harmless for one that is not counted."""
        self._turned_away.discard(connection)
        network = self._inside.pop(connection, "")
        if network:
            self._by_address.leave(network)

    def flooded(self, address: str, now: float) -> None:
        """Take note that a connection was cut for what it sent before anybody could read it."""
        names = {"address": network_of(address)}
        self._notices.refused(Limit.COMMANDS_PER_CONNECTION, Kind.CONNECTION, names, now)

    def _refuse(
        self, connection: Hashable, refusal: Refusal, names: dict[str, str], now: float
    ) -> Refusal:
        self._turned_away.add(connection)
        self._notices.refused(refusal.limit, Kind.CONNECTION, names, now)
        return refusal
