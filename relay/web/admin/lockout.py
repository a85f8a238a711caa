"""Who gave wrong credentials too often, and has to wait.

An administrator's token has 256 random bits, so nobody guesses one. This keeps those who try
from loading the database and the log, and it is what a shorter secret of somebody's own needs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relay.limits.address import network_of
from relay.web.admin.problems import TooManyAttempts

ATTEMPTS_MAX: Final = 10
"""Wrong ones in a row; the next one waits."""

FORGET_S: Final = 900.0
"""After so long without a wrong one everything is forgiven."""

LOCK_S: Final = 10.0
"""How long the first lock lasts; each further wrong one doubles it."""

LOCK_MAX_S: Final = 900.0

ADDRESSES_MAX: Final = 10_000
"""Addresses that are remembered, about 2 MB. Whose last attempt is longest ago is forgotten."""


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last_at: float = 0.0
    locked_until: float = 0.0


class Lockout:
    """Counts wrong credentials per client address. `now` returns seconds.

    A whole IPv6 /64 counts as one address: one machine has all of them. Behind a proxy all
    clients have the proxy's address and share one lock.
    """

    __slots__ = ("_addresses_max", "_attempts_max", "_now", "_records")

    def __init__(
        self,
        now: Callable[[], float],
        *,
        attempts_max: int = ATTEMPTS_MAX,
        addresses_max: int = ADDRESSES_MAX,
    ) -> None:
        self._now = now
        self._attempts_max = attempts_max
        self._addresses_max = addresses_max
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._records)

    def check(self, address: str) -> None:
        """Raise `TooManyAttempts` where this address has to wait. Ask before verifying."""
        record = self._records.get(network_of(address))
        wait_s = 0.0 if record is None else record.locked_until - self._now()
        if wait_s > 0:
            raise TooManyAttempts(wait_s)

    def failed(self, address: str) -> None:
        """Count a wrong credential."""
        key, now = network_of(address), self._now()
        record = self._records.pop(key, None)
        if record is None or now - max(record.last_at, record.locked_until) > FORGET_S:
            record = _Record()
        self._records[key] = record
        record.failures += 1
        record.last_at = now
        beyond = record.failures - self._attempts_max
        if beyond >= 0:
            # The exponent is bounded, because 2.0 ** 1024 is no float any more.
            record.locked_until = now + min(LOCK_MAX_S, LOCK_S * 2.0 ** min(beyond, 32))
        while len(self._records) > self._addresses_max:
            self._records.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forgive: who knows the credential was only mistaken before."""
        self._records.pop(network_of(address), None)
