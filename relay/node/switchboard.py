"""Which connection speaks for which bot, and which streams it answers."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from relay.broker.base import CommandMailbox, Letter, settle
from relay.node.background import Undertake
from relay.node.bots import BotLink, BotTransport, LinkHost, open_state
from relay.node.stream import NodeStream
from relay.protocol.events import BotBack, BotLost
from relay.protocol.limits import Limits
from relay.wire.bot import RELIABLE, Closed, Connected, OpenStreamState

ASK_AGAIN_S = 2.0
"""How long a command may be on its way to the bot's node before it is posted again."""

CLOSED_MAX = 64
"""How many streams that ended are told to a bot that reconnects."""


class SwitchboardHost(LinkHost, Protocol):
    """What a switchboard needs of its node, beside what links do."""

    @property
    def alone(self) -> bool:
        """Whether no other node can own a stream of these bots."""
        ...

    async def take_over(self, bot_id: int) -> Sequence[NodeStream]:
        """Own what the bot has open on other nodes; returns the streams that are new here."""
        ...

    async def own(self, stream_id: str) -> NodeStream | None:
        """Own one stream; None where its log is gone. Raises `BrokerError`."""
        ...


class Switchboard:
    """The bots of this node.

    One connection speaks for a bot at a time. It is given the bot's open streams when it
    comes, and they are told when it is gone.
    """

    def __init__(
        self,
        host: SwitchboardHost,
        *,
        mailbox: CommandMailbox,
        durability: str,
        limits: Limits,
        new_id: Callable[[], str],
        find: Callable[[str], NodeStream | None],
        background: Undertake,
    ) -> None:
        self._host = host
        self._mailbox = mailbox
        self._durability = durability
        self._limits = limits
        self._new_id = new_id
        self._find = find
        self._letters: dict[int, deque[Letter]] = {}
        self._background = background
        self._links: dict[int, BotLink] = {}
        self._connections: dict[int, int] = {}
        self._open: dict[int, dict[str, NodeStream]] = {}
        self._closed: dict[int, OrderedDict[str, Closed]] = {}
        self._logger = structlog.get_logger("relay.node")

    @property
    def links(self) -> tuple[BotLink, ...]:
        """The connections that speak for a bot."""
        return tuple(self._links.values())

    async def attach(
        self, bot_id: int, *, protocol: int, sdk: str, transport: BotTransport
    ) -> BotLink:
        """Let a connection speak for the bot: fence the older one, take over its streams."""
        link = BotLink(
            self._host,
            bot_id=bot_id,
            connection_id=self._new_id(),
            protocol=min(protocol, RELIABLE),
            sdk=sdk,
            transport=transport,
            stale_after_s=self._limits.idle_s,
        )
        older = self._links.get(bot_id)
        self._links[bot_id] = link
        self._connections[bot_id] = link.connections = self._connections.get(bot_id, 0) + 1
        try:
            if older is not None:
                older.fence_off()
            kept = self._streams_of(bot_id)
            for stream in kept:
                if older is not None:
                    stream.receive(BotLost(), self._host.now())
                self.connect(stream, link)
            for stream in await self._host.take_over(bot_id):
                self._bring(stream, link)
            await self._make_sure_of(kept)
            link.greeted = True
            link.send(self._greeting(link))
            # Only now may commands come: a bot learns who it is before it is asked anything.
            await self._listen(link)
            await self.catch_up(link)
        except BaseException:
            # Nobody is given the link, so nobody else would ever detach it.
            link.detach()
            raise
        if not link.current:
            newer = self._links.get(bot_id)
            if newer is not None and 0 < newer.fence < link.fence:
                # Its listening was overtaken by this one, so the mailbox no longer knows it.
                await self._listen(newer)
                if not newer.current:
                    # Gone meanwhile, and it had stopped to listen before it did so again.
                    await self._unlisten(newer)
            await self._unlisten(link)
        self._logger.info("bot_connected", bot_id=bot_id, protocol=link.protocol, sdk=sdk)
        return link

    async def _make_sure_of(self, streams: Sequence[NodeStream]) -> None:
        """Wait until the log has confirmed that these are ours, or what they are by now.

        Where the bot's older connection is half open, the bot may have been at another node
        meanwhile, and this one not know of it: what is stored here would be news of yesterday, and
        the bot be asked what it has answered there. That it is here again was just written.
        """
        if not self._host.alone:
            for stream in streams:
                await stream.keep()

    async def catch_up(self, link: BotLink) -> None:
        """Ask the bot what it was not asked before, for want of a connection that lived.

        Until now letters went to the connection before this one, perhaps on another node.
        """
        found = await self._host.take_over(link.bot_id)
        for stream in found:
            self._bring(stream, link)
        if link.reliable and not all(stream.command for stream in found):
            link.send(self._greeting(link))
        for stream in self._streams_of(link.bot_id):
            self._ask(stream, link)

    def _bring(self, stream: NodeStream, link: BotLink) -> None:
        """Let the link answer a stream that was claimed for it, or a newer one that came meanwhile.

        That one found the stream claimed already, and may have been greeted without it.
        """
        if link.current:
            self.connect(stream, link)
        elif not self.resettle(stream):
            stream.receive(BotLost(), self._host.now())

    def _streams_of(self, bot_id: int) -> list[NodeStream]:
        return list(self._open.get(bot_id, {}).values())

    def restate(self, stream: NodeStream) -> None:
        """Tell the bot again what is stored: the owner of one of its streams was rebuilt.

        All of its streams are stated: one that is not listed is unknown to the relay.
        """
        link = stream.link
        if link is not None and link.reliable and link.greeted:
            link.send(self._greeting(link))

    def detached(self, link: BotLink) -> None:
        """The link's socket is gone. It is the one that speaks for its bot."""
        del self._links[link.bot_id]
        self._background(self._unlisten(link), bot_id=link.bot_id)
        streams = self._streams_of(link.bot_id)
        for stream in streams:
            stream.link = None
            stream.receive(BotLost(), self._host.now())
        self._logger.info("bot_disconnected", bot_id=link.bot_id, open_streams=len(streams))

    def retire(self, stream: NodeStream) -> None:
        """A stream has ended: remember how, for a bot that was away just then."""
        bot_id = stream.record.meta.bot_id
        if bot_id is None or self._open.get(bot_id, {}).pop(stream.stream_id, None) is None:
            return
        assert stream.closed is not None
        closed = self._closed.setdefault(bot_id, OrderedDict())
        closed[stream.stream_id] = stream.closed
        while len(closed) > CLOSED_MAX:
            closed.popitem(last=False)

    def forget(self, stream: NodeStream) -> None:
        """A stream has expired."""
        bot_id = stream.record.meta.bot_id
        if bot_id in self._closed:
            self._closed[bot_id].pop(stream.stream_id, None)

    def connect(self, stream: NodeStream, link: BotLink) -> None:
        """Let the link answer this stream."""
        stream.link = link
        if stream.record.handed and stream.asked is not link:
            link.take_up(stream.stream_id, stream.record.bot_key)
        stream.record.protocol = link.protocol
        stream.record.sdk = link.sdk
        stream.note_bot()
        self._open.setdefault(link.bot_id, {})[stream.stream_id] = stream
        stream.receive(BotBack(link.reliable), self._host.now())
        if not link.current:
            # It was under way when the last connection broke: wait for the next one.
            stream.link = None
            stream.receive(BotLost(), self._host.now())

    def expect(self, stream: NodeStream) -> None:
        """Let the bot's next connection answer this stream."""
        if stream.meta.bot_id is not None and stream.finished_at is None:
            self._open.setdefault(stream.meta.bot_id, {})[stream.stream_id] = stream

    def resettle(self, stream: NodeStream) -> bool:
        """Let the bot's connection answer this stream, or the next one; returns whether it has."""
        self.expect(stream)
        link = self._links.get(stream.meta.bot_id or 0)
        if link is None or stream.finished_at is not None:
            return False
        self.connect(stream, link)
        self._ask(stream, link)
        self.restate(stream)
        return True

    async def ask_again(self) -> None:
        """Post again what no connection has taken: its letter is lost with another node.

        Raises `BrokerError`. Where nobody listens for the bot any more, its grace begins.
        """
        now = self._host.now()
        waiting = [s for streams in self._open.values() for s in streams.values() if s.command]
        for stream in waiting:
            bot_id, receiver = stream.meta.bot_id, stream.owner.receiver
            is_due = now >= stream.meta.opened_at + ASK_AGAIN_S and not receiver.bot_is_lost
            if bot_id is None or stream.link is not None or not is_due:
                continue
            if not await self._is_unasked(stream, now):
                continue
            letter = Letter(bot_id, stream.stream_id, stream.command.encode())
            is_online = await settle(self._mailbox.post(letter))
            if not is_online and stream.link is None:
                stream.receive(BotLost(), now)

    async def _is_unasked(self, stream: NodeStream, now: float) -> bool:
        """Whether the stream is still ours, and no connection has its command.

        Another node may have claimed it on the letter, and the hint of that be lost. Then nobody
        there knows who reads here, and would take the device for gone. A write finds out.
        """
        stream.note_bot()
        pending = stream.owner.keep(now)
        if pending is not None:
            await pending
        return bool(stream.command) and stream.link is None and not stream.owner.dead

    def release(self, stream: NodeStream) -> None:
        """Another node owns this stream now."""
        self._open.get(stream.meta.bot_id or 0, {}).pop(stream.stream_id, None)

    def _deliver(self, link: BotLink, letter: Letter) -> None:
        # Until a newer connection listens, letters for it still come to the older one.
        link = self._links.get(link.bot_id, link)
        waiting = self._letters.get(link.bot_id)
        if waiting is not None:
            waiting.append(letter)
        elif self._find(letter.stream_id) is None and not self._host.alone:
            self._letters[link.bot_id] = deque([letter])
            self._background(self._claim_and_deliver(link))
        else:
            self._hand_over(link, letter)

    async def _claim_and_deliver(self, link: BotLink) -> None:
        """Make the streams of letters that came from other nodes ours, in the letters' order."""
        letters = self._letters[link.bot_id]
        try:
            while letters:
                link = self._links.get(link.bot_id, link)
                if not link.current:
                    # The bot is at another node by now, and that node claims what it has open.
                    break
                if await self._host.own(letters[0].stream_id):
                    self._hand_over(link, letters[0])
                letters.popleft()
        finally:
            # What is left could not be claimed: the node that asks still owns it.
            del self._letters[link.bot_id]

    def _hand_over(self, link: BotLink, letter: Letter) -> None:
        stream = self._find(letter.stream_id)
        if stream is None:
            link.deliver(letter, credit=self._limits.credit)
            return
        if stream.link is not link:
            self.connect(stream, link)
        self._ask(stream, link)

    def _ask(self, stream: NodeStream, link: BotLink) -> None:
        """Give the bot a stream's command, if it may not have it yet.

        A bot that speaks protocol 2 ignores the command of a stream that it knows, so it is
        asked on every connection until it has said something. A legacy bot would answer twice:
        it is asked once, and never where nobody knows whether it was. So the intention is
        written before the command is sent.
        """
        is_open = stream.finished_at is None and link.current
        if not stream.command or stream.asked is link or not is_open:
            return
        if link.reliable:
            self._send_command(stream, link)
        elif not stream.record.handed:
            stream.asked = link
            stream.record.handed = True
            stream.note_bot()
            pending = stream.owner.keep(self._host.now())
            if pending is None and not stream.owner.dead:
                self._send_command(stream, link)
            else:
                self._background(self._ask_once_kept(stream, link), **stream.view.names)

    async def _ask_once_kept(self, stream: NodeStream, link: BotLink) -> None:
        is_kept = await stream.keep()
        if not stream.command or stream.finished_at is not None:
            return  # it was answered meanwhile, or nobody waits for an answer any more
        if link.current and is_kept:
            self._send_command(stream, link)
            return
        # It was not sent, and only this node knows that.
        stream.record.handed, stream.asked = False, None
        stream.note_bot()
        newer = self._links.get(link.bot_id)
        if is_kept and newer is not None:
            self._ask(stream, newer)

    def _send_command(self, stream: NodeStream, link: BotLink) -> None:
        stream.asked, stream.record.handed = link, True
        stream.note("command_sent", self._host.now(), bot_id=link.bot_id)
        letter = Letter(link.bot_id, stream.stream_id, stream.command.encode())
        link.deliver(letter, credit=self._limits.credit)

    def _replaced(self, link: BotLink) -> None:
        """A newer connection of the bot listens on another node."""
        if link.current:
            self.detached(link)
            link.fence_off()

    def _greeting(self, link: BotLink) -> Connected:
        return Connected(
            bot_id=link.bot_id,
            connection_id=link.connection_id,
            protocol=link.protocol,
            durability=self._durability,
            window=self._limits.window,
            streams=self._states(link.bot_id) if link.reliable else (),
        )

    def _states(self, bot_id: int) -> tuple[OpenStreamState | Closed, ...]:
        states: list[OpenStreamState | Closed] = [
            open_state(
                stream.stream_id,
                stream.view.epoch,
                stream.owner.receiver.status,
                stream.owner.stored,
            )
            for stream in self._open.get(bot_id, {}).values()
            # One whose command the bot may not have is not known to it: it would give it up.
            if not stream.command or stream.asked is self._links.get(bot_id)
        ]
        states.extend(self._closed.get(bot_id, {}).values())
        return tuple(states)

    async def _listen(self, link: BotLink) -> None:
        deliver, replaced = partial(self._deliver, link), partial(self._replaced, link)
        link.fence = await settle(self._mailbox.listen(link.bot_id, deliver, replaced))

    async def _unlisten(self, link: BotLink) -> None:
        pending = self._mailbox.unlisten(link.bot_id, link.fence)
        if pending is not None:
            await pending
