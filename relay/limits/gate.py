"""Who may come in: asked for each request and each WebSocket, before and after the caller is known.

    permit = gate.admit(Kind.ASK, address, now)       Refusal: 429, or 503 if it is the relay's own
    permit.claim(("access_key_id", 7), now)           Refusal: 429
    gate.resting(("bot_id", 3), now)                  Refusal: not yet, it flooded
    ...
    permit.release()                                  however it ended

An address is counted before its credential is looked at, for that costs a look into the database.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, Literal

from relay.limits.address import Proxies, network_of
from relay.limits.allowance import Allowance
from relay.limits.bucket import Bucket, Buckets
from relay.limits.budget import Budget
from relay.limits.notices import Count, Notices, count_nothing
from relay.limits.refusal import Kind, Limit, Refusal, refuse_for
from relay.limits.tally import Tally

FLOOD_REST_S: Final = 5.0
"""How long whoever was cut for a flood waits for the next handshake. It is less than clients wait
for an answer, and a flood that lasts a millisecond is one in five seconds then."""

Holder = tuple[Literal["bot_id", "access_key_id"], int]
"""Whose credential it is: a bot's, or the access key."""

_EVERYBODY = ""


class Permit:
    """A place that somebody has. Release it in every case."""

    __slots__ = ("_gate", "_kind", "_places")

    def __init__(self, gate: Gate, kind: Kind) -> None:
        self._gate = gate
        self._kind = kind
        self._places: list[tuple[Tally, Hashable]] = []

    def claim(self, holder: Holder, now: float) -> Refusal | None:
        """Count the place for a bot or an access key as well, now that it is known."""
        return self._gate.claim(self, self._kind, holder, now)

    def take(self, tally: Tally, subject: Hashable) -> bool:
        """Have one more of something until the release; False where there is none."""
        if not tally.enter(subject):
            return False
        self._places.append((tally, subject))
        return True

    def release(self) -> None:
        """Give back what was counted. Idempotent."""
        while self._places:
            tally, subject = self._places.pop()
            tally.leave(subject)


class Gate:
    """The counts and the buckets of all callers of one process. For one event loop."""

    def __init__(self, allowance: Allowance, count: Count = count_nothing) -> None:
        self._allowance = allowance
        self._proxies = Proxies(allowance.trusted_proxies)
        self._notices = Notices(count)
        self._all = Tally(allowance.connections)
        self._by_address = Tally(allowance.connections_per_address)
        self._by_holder = {
            "access_key_id": (Tally(allowance.connections_per_key), Limit.CONNECTIONS_PER_KEY),
            "bot_id": (Tally(allowance.connections_per_bot), Limit.CONNECTIONS_PER_BOT),
        }
        self._rests_until: dict[Holder, float] = {}
        """One for each bot and key at most, and they are known."""
        self._requests = _buckets(allowance.requests_per_address)
        self._asks = _buckets(allowance.asks_per_key)
        self._messages = (
            (Limit.MESSAGES_PER_KEY, _buckets(allowance.messages_per_key)),
            (Limit.MESSAGES_PER_ADDRESS, _buckets(allowance.messages_per_address)),
        )
        self._bytes = (
            (Limit.BYTES_PER_KEY, _buckets(allowance.bytes_per_key)),
            (Limit.BYTES_PER_ADDRESS, _buckets(allowance.bytes_per_address)),
        )

    def admit(self, kind: Kind, address: str, now: float) -> Permit | Refusal:
        """Give a place to somebody at this address, whoever it is."""
        refusal = self.pace(kind, address, now)
        if refusal is not None:
            return refusal
        network = self._network(address)
        names: dict[str, str | int] = {"address": network}
        permit = Permit(self, kind)
        if not permit.take(self._all, _EVERYBODY):
            return self._refuse(Refusal(Limit.CONNECTIONS), kind, {}, now)
        if network and not permit.take(self._by_address, network):
            permit.release()
            return self._refuse(Refusal(Limit.CONNECTIONS_PER_ADDRESS), kind, names, now)
        return permit

    def pace(self, kind: Kind, address: str, now: float) -> Refusal | None:
        """Count a request from this address; `admit` does. Alone: for what takes no place."""
        network = self._network(address)
        if not network or self._requests is None:
            return None
        wait_s = self._requests.of(network, now).take(1.0, now)
        if not wait_s:
            return None
        names: dict[str, str | int] = {"address": network}
        return self._refuse(refuse_for(Limit.REQUESTS_PER_ADDRESS, wait_s), kind, names, now)

    def claim(self, permit: Permit, kind: Kind, holder: Holder, now: float) -> Refusal | None:
        """See `Permit.claim`. A question also costs what its access key has for questions."""
        who, number = holder
        names: dict[str, str | int] = {who: number}
        if kind is Kind.ASK and self._asks is not None:
            wait_s = self._asks.of(number, now).take(1.0, now)
            if wait_s:
                return self._refuse(refuse_for(Limit.ASKS_PER_KEY, wait_s), kind, names, now)
        tally, limit = self._by_holder[who]
        if not permit.take(tally, number):
            return self._refuse(Refusal(limit), kind, names, now)
        return None

    def flooded(self, holder: Holder, now: float) -> None:
        """Take note that a connection of this bot or access key was cut for a flood."""
        self._rests_until[holder] = now + FLOOD_REST_S

    def resting(self, holder: Holder, now: float) -> Refusal | None:
        """Say how long a handshake is to wait where a connection was just cut for a flood.

        To make a connection takes the relay longer than to see that it floods, so a flood that
        came back at once would cost more than what it sends.
        """
        until = self._rests_until.get(holder)
        if until is None:
            return None
        if until <= now:
            del self._rests_until[holder]
            return None
        refusal = refuse_for(Limit.COMMANDS_PER_CONNECTION, until - now)
        self._notices.slowed(refusal.limit, Kind.SOCKET, {holder[0]: holder[1]}, now)
        return refusal

    def budget(self, holder: Holder, address: str, now: float) -> Budget:
        """Return what a new WebSocket of this caller may say."""
        network = self._network(address)
        subjects: tuple[Hashable, Hashable] = holder, network
        return Budget(
            messages=_chosen(self._messages, subjects, now),
            sizes=_chosen(self._bytes, subjects, now),
            commands_per_s=self._allowance.commands_per_connection,
            notices=self._notices,
            names={holder[0]: holder[1]},
        )

    def _network(self, address: str) -> str:
        return "" if address in self._proxies else network_of(address)

    def _refuse(
        self, refusal: Refusal, kind: Kind, names: Mapping[str, str | int], now: float
    ) -> Refusal:
        self._notices.refused(refusal.limit, kind, names, now)
        return refusal


def _buckets(per_s: float) -> Buckets | None:
    return Buckets(per_s) if per_s else None


def _chosen(
    kept: tuple[tuple[Limit, Buckets | None], ...],
    subjects: tuple[Hashable, Hashable],
    now: float,
) -> tuple[tuple[Limit, Bucket], ...]:
    return tuple(
        (limit, buckets.of(subject, now))
        for (limit, buckets), subject in zip(kept, subjects, strict=True)
        if buckets is not None and subject != ""
    )
