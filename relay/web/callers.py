"""Who is connected to `/cable`, and by which credential."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import assert_never

from relay.logs import get_logger
from relay.node.revocations import BotCredential, Findings
from relay.web.auth import BotIdentity, KeyIdentity
from relay.web.connection import names_of
from relay.web.outbox import Outbox
from relay.wire import cable

_logger = get_logger(__name__)


class Callers:
    """The open sockets of `/cable`: a `Holder` of the credentials that they were opened with.

    A worker's socket lives by its access key, not by its scope: what it may read is asked
    anew with every subscription.
    """

    __slots__ = ("_bots", "_open")

    def __init__(self) -> None:
        self._open: dict[Outbox, BotIdentity | KeyIdentity] = {}
        self._bots: Counter[BotCredential] = Counter()
        """How many sockets each has: a look at thousands of them must not take long."""

    @contextmanager
    def enter(self, caller: BotIdentity | KeyIdentity, outbox: Outbox) -> Iterator[None]:
        """Hold a socket for as long as the block lasts."""
        self._open[outbox] = caller
        credential = _credential(caller) if isinstance(caller, BotIdentity) else None
        if credential is not None:
            self._bots[credential] += 1
        try:
            yield
        finally:
            del self._open[outbox]
            if credential is not None:
                self._bots[credential] -= 1
                if not self._bots[credential]:
                    del self._bots[credential]

    def keys_in_use(self) -> Iterable[int]:
        """See `Holder.keys_in_use`."""
        return {who.key_id for who in self._open.values() if isinstance(who, KeyIdentity)}

    def bots_in_use(self) -> Iterable[BotCredential]:
        """See `Holder.bots_in_use`."""
        return self._bots.keys()

    def enforce(self, findings: Findings) -> None:
        """See `Holder.enforce`. A bot is told not to come back with what it has."""
        if not findings.void_bots and None not in findings.keys.values():
            return
        for outbox, who in tuple(self._open.items()):
            if not outbox.closing and _is_void(who, findings):
                _logger.info("connection_revoked", **names_of(who))
                outbox.close(cable.disconnect("unauthorized", reconnect=False))


def _is_void(who: BotIdentity | KeyIdentity, findings: Findings) -> bool:
    match who:
        case BotIdentity():
            return _credential(who) in findings.void_bots
        case KeyIdentity(key_id):
            return key_id in findings.keys and findings.keys[key_id] is None
        case _:
            assert_never(who)


def _credential(bot: BotIdentity) -> BotCredential:
    return BotCredential(bot.bot_id, bot.credential)
