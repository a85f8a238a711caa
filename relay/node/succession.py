"""Which streams this node owns and which it only follows, where several nodes share a broker.

A stream is owned by the node that holds its bot's connection, because what the bot sends can
then be written without asking anybody. So a node claims a stream when it is given a command
for it, when its bot connects here, and when its owner's node is gone. Whoever owned it before
finds out at its next write, which is refused, and follows from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from weakref import WeakValueDictionary

import structlog

from relay.admin.trace_row import TraceRow
from relay.broker.base import Broker, LogSnapshot, StreamMeta, settle
from relay.errors import BrokerError, UnknownStream
from relay.node.background import Undertake
from relay.node.followed import FollowedStream
from relay.node.readership import Readership
from relay.node.recovery import RETRY_SECONDS
from relay.node.registry import Registry
from relay.node.stream import NodeStream
from relay.protocol.events import Abort, Chunk, End, Summary

ORPHANS_MAX = 64
"""How many of them it takes at once; another node may take the others meanwhile."""


class Succession:
    """Claims streams, lets go of them, and tells their owners what devices were handed here.

    `adopt(snapshot)` makes the node's stream of a log that it was granted, and `readership`
    the readers' side of one that it was not. `moved` is told of streams whose deadline may have
    changed, `released` of those that are another node's now.
    """

    def __init__(
        self,
        *,
        broker: Broker,
        registry: Registry,
        now: Callable[[], float],
        adopt: Callable[[LogSnapshot], NodeStream],
        readership: Callable[[StreamMeta, str], Readership],
        moved: Callable[[NodeStream], None],
        released: Callable[[NodeStream], None],
        background: Undertake,
    ) -> None:
        self._log = broker.log
        self._cluster = broker.cluster
        self._registry = registry
        self._now = now
        self._adopt = adopt
        self._readership = readership
        self._moved = moved
        self._released = released
        self._background = background
        self._telling: dict[str, bool] = {}
        self.unclaimed: set[int] = set()
        """Bots whose streams on other nodes could not be claimed, because the broker was away."""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._logger = structlog.get_logger("relay.node")
        self._cluster.on_news(
            reported=lambda stream_id: background(self._hear(stream_id), stream_id=stream_id),
            claimed=self._claimed,
        )

    @property
    def alone(self) -> bool:
        """See `Cluster.alone`."""
        return self._cluster.alone

    # --- owning ---------------------------------------------------------------------------

    async def own(self, stream_id: str) -> NodeStream | None:
        """Claim a stream; None where its log is gone. Raises `BrokerError`."""
        # One claim at a time: the second would take the stream from the first, on this very node.
        turn = self._turns.setdefault(stream_id, asyncio.Lock())
        async with turn:
            kept = self._registry.get(stream_id)
            if kept is not None and not kept.owner.dead:
                return kept
            try:
                snapshot = await settle(self._log.claim(stream_id))
            except UnknownStream:
                return None
            return await self._take(snapshot)

    async def _take(self, snapshot: LogSnapshot) -> NodeStream:
        stream_id, now = snapshot.meta.stream_id, self._now()
        stream = self._adopt(snapshot)
        if not stream.record.events:
            stream.note("request_received", snapshot.meta.opened_at)
        stream.note("taken_over", now, node=self._cluster.node_id)
        await self._hear(stream_id)
        stream.notice_end(now)
        return stream

    async def own_all(self, bot_id: int) -> list[NodeStream]:
        """Claim what the bot has open on other nodes, as it answers here from now on.

        Returns the streams that are new on this node.
        """
        owned: list[NodeStream] = []
        if self.alone:
            return owned
        try:
            for stream_id in await settle(self._cluster.streams_of(bot_id)):
                if self._registry.get(stream_id) is None:
                    owned += filter(None, [await self.own(stream_id)])
        except BrokerError as error:
            # They can still be claimed when the bot says something of them.
            self.unclaimed.add(bot_id)
            self._logger.warning("streams_not_claimed", bot_id=bot_id, reason=type(error).__name__)
        else:
            self.unclaimed.discard(bot_id)
        # The order in which they were asked for is that in which a legacy bot answers them.
        return sorted(owned, key=lambda stream: stream.meta.opened_at)

    async def orphans(self) -> list[NodeStream]:
        """Claim what nodes that are gone have left behind; returns these streams."""
        taken = await settle(self._cluster.orphans(ORPHANS_MAX))
        claimed = [await self.own(stream_id) for stream_id in taken]
        return [stream for stream in claimed if stream is not None]

    def fenced(self, stream: NodeStream) -> bool:
        """A write was refused because of a newer owner.

        False where the owner is to be rebuilt at once: there can be no other node, or the bot
        has just come here, and is not greeted before it is known what is stored.
        """
        link = stream.link
        if self.alone or (_is_answered_here(stream) and link is not None and not link.greeted):
            return False
        if _is_answered_here(stream):
            # The bot is here: whoever claimed the stream did not know that.
            stream.rebuild_at = self._now() + RETRY_SECONDS
            self._moved(stream)
        else:
            self._let_go(stream)
        return True

    def _claimed(self, stream_id: str) -> None:
        """Another node owns it now, before a write was refused."""
        stream = self._registry.get(stream_id)
        if stream is not None and not _is_answered_here(stream):
            stream.owner.dead = True
            self._let_go(stream)

    def _let_go(self, stream: NodeStream) -> None:
        said = stream.let_go()
        dropped = sum(isinstance(one, Chunk | End | Summary | Abort) for one in said)
        self._logger.info("stream_handed_over", **stream.view.names, dropped=dropped)
        self._released(stream)
        followed = FollowedStream(stream.record.meta, stream.readership, tell=self._tell)
        self._registry.follow(followed)
        self._tell(followed)

    def written(self, rows: Sequence[TraceRow]) -> None:
        """These streams' traces are written: should this node die, nobody has to adopt them."""
        if not self.alone:
            for row in rows:
                self._background(
                    self._settled(row.stream_id), stream_id=row.stream_id, trace_id=row.trace_id
                )

    async def _settled(self, stream_id: str) -> None:
        pending = self._cluster.settled(stream_id)
        if pending is not None:
            await pending

    async def leave(self) -> None:
        """Leave what is owned here to the other nodes, at once. Raises nothing."""
        with suppress(BrokerError):
            pending = self._cluster.leave()
            if pending is not None:
                await pending

    # --- following ------------------------------------------------------------------------

    async def follow(self, stream_id: str) -> NodeStream | FollowedStream:
        """Keep a stream of another node for readers here. Raises `UnknownStream`.

        One whose log was lost and made again begins anew: who read the old one reads no more.
        """
        state = await settle(self._log.describe(stream_id))
        kept = self._registry.kept(stream_id)
        if kept is None or (
            isinstance(kept, FollowedStream) and kept.readership.view.epoch != state.epoch
        ):
            readership = self._readership(state.meta, state.epoch)
            kept = FollowedStream(state.meta, readership, tell=self._tell)
            self._registry.follow(kept)
        return kept

    async def follow_newest(self, access_key_id: int, conversation_id: str) -> str | None:
        """Keep the newest stream of a conversation, wherever it is; None where there is none."""
        stream_id = await settle(self._cluster.newest(access_key_id, conversation_id))
        if stream_id is not None and self._registry.get(stream_id) is None:
            try:
                await self.follow(stream_id)
            except UnknownStream:
                return None
        return stream_id

    def forget_unread(self, after_s: float) -> None:
        """Keep no stream of another node that nobody has read here for so long, in seconds."""
        now = self._now()
        for followed in self._registry.all_followed():
            since = followed.readership.audience.absent_since
            if since is not None and now >= since + after_s:
                self._registry.unfollow(followed)

    def _tell(self, followed: FollowedStream) -> None:
        """Report to the owner; what happens while a report is under way is in the next one."""
        if followed.stream_id in self._telling:
            self._telling[followed.stream_id] = True
            return
        self._telling[followed.stream_id] = False
        self._background(self._report(followed), **followed.readership.view.names)

    async def _report(self, followed: FollowedStream) -> None:
        again = True
        try:
            while again:
                self._telling[followed.stream_id] = False
                pending = self._cluster.report(
                    followed.stream_id, followed.report(self._cluster.node_id)
                )
                if pending is not None:
                    await pending
                again = self._telling[followed.stream_id]
        finally:
            del self._telling[followed.stream_id]

    # --- hearing of other nodes' readers ------------------------------------------------------

    async def hear_again(self) -> None:
        """Ask anew about readers elsewhere.

        A node that is gone has said no farewell; and where nobody seems to read, only the hint
        may be lost: the bot would be told to stop, and the trace that nothing was delivered. Or it
        was claimed, and who reads it is told to its new owner: what is written finds out.
        """
        for stream in self._registry.streams():
            seems_unread = stream.audience.deadline is not None and not stream.row_made
            if seems_unread:
                stream.note_bot()
                pending = stream.owner.keep(self._now())
                if pending is not None:
                    await pending
            if stream.audience.elsewhere or seems_unread:
                await self._hear(stream.stream_id)

    async def _hear(self, stream_id: str) -> None:
        reports = await settle(self._cluster.reports(stream_id))
        stream = self._registry.get(stream_id)
        if stream is None:
            return
        now = self._now()
        for report in reports:
            if report.node_id != self._cluster.node_id:
                stream.audience.hear(report, now)
        stream.consider_trace()
        self._moved(stream)


def _is_answered_here(stream: NodeStream) -> bool:
    """Whether the bot that still answers the stream has its connection here."""
    link = stream.link
    return link is not None and link.current and stream.finished_at is None
