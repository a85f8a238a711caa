"""The node: every stream and every bot connection of this process, and who may touch what."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial

from relay.admin.people import EVERYTHING, Scope
from relay.admin.ports import LiveView
from relay.broker.base import Broker, settle
from relay.clock import CallLater, Clock
from relay.devices.base import Ask, DeviceProtocol, StreamView
from relay.errors import BrokerError, LimitReached, PositionGone, UnknownStream
from relay.metrics import Metrics
from relay.node.background import Background
from relay.node.books import Books
from relay.node.bots import BotLink, BotTransport
from relay.node.figures import figures_now
from relay.node.keyed_streams import KeyedStreams
from relay.node.limits import limits_of
from relay.node.live import NodeLive
from relay.node.questions import Questions, Reply
from relay.node.quota import Quota
from relay.node.recovery import RETRY_SECONDS
from relay.node.registry import Registry
from relay.node.resumption import Resumption
from relay.node.stream import NodeStream
from relay.node.streams import Streams
from relay.node.subscriber import Subscription
from relay.node.switchboard import Switchboard
from relay.node.tracer import Tracer
from relay.node.vouchers import Vouchers
from relay.protocol.events import Position, RefusalCode
from relay.settings import Settings

DRAIN_REST_S = 2.0
"""How long a drain waits for what is under way, twice: a broker that is away keeps nobody."""


class Node:
    """Opens streams, connects bots to them, lets devices read them.

    Everything runs on one event loop. With the memory broker, nothing between a bot's
    message and its answer awaits.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        broker: Broker,
        settings: Settings,
        tracer: Tracer,
        call_later: CallLater | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        self._clock = clock
        self.now = clock.now
        """Seconds of the relay's clock."""
        self._log = broker.log
        self._presence = broker.presence
        self._draining = False
        self._registry = Registry()
        self.stream_of = self._registry.of_bot
        """See `LinkHost.stream_of`."""
        self._background = Background()
        new_id = new_id or partial(secrets.token_hex, 16)
        self._switchboard = Switchboard(
            self,
            mailbox=broker.mailbox,
            durability=broker.log.durability,
            limits=limits_of(settings),
            new_id=new_id,
            find=self._registry.get,
            background=self._background,
        )
        self.metrics = Metrics(
            lambda: figures_now(
                self._registry, self._switchboard, tracer, self._log, timers=self._streams.timers
            )
        )
        self._quota = Quota(
            streams_max=settings.streams_per_key,
            readers_max=settings.readers_per_stream,
            is_open=self._is_open,
            count=self.metrics.limited,
        )
        books = Books(
            log=broker.log,
            tracer=tracer,
            metrics=self.metrics,
            background=self._background,
            with_content=settings.trace_content == "full",
        )
        self._streams = Streams(
            broker=broker,
            settings=settings,
            clock=clock,
            call_later=call_later or asyncio.get_running_loop().call_later,
            registry=self._registry,
            switchboard=self._switchboard,
            books=books,
            background=self._background,
        )
        self._succession = self._streams.succession
        tracer.written = self._succession.written
        secret = settings.secret.encode() or secrets.token_bytes(32)
        self._resumption = Resumption(
            log=broker.log,
            vouchers=Vouchers(secret, ttl_s=settings.stream_max_seconds),
            until=clock.now() + settings.bot_grace_seconds,
        )
        self._questions = Questions(
            broker=broker,
            resumption=self._resumption,
            adopt=self._streams.adopt,
            now=self.now,
            new_id=new_id,
            switchboard=self._switchboard,
            background=self._background,
        )
        self.keyed_streams = KeyedStreams(self._registry, now=self.now, background=self._background)
        self._live = NodeLive(self._registry, self._switchboard, self.now)

    def loop_lagged(self, late_s: float) -> None:
        """Know that the event loop called back so much too late, in seconds: see `Deadlines`."""
        self.metrics.loop_lagged(late_s)
        self._streams.held_up(late_s)

    @property
    def open_streams(self) -> int:
        """How many streams have not ended."""
        return sum(stream.finished_at is None for stream in self._registry.streams())

    @property
    def draining(self) -> bool:
        """Whether the node has stopped taking new work."""
        return self._draining

    @property
    def live(self) -> LiveView:
        """What is so just now, for operators."""
        return self._live

    # --- devices ------------------------------------------------------------------------

    async def open_stream(
        self,
        ask: Ask,
        *,
        bot_id: int | None,
        access_key_id: int,
        reply: Reply | None = None,
    ) -> StreamView:
        """Make the log, then ask the bot.

        A user without a bot (`bot_id` None) and a bot that is not connected get a stream
        too: it ends at once with the outcome that says so, so that the device reads an
        answer and the trace has its row. What `reply` returns is said to a user without a bot
        instead; the stream is open meanwhile. Raises `BrokerError` where no log can be made,
        `LimitReached` while the node drains and `RateLimited` where the key has too many open.
        """
        if self._draining:
            raise LimitReached("the relay is restarting; ask again in a moment", retry_after_s=5.0)
        self._quota.check_ask(access_key_id, self.now())
        stream = await self._questions.open(
            ask, bot_id=bot_id, access_key_id=access_key_id, reply=reply
        )
        self._quota.opened(access_key_id, stream.stream_id, self.now())
        return stream.view

    def _is_open(self, stream_id: str) -> bool:
        stream = self._registry.get(stream_id)
        return stream is not None and stream.finished_at is None

    async def subscribe(
        self,
        stream_id: str,
        device: DeviceProtocol,
        *,
        access_key_id: int | None,
        scope: Scope = EVERYTHING,
        after: Position | None = None,
    ) -> Subscription:
        """Open a reader behind `after` (None: at the start).

        A position in another log of the same stream starts over: `Subscription.reset` says so.
        A stream that a restart may have cost is waited for, as long as its bot may take.

        `access_key_id` None means that a ticket for this stream was shown. Raises
        `UnknownStream`, also for a key that did not open the stream or has another `scope` by
        now, `PositionGone` where the stream has expired or the position is of another log, and
        `RateLimited` where it has too many readers.
        """
        await self._find(stream_id)
        if after is not None and self._registry.kept(stream_id) is None:
            await self._resumption.wait_for(stream_id, self.now())
        readership = self._registry.readable(stream_id, access_key_id, scope).readership
        self._quota.check_reader(readership, access_key_id, self.now())
        if after is None or after.epoch != readership.view.epoch:
            return readership.subscribe(device, after=0, finished=False, reset=after is not None)
        try:
            state = await settle(self._log.describe(stream_id))
        except UnknownStream:
            if not await self._has_another_log(stream_id):
                raise
            readership = self._registry.readable(stream_id, access_key_id, scope).readership
            return readership.subscribe(device, after=0, finished=False, reset=True)
        if after.offset >= state.next_offset:
            raise PositionGone("this position is not in the stream's log; read from the start")
        finished = state.ended and after.offset == state.next_offset - 1
        return readership.subscribe(device, after=after.offset, finished=finished)

    async def _has_another_log(self, stream_id: str) -> bool:
        """Whether a log that is lost is made again: its owner writes, and so finds out."""
        stream = self._registry.get(stream_id)
        if stream is None or stream.finished_at is not None:
            return False
        stream.note_bot()
        await stream.keep()
        return self._registry.get(stream_id) is not stream

    async def _find(self, stream_id: str) -> None:
        """Keep the stream here if another node has it."""
        if not self._succession.alone and self._registry.get(stream_id) is None:
            try:
                await self._succession.follow(stream_id)
            except UnknownStream:
                pass
            except BrokerError:
                # Who reads it here already, or comes back, can wait for the broker.
                if self._registry.kept(stream_id) is None:
                    raise

    async def find_stream(
        self,
        *,
        access_key_id: int,
        scope: Scope = EVERYTHING,
        bot_id: int | None,
        session_id: str,
    ) -> str:
        """Return the stream of this id or, failing that, the newest of this conversation.

        Only among those that the access key opened, within its scope. Raises `UnknownStream`.
        """
        await self._find(session_id)
        if not self._succession.alone and self._registry.kept(session_id) is None:
            newest = await self._succession.follow_newest(access_key_id, session_id)
            session_id = newest or session_id
        stream = self._registry.find(access_key_id, session_id, scope)
        if bot_id is not None and stream.meta.bot_id != bot_id:
            raise UnknownStream(session_id)
        return stream.stream_id

    # --- bots ---------------------------------------------------------------------------

    async def is_online(self, bot_id: int) -> bool:
        """Whether the bot has a live connection, on any node."""
        return await settle(self._presence.is_online(bot_id))

    async def attach_bot(
        self, bot_id: int, *, protocol: int, sdk: str, transport: BotTransport
    ) -> BotLink:
        """Let a connection speak for the bot: fence the older one, take over its streams.

        `connected` has been sent when it returns. `protocol` above 2 is taken as 2.
        """
        return await self._switchboard.attach(
            bot_id, protocol=protocol, sdk=sdk, transport=transport
        )

    def acked_at(self, bot_id: int, stream_id: str) -> float | None:
        """See `LinkHost.acked_at`."""
        stream = self.stream_of(bot_id, stream_id)
        return None if stream is None else stream.record.acked_at.newest

    async def resume_stream(self, link: BotLink, stream_id: str, voucher: str) -> bool:
        """Let a bot go on with a stream that this relay may have lost. False: it cannot.

        What is stored of it has been sent when it returns True.
        """
        stream = self.stream_of(link.bot_id, stream_id)
        if stream is None and not self._registry.has_expired(stream_id) and not self._draining:
            stream = await self._resumption.reopen(
                link.bot_id, stream_id, voucher, self.now(), self._streams.adopt
            )
            if stream is not None:
                stream.note("reopened", self.now(), reason="the relay had lost its log")
                self._switchboard.connect(stream, link)
        if stream is None:
            return False
        stream.heard()
        stream.state_to(link)
        return True

    @property
    def alone(self) -> bool:
        """See `SwitchboardHost.alone`."""
        return self._succession.alone

    async def take_over(self, bot_id: int) -> list[NodeStream]:
        """See `SwitchboardHost.take_over`."""
        return await self._succession.own_all(bot_id)

    async def own(self, stream_id: str) -> NodeStream | None:
        """See `SwitchboardHost.own`."""
        return await self._succession.own(stream_id)

    async def complete(self, link: BotLink) -> bool:
        """See `LinkHost.complete`. The bot waits for a broker that is away: it may not resend."""
        if link.bot_id not in self._succession.unclaimed:
            return False
        while link.current and link.bot_id in self._succession.unclaimed:
            await self._switchboard.catch_up(link)
            if link.bot_id in self._succession.unclaimed:
                await asyncio.sleep(RETRY_SECONDS)
        return True

    def link_gone(self, link: BotLink) -> None:
        """See `LinkHost.link_gone`."""
        self._switchboard.detached(link)

    def refused(self, code: RefusalCode) -> None:
        """See `LinkHost.refused`."""
        self.metrics.refused(code)

    # --- the end of the node --------------------------------------------------------------

    async def hand_over(self) -> None:
        """Take no new work, and send the bots to other nodes, which take their streams over.

        Nothing but the first where this node is alone: its streams can run on nowhere else.
        """
        self._draining = True
        if not self._succession.alone:
            for link in self._switchboard.links:
                link.close("server_restart", reconnect=True)

    async def drain(self) -> None:
        """Take no new work, tell bots to come back later, and trace what is open.

        What another node can go on with is left to it; a device finds it there.
        """
        self._draining = True
        await self._background.rest(DRAIN_REST_S)
        await self._streams.end_all()
        # Behind the last `stream_closed`: what a closing transport is given goes nowhere.
        for link in self._switchboard.links:
            link.close("server_restart", reconnect=True)
        await self._background.rest(DRAIN_REST_S)
        await self._streams.close()
