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
from relay.errors import BrokerError, Fenced, UnknownStream
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
    returns whether it has taken care of that.
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
    ) -> None:
        self._log = log
        self._limits = limits
        self._now = now
        self._since = now()
        self._background = background
        self._recovered = recovered
        self._fenced = fenced
        self._logger = structlog.get_logger("relay.node")

    def own(
        self, snapshot: LogSnapshot, stream: NodeStream, *, can_resend: bool = False
    ) -> StreamOwner:
        """Make the owner that this snapshot was granted to."""
        return StreamOwner(
            snapshot,
            limits=self._limits,
            can_resend=can_resend,
            log=self._log,
            react=stream.react,
            failed=partial(self._failed, stream),
            since=self._since,
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
            if await self._is_made_again(stream) and self._fenced(stream):
                return
            self._logger.error("stream_lost", **stream.view.names)  # noqa: TRY400  # ours is not to blame
            stream.lose(self._now())
            return
        except BrokerError as error:
            names = stream.view.names
            self._logger.warning("owner_not_rebuilt", **names, reason=type(error).__name__)
            stream.rebuild_at = self._now() + RETRY_SECONDS
            self._recovered(stream)
        else:
            self.take_over(stream, snapshot)

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
        owner = self.own(snapshot, stream, can_resend=can_resend)
        stream.take_over(owner, snapshot, self._now())
        self._recovered(stream)
