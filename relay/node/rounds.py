"""What a node looks after every second where it shares its broker with others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

from relay.clock import CallLater, TimerHandle
from relay.errors import BrokerError
from relay.node.background import Undertake
from relay.node.stream import NodeStream
from relay.node.succession import Succession

ROUND_SECONDS = 1.0
"""How soon at the latest the streams of a node that is gone have another owner."""

_Work = Callable[[], Awaitable[None]]

HEAR_ROUNDS = 5
"""In every so many rounds readers on other nodes are asked about: they may be gone."""


class Rounds:
    """Takes over orphans, asks again what no bot was asked, forgets what nobody reads here.

    `orphaned(stream)` is called for each stream that was taken over, `unasked()` in each round.
    Nothing runs where the node is alone.
    """

    def __init__(
        self,
        succession: Succession,
        *,
        unread_s: float,
        orphaned: Callable[[NodeStream], None],
        unasked: _Work,
        call_later: CallLater,
        background: Undertake,
    ) -> None:
        self._succession = succession
        self._unread_s = unread_s
        self._orphaned = orphaned
        self._unasked = unasked
        self._call_later = call_later
        self._background = background
        self._round = 0
        self._timer: TimerHandle | None = None
        self._closed = succession.alone
        self._again()

    def close(self) -> None:
        """Do nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _again(self) -> None:
        if not self._closed:
            self._timer = self._call_later(
                ROUND_SECONDS, lambda: self._background(self._look_around())
            )

    async def _look_around(self) -> None:
        self._round += 1
        try:
            # A broker that is away now is asked again in the next round.
            with suppress(BrokerError):
                for stream in await self._succession.orphans():
                    self._orphaned(stream)
                await self._unasked()
                if self._round % HEAR_ROUNDS == 0:
                    await self._succession.hear_again()
            self._succession.forget_unread(self._unread_s)
        finally:
            self._again()
