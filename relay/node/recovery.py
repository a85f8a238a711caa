"""Gives a stream its owner, and a new one whenever a write of the old one failed.

Crash-only: nobody knows whether that write happened, so nothing of the old owner is kept.
The new one is rebuilt from the log under a higher fence, which voids whatever the old one
may still have under way.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import structlog

from relay.broker.base import LogSnapshot, StreamLog, settle
from relay.errors import BrokerError, Fenced, StreamExists, UnknownStream
from relay.node.background import Undertake
from relay.node.owner import StreamOwner
from relay.node.stream import NodeStream
from relay.protocol.limits import Limits

RETRY_SECONDS = 0.5
"""How long after a broker that did not answer it is asked again."""


class Recovery:
    """Makes the owners of a node's streams.

    `recovered(stream)` is called when a stream goes on under a new owner, or could not yet:
    its deadline has changed. `fenced(stream)` is asked where a newer owner was granted, and
    returns whether it has taken care of that. `made_again(stream, snapshot)` is called with
    the log that takes the place of one that was lost.
    """

    def __init__(
        self,
        *,
        log: StreamLog,
        limits: Limits,
        now: Callable[[], float],
        background: Undertake,
        recovered: Callable[[NodeStream], None],
        fenced: Callable[[NodeStream], bool],
        made_again: Callable[[NodeStream, LogSnapshot], None],
    ) -> None:
        self._log = log
        self._limits = limits
        self._now = now
        self._since = now()
        self._background = background
        self._recovered = recovered
        self._fenced = fenced
        self._made_again = made_again
        self._logger = structlog.get_logger("relay.node")

    def own(
        self,
        snapshot: LogSnapshot,
        stream: NodeStream,
        *,
        can_resend: bool = False,
        back_at: float = 0.0,
    ) -> StreamOwner:
        """Make the owner that this snapshot was granted to."""
        return StreamOwner(
            snapshot,
            limits=self._limits,
            can_resend=can_resend,
            log=self._log,
            host=stream,
            failed=partial(self._failed, stream),
            since=self._since,
            back_at=back_at,
        )

    def retry(self, stream: NodeStream, now: float) -> None:
        """Rebuild the owner, if it is time to."""
        if stream.rebuild_at is not None and now >= stream.rebuild_at:
            stream.rebuild_at = None
            self._background(self._rebuild(stream), **stream.view.names)

    def _failed(self, stream: NodeStream, error: BrokerError | UnknownStream) -> None:
        names = stream.view.names
        self._logger.warning("owner_dropped", **names, reason=type(error).__name__)
        if not (isinstance(error, Fenced) and self._fenced(stream)):
            self._background(self._rebuild(stream), **names)

    async def _rebuild(self, stream: NodeStream) -> None:
        try:
            snapshot = await settle(self._log.claim(stream.stream_id, stream.view.epoch))
        except UnknownStream:
            await self._go_on_without(stream)
        except BrokerError as error:
            self._try_again(stream, error)
        else:
            self.take_over(stream, snapshot)

    def _try_again(self, stream: NodeStream, error: BrokerError | UnknownStream) -> None:
        names = stream.view.names
        self._logger.warning("owner_not_rebuilt", **names, reason=type(error).__name__)
        stream.rebuild_at = self._now() + RETRY_SECONDS
        self._recovered(stream)

    async def _go_on_without(self, stream: NodeStream) -> None:
        """The log is gone. A bot that is here and has every chunk sends all of it into another."""
        if await self._is_made_again(stream) and self._fenced(stream):
            return
        link = stream.link
        can_resend = link is not None and link.current and link.reliable
        if not can_resend or stream.finished_at is not None:
            self._logger.error("stream_lost", **stream.view.names)
            stream.lose(self._now())
            return
        try:
            snapshot = await self._make_again(stream)
        except (BrokerError, UnknownStream) as error:
            self._try_again(stream, error)
        else:
            self._logger.warning("log_made_again", **stream.view.names)
            self._made_again(stream, snapshot)

    async def _make_again(self, stream: NodeStream) -> LogSnapshot:
        try:
            return await settle(self._log.create(stream.meta, stream.notes()))
        except StreamExists:
            return await settle(self._log.claim(stream.stream_id))

    async def _drop(self, stream_id: str) -> None:
        with suppress(BrokerError):  # it expires by itself
            await settle(self._log.drop(stream_id))

    async def _is_made_again(self, stream: NodeStream) -> bool:
        """Whether its bot has taken a stream whose log was lost to another node, where it goes on.

        Nothing of it may be claimed here: that log is another one.
        """
        with suppress(BrokerError, UnknownStream):
            await settle(self._log.describe(stream.stream_id))
            return True
        return False

    def take_over(self, stream: NodeStream, snapshot: LogSnapshot) -> None:
        """Let the stream go on under a new owner.

        A failover may have lost what the log had confirmed. A bot that sends it again makes the
        same entries of it; with any other the stream ends as lost, because its readers stand behind
        entries that would become others, and its end might come before them.
        """
        stream.rebuild_at = None
        can_resend = stream.link is not None and stream.link.reliable
        known = max(stream.owner.confirmed, stream.audience.delivered)
        if len(snapshot.entries) < known and not can_resend:
            gone = known - len(snapshot.entries)
            self._logger.error("log_went_back", **stream.view.names, entries=gone)
            stream.lose(self._now())
            self._background(self._drop(stream.stream_id), **stream.view.names)
            return
        owner = self.own(snapshot, stream, can_resend=can_resend, back_at=self._now())
        stream.take_over(owner, snapshot, self._now())
        self._recovered(stream)
