"""BotChannel: a bot's side of the relay. Specification: docs/protocol.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, assert_never

from relay.clock import Clock
from relay.node.bots import BotTransport
from relay.web.auth import BotIdentity
from relay.web.outbox import Outbox
from relay.wire import cable
from relay.wire.bot import (
    Acked,
    CommandReceived,
    CommandResult,
    ExecuteCommand,
    Ignored,
    LegacyResponse,
    LogEcho,
    LogLine,
    Outbound,
    PayloadRefused,
    Ping,
    Pong,
    Refused,
    ResponseReceived,
    Resume,
    Started,
    StatusQuery,
    StreamMessage,
    decode,
    encode,
)
from relay.wire.chunk_frame import Receipts
from relay.wire.jsontext import JsonValue
from relay.wire.timestamp import beijing_iso

if TYPE_CHECKING:
    from relay.node.bots import BotLink
    from relay.node.decisions import Stored
    from relay.node.node import Node

NAME = "BotChannel"

LEGACY: Final = 1
RELIABLE: Final = 2
"""The protocols of docs/protocol.md."""

SDK_CHARS_MAX: Final = 64

CAN_WAIT_MAX: Final = 3
"""What acknowledges more chunks at once does not wait: of a bot that sends many at a time and then
waits for their ACKs, or the relay would be its brake. One read of a relay that is behind brings two
or three of any bot, and to write to each of them at once is what would keep it behind."""


class _Run:
    """Neighbouring sequences of one stream whose receipts, of `size` bytes each, are not written.

    One is made for most chunks, so it is a class that can be compiled: a msgspec struct cannot.
    """

    __slots__ = ("first", "last", "size", "stream_id", "transport")

    def __init__(
        self, transport: CableTransport, stream_id: str, first: int, last: int, size: int
    ) -> None:
        self.transport = transport
        self.stream_id = stream_id
        self.first = first
        self.last = last
        self.size = size

    def __call__(self) -> Sequence[str]:
        """Make the receipts; nothing joins them any more."""
        return self.transport.receipts_of(self)


class CableTransport(BotTransport):
    """The node's way to a bot: one subscription on one socket."""

    __slots__ = (
        "_clock",
        "_identifier",
        "_outbox",
        "_protocol",
        "_receipts",
        "_run",
        "_runs",
    )

    def __init__(self, outbox: Outbox, identifier: str, *, protocol: int, clock: Clock) -> None:
        self._outbox = outbox
        self._identifier = identifier
        self._protocol = protocol
        self._clock = clock
        self._receipts = Receipts(identifier)
        self._runs: dict[str, _Run] = {}
        """Of each stream the newest that is not written yet: its neighbours join it."""
        self._run: _Run | None = None
        """That which was joined last, if it is not written: mostly there is one stream."""

    def send(self, message: Outbound) -> None:
        """Queue one message. Never blocks, never raises."""
        if isinstance(message, Acked):
            if self._protocol >= RELIABLE:
                self._acknowledge(message, 1)
                return
            if message.sequence is not None:
                self._receive(message.stream_id, message.sequence, 1)
                return
        frame = self._render(message)
        if frame:
            self._outbox.put(frame)

    def acknowledge(self, stream_id: str, last: int, count: int, stored: Stored) -> None:
        """Queue the ACK of `count` chunks that came together. Never blocks, never raises.

        A cumulative `ack` replaces one of the same stream that is not written yet, and receipts
        are made when they are written. What acknowledges a few chunks can wait (`CAN_WAIT_MAX`).
        """
        if self._protocol < RELIABLE:
            self._receive(stream_id, last, count)
        else:
            state = (stored.next_sequence, stored.received, stored.credit)
            self._acknowledge(Acked(stream_id, last, *state), count)

    def _acknowledge(self, message: Acked, count: int) -> None:
        newest = partial(self._newest, message)
        self._outbox.put_latest(message.stream_id, newest, can_wait=count <= CAN_WAIT_MAX)

    def close(self, reason: str, *, reconnect: bool) -> None:
        """Close the socket behind what is queued. Never blocks."""
        self._outbox.close(cable.disconnect(reason, reconnect=reconnect))

    def forget(self) -> None:
        """Nothing more is said; what waits in the outbox is. They know this transport."""
        self._runs.clear()
        self._run = None

    def _receive(self, stream_id: str, last: int, count: int) -> None:
        """Say that these sequences are received: with their neighbours, if these wait still."""
        can_wait = count <= CAN_WAIT_MAX
        run = self._run
        if run is None or stream_id is not run.stream_id:
            run = self._runs.get(stream_id)
        if run is not None and last - count == run.last:
            self._run = run
            run.last = last
            self._outbox.grow(run.size * count, can_wait=can_wait)
            return
        size = self._receipts.size + len(stream_id)
        run = _Run(self, stream_id, last - count + 1, last, size)
        self._run = self._runs[stream_id] = run
        self._outbox.put_late(run, size * count, can_wait=can_wait)

    def receipts_of(self, run: _Run) -> Sequence[str]:
        """Make the receipts of a run."""
        self._run = None
        if self._runs.get(run.stream_id) is run:
            del self._runs[run.stream_id]
        count = run.last - run.first + 1
        return self._receipts.of(run.stream_id, run.last, count, beijing_iso(self._clock.now()))

    def _newest(self, message: Acked) -> Sequence[str]:
        return (self._render(message),)

    def _render(self, message: Outbound) -> str:
        now_iso = beijing_iso(self._clock.now())
        payload = encode(message, self._protocol, now_iso=now_iso)
        return "" if payload is None else cable.message(self._identifier, payload)


class BotChannel:
    """A bot's confirmed subscription."""

    __slots__ = ("_transport", "link")

    def __init__(self, link: BotLink, transport: CableTransport) -> None:
        self.link = link
        self._transport = transport

    async def perform(self, payload: Mapping[str, JsonValue]) -> None:
        """Act on one message of the bot."""
        try:
            message = decode(payload, must_number=self.link.protocol >= RELIABLE)
        except PayloadRefused as error:
            refusal = Refused(error.stream_id, error.sequence, error.code, error.message)
            self.link.refuse(refusal)
            return
        match message:
            case StreamMessage():
                await self.link.receive(message)
            case Started(bot_stream_key):
                self.link.started(bot_stream_key)
            case Resume():
                await self.link.resume(message)
            case Ping():
                self._transport.send(Pong())
            case StatusQuery():
                self._transport.send(self.link.status())
            case LogLine(level, text):
                self._transport.send(LogEcho(level, text))
            case ExecuteCommand(command):
                self._transport.send(CommandReceived(command))
            case LegacyResponse(stream_id):
                self._transport.send(ResponseReceived(stream_id))
            case CommandResult() | Ignored():
                pass
            case _:
                assert_never(message)

    async def close(self) -> None:
        """The bot is not reachable here any more."""
        self.link.detach()
        self._transport.forget()


async def open_bot_channel(
    node: Node,
    clock: Clock,
    bot: BotIdentity,
    identifier: str,
    params: Mapping[str, JsonValue],
    outbox: Outbox,
) -> BotChannel | None:
    """Attach the bot. None where the identifier names another bot than the token's."""
    if not _names(params.get("bot_id"), bot.bot_id):
        return None
    protocol = _protocol(params.get("protocol"))
    transport = CableTransport(outbox, identifier, protocol=protocol, clock=clock)
    link = await node.attach_bot(
        bot.bot_id, protocol=protocol, sdk=_sdk(params.get("sdk")), transport=transport
    )
    return BotChannel(link, transport)


def _names(given: JsonValue, bot_id: int) -> bool:
    """Whether an identifier's `bot_id` is absent or this bot's; SDKs send number or string."""
    match given:
        case None | "":
            return True
        case bool():
            return False
        case int() | str():
            return str(given) == str(bot_id)
        case _:
            return False


def _protocol(given: JsonValue) -> int:
    """A number above 2 is answered as 2; what is no number asks for nothing."""
    return RELIABLE if type(given) is int and given >= RELIABLE else LEGACY


def _sdk(given: JsonValue) -> str:
    if not isinstance(given, str) or not given.isprintable():
        return ""
    return given[:SDK_CHARS_MAX]
