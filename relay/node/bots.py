"""The connections of bots: who speaks for a bot, and what is said to it.

One connection speaks for a bot at a time. A newer one fences the older and takes over its
streams, whatever order the network closes them in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Protocol

import structlog

from relay.broker.base import Letter
from relay.devices.base import StreamView
from relay.node.decisions import Stored
from relay.node.turns import LegacyTurns
from relay.protocol.events import (
    Abort,
    Ack,
    Chunk,
    End,
    Message,
    Nack,
    Overlapped,
    RefusalCode,
    Refuse,
)
from relay.protocol.status import Status
from relay.wire.bot import (
    RELIABLE,
    Acked,
    Cancel,
    Closed,
    Command,
    Missing,
    OpenStreamState,
    Outbound,
    Refused,
    Resume,
    StatusReply,
    StreamMessage,
)
from relay.wire.jsontext import loads

ID_CHARS_MAX = 64
"""What a bot calls a stream that is not known may have any length."""


class BotTransport(Protocol):
    """A bot's socket, as a shell offers it."""

    __slots__ = ()

    def send(self, message: Outbound) -> None:
        """Queue one message for the bot. Never blocks, never raises."""
        ...

    def acknowledge(self, stream_id: str, last: int, count: int, stored: Stored) -> None:
        """Queue what `count` neighbouring sequences, up to `last`, are acknowledged with."""
        ...

    def close(self, reason: str, *, reconnect: bool) -> None:
        """Say `disconnect` with this reason after what is queued, then close. Never blocks."""
        ...


class LinkHost(Protocol):
    """What a link needs of its node."""

    def stream_of(self, bot_id: int, stream_id: str) -> StreamPort | None:
        """Return the bot's stream, or None where there is none of this id (for this bot)."""
        ...

    def acked_at(self, bot_id: int, stream_id: str) -> float | None:
        """When a chunk of the bot's stream was last acknowledged; None where none was."""
        ...

    async def resume_stream(self, link: BotLink, stream_id: str, voucher: str) -> bool:
        """Go on with a stream that may have been lost; False where it cannot be."""
        ...

    async def complete(self, link: BotLink) -> bool:
        """Find what the bot has open on other nodes and what could not be found when it came.

        False where there is nothing to find.
        """
        ...

    def link_gone(self, link: BotLink) -> None:
        """The link's socket is closed."""
        ...

    def refused(self, code: RefusalCode) -> None:
        """Something of a bot was not taken."""
        ...

    def now(self) -> float:
        """Seconds of the node's clock."""
        ...


class StreamPort(Protocol):
    """A stream, as far as its bot may touch it."""

    __slots__ = ()

    stream_id: str
    view: StreamView

    @property
    def closed(self) -> Closed | None:
        """How the stream ended; None while it is open."""
        ...

    def answer_to(self, link: BotLink) -> None:
        """From now on its answers are told this link."""
        ...

    def receive(self, message: Message, now: float) -> Awaitable[None] | None:
        """Take one message; returns what to await before the next one, if anything."""
        ...

    def receive_next(self, chunks: Sequence[Chunk], now: float) -> Awaitable[None] | None:
        """Take chunks that came together; returns what to await before the next message."""
        ...

    def note_refusal(self, refusal: Refused, now: float) -> None:
        """Keep for the trace why something of the bot was not taken."""
        ...

    def name(self, bot_key: str) -> None:
        """The bot calls the stream so, and not by its id."""
        ...


class BotLink:
    """One subscription of one bot's connection to `BotChannel`."""

    __slots__ = (
        *("_host", "_logger", "_transport", "_turns", "bot_id", "connected_at"),
        *("connection_id", "connections", "current", "fence", "greeted", "protocol", "sdk"),
    )

    def __init__(
        self,
        host: LinkHost,
        *,
        bot_id: int,
        connection_id: str,
        protocol: int,
        sdk: str,
        transport: BotTransport,
        stale_after_s: float,
    ) -> None:
        self.bot_id = bot_id
        self.connection_id = connection_id
        self.protocol = protocol
        self.sdk = sdk
        self.fence = 0
        self.connected_at = host.now()
        self.connections = 1
        """How many connections this bot has had, this one included."""
        self.current = True
        """Whether this link speaks for the bot; a fenced one does not."""
        self.greeted = False
        """Whether it was told what is open. Not before all of that is known to be so."""
        self._host = host
        self._transport = transport
        self._logger = structlog.get_logger("relay.node")
        self._turns: LegacyTurns | None = None
        if not self.reliable:
            chunk_at = partial(host.acked_at, bot_id)
            self._turns = LegacyTurns(stale_after_s=stale_after_s, chunk_at=chunk_at)

    @property
    def reliable(self) -> bool:
        """Whether the bot speaks protocol 2: cumulative ACKs, credit, resending."""
        return self.protocol >= RELIABLE

    # --- from the bot -------------------------------------------------------------------

    async def receive(self, message: StreamMessage) -> None:
        """Take one message of a stream. What there is to answer goes through the transport."""
        now = self._host.now()
        stream = self._stream_of(message)
        if stream is None and self.current and await self._host.complete(self):
            stream = self._stream_of(message)
        if stream is None:
            chunk = message.message
            sequence = chunk.sequence if isinstance(chunk, Chunk) else None
            self._refuse_unknown(message.stream_id, sequence)
            return
        if message.bot_stream_key is not None and message.stream_id is None:
            stream.name(message.bot_stream_key)
        if self._turns is not None:
            if isinstance(message.message, End | Abort):
                self._turns.ended(stream.stream_id)
            else:
                self._turns.heard(stream.stream_id, now)
        if self.reliable and stream.closed is not None and isinstance(message.message, End):
            # It asks again because the answer was lost with a connection.
            self.send(stream.closed)
            return
        if stream.closed is not None:
            # A new connection is given what is open. What comes late is answered all the same.
            stream.answer_to(self)
        pending = stream.receive(message.message, now)
        if pending is not None:
            await pending

    def _stream_of(self, message: StreamMessage) -> StreamPort | None:
        stream_id = message.stream_id
        if stream_id is None and self._turns is not None:
            stream_id = self._turns.resolve(message.bot_stream_key)
        if not self.current or stream_id is None:
            return None
        return self._host.stream_of(self.bot_id, stream_id)

    def open_stream(self, stream_id: str) -> StreamPort | None:
        """Return the stream if its chunks may go to `receive_chunks`: it is open, and here."""
        stream = self._host.stream_of(self.bot_id, stream_id) if self.current else None
        return stream if stream is not None and stream.closed is None else None

    def receive_chunks(self, stream: StreamPort, chunks: Sequence[Chunk]) -> Awaitable[None] | None:
        """Take numbered chunks that came together, as `receive` takes each of them.

        Returns what to await before the next message. `open_stream` has just returned the stream.
        """
        return stream.receive_next(chunks, self._host.now())

    def started(self, bot_stream_key: str) -> None:
        """2.0.x begins to answer the oldest question that has no key yet.

        Told only by its first chunk, two answers would change places where the later one is
        the first to speak.
        """
        if self._turns is not None:
            stream_id = self._turns.resolve(bot_stream_key)
            stream = self._host.stream_of(self.bot_id, stream_id) if stream_id else None
            if stream is not None:
                stream.name(bot_stream_key)

    def take_up(self, stream_id: str, bot_key: str) -> None:
        """The bot was asked this on a connection before, and may be answering it still."""
        if self._turns is not None:
            self._turns.take_up(stream_id, bot_key, self._host.now())

    async def resume(self, message: Resume) -> None:
        """Go on with a stream that this relay did not list: it may have lost its memory."""
        if self.current and not await self._host.resume_stream(
            self, message.stream_id, message.voucher
        ):
            self._refuse_unknown(message.stream_id, None)

    def _refuse_unknown(self, stream_id: str | None, sequence: int | None) -> None:
        self.refuse(
            Refused(
                stream_id,
                sequence,
                RefusalCode.UNKNOWN_STREAM,
                "no such stream is open for this bot; stop sending it",
            )
        )

    def status(self) -> StatusReply:
        """Answer the verb `status`. `online` is this very connection."""
        return StatusReply(
            status="online" if self.current else "offline",
            online=self.current,
            active_sessions=1 if self.current else 0,
            total_sessions=self.connections,
            uptime_s=self._host.now() - self.connected_at,
        )

    def detach(self) -> None:
        """The socket is gone, or the bot unsubscribed. Idempotent."""
        if self.current:
            self.current = False
            self._host.link_gone(self)

    def fence_off(self) -> None:
        """A newer connection speaks for the bot now."""
        self.current = False
        self._transport.close("fenced", reconnect=False)

    def close(self, reason: str, *, reconnect: bool) -> None:
        """Close the connection from the relay's side."""
        self._transport.close(reason, reconnect=reconnect)

    # --- to the bot -----------------------------------------------------------------------

    def send(self, message: Outbound) -> None:
        """Tell the bot something, if this link still speaks for it."""
        if self.current:
            self._transport.send(message)

    def acknowledge(self, stream_id: str, last: int, count: int, stored: Stored) -> None:
        """Tell the bot that neighbouring sequences are stored, if this link still speaks for it."""
        if self.current:
            self._transport.acknowledge(stream_id, last, count, stored)

    def refuse(self, refusal: Refused) -> None:
        """Tell the bot what was not taken, count it, and let its stream's trace say why."""
        self._host.refused(refusal.code)
        stream_id = refusal.stream_id and refusal.stream_id[:ID_CHARS_MAX]
        stream = self._host.stream_of(self.bot_id, stream_id) if stream_id else None
        if stream is not None:
            stream.note_refusal(refusal, self._host.now())
        # A bot that sends nonsense must not fill the disk: the metrics count it at every level.
        self._logger.debug(
            "message_refused",
            bot_id=self.bot_id,
            stream_id=stream_id,
            trace_id=stream and stream.view.trace_id,
            sequence=refusal.sequence,
            code=refusal.code.value,
        )
        self.send(refusal)

    def deliver(self, letter: Letter, *, credit: int) -> None:
        """Hand a letter of the mailbox to the bot."""
        payload = loads(letter.payload)
        if not isinstance(payload, dict):
            raise TypeError("a letter's payload is a JSON object")
        if payload.get("type") == "cancel_command":
            self.send(Cancel(letter.stream_id, str(payload.get("reason", ""))))
            return
        if self._turns is not None:
            now = self._host.now()
            for stream_id in self._turns.asked(letter.stream_id, now):
                stream = self._host.stream_of(self.bot_id, stream_id)
                if stream is not None:
                    stream.receive(Overlapped(), now)
        voucher = payload.pop("resume", "")
        self.send(Command(letter.stream_id, payload, credit, str(voucher)))


def answer(link: BotLink, stored: Stored, stream_id: str, reaction: Ack | Nack | Refuse) -> None:
    """Tell the bot about one message of a stream."""
    match reaction:
        case Ack():
            state = (stored.next_sequence, stored.received, stored.credit)
            link.send(Acked(stream_id, reaction.sequence, *state))
        case Nack():
            link.send(Missing(stream_id, reaction.ranges))
        case Refuse():
            link.refuse(Refused(stream_id, reaction.sequence, reaction.code, reaction.message))


def open_state(stream_id: str, epoch: str, status: Status, stored: Stored) -> OpenStreamState:
    """State what is stored of an open stream, for `connected`."""
    return OpenStreamState(
        stream_id, epoch, status.label, stored.next_sequence, stored.received, stored.credit
    )
