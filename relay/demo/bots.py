"""Who answers: frames put on the wire by hand, as old SDKs do, or today's SDK.

Each bot stands for one question: it connects, answers as its script says, notes in the ledger
what it sends and what the relay says to that, and goes once it knows all it will ever know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, assert_never

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from relay.demo.ledger import Ledger
from relay.demo.scenarios import Speaker, Step
from relay.errors import RelayError
from relay.protocol.events import Chunk, End, Summary
from relay.protocol.rangeset import Ranges, expand
from relay.wire import cable_client
from relay.wire.bot_client import decode_outbound, encode_stream_message
from relay.wire.bot_messages import Acked, Command, Missing, Outbound
from relay.wire.cable_client import CableClient
from relay_sdk import Bot
from relay_sdk import Command as SdkCommand

ACK_S: Final = 2.0
"""SDK 2.4.0 waits so long for its last ACKs."""

CONNECT_S: Final = 10.0
CLOSE_S: Final = 1.0


class NotConnected(RelayError):
    """The bot could not subscribe."""


@dataclass(frozen=True, slots=True)
class Pace:
    """When the steps of a script are due."""

    speed: float
    """1 is the recorded speed, 2 is twice as fast."""
    skip_s: float
    """How much of the recording's silence before the first word is left out."""

    def due(self, step: Step, asked_at: float) -> float:
        """Return the time of a step, for a question that was asked at `asked_at`."""
        return asked_at + max(0.0, step.at - self.skip_s) / self.speed


@dataclass(frozen=True, slots=True)
class Part:
    """What one bot is to do."""

    base: str
    sdk_token: str
    steps: Sequence[Step]
    pace: Pace
    ledger: Ledger


def open_bot(speaker: Speaker, part: Part) -> AbstractAsyncContextManager[None]:
    """Connect the bot. When the block is left it has said everything and heard the answer."""
    match speaker:
        case Speaker.LEGACY:
            return _wire_bot(part, '{"channel":"BotChannel"}')
        case Speaker.DEAF:
            return _wire_bot(part, '{"channel":"BotChannel","protocol":2,"sdk":"deaf/1.0"}')
        case Speaker.SDK:
            return _sdk_bot(part)
        case _:
            assert_never(speaker)


Say = Callable[[Chunk | End | Summary], Awaitable[None]]


async def _recite(part: Part, say: Say) -> None:
    """Say every step when it is due, and note it."""
    ledger = part.ledger
    for step in part.steps:
        assert ledger.asked_at is not None
        ledger.next_at = part.pace.due(step, ledger.asked_at)
        await asyncio.sleep(ledger.next_at - time.monotonic())
        now = time.monotonic()
        match step.message:
            case Chunk(_, sequence):
                # The SDK numbers by itself, in the order of this script and so in the same way.
                assert sequence is not None
                ledger.sent.setdefault(sequence, now)
            case End():
                ledger.ended(now)
            case Summary():
                ledger.claimed_at = now
        await say(step.message)
    ledger.next_at = float("inf")


# --- by hand ----------------------------------------------------------------------------


@asynccontextmanager
async def _wire_bot(part: Part, identifier: str) -> AsyncIterator[None]:
    url = part.base.replace("http", "ws", 1) + f"/cable?sdk_token={part.sdk_token}"
    async with connect(url, compression=None, max_size=None, close_timeout=CLOSE_S) as socket:
        bot = _WireBot(socket, CableClient(identifier), part)
        reading = asyncio.create_task(bot.read())
        try:
            await socket.send(bot.cable.subscribe())
            async with asyncio.timeout(CONNECT_S):
                await bot.confirmed.wait()
            yield
            await bot.over()
        finally:
            bot.fall_silent()
            # Read to the end: a close waits behind frames that nobody takes.
            await socket.close()
            await reading


class _WireBot:
    """One connection of a bot that numbers, ends and sums up for itself."""

    def __init__(self, socket: ClientConnection, cable: CableClient, part: Part) -> None:
        self.cable = cable
        self.confirmed = asyncio.Event()
        self._socket = socket
        self._part = part
        self._reciting: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def read(self) -> None:
        """Act on each frame of the relay until the socket is gone."""
        with suppress(ConnectionClosed):
            async for frame in self._socket:
                match self.cable.receive(frame):
                    case cable_client.Confirmed():
                        self.confirmed.set()
                    case cable_client.Message(payload):
                        self._hear(decode_outbound(payload))
                    case _:
                        pass

    async def over(self) -> None:
        """Wait until everything is said and, for at most `ACK_S`, acknowledged."""
        if self._reciting is None:
            raise NotConnected("the bot was not asked")
        await self._reciting
        ledger = self._part.ledger
        with suppress(TimeoutError):
            async with asyncio.timeout(ACK_S):
                while len(ledger.acked) < len(ledger.sent):
                    self._news.clear()
                    await self._news.wait()

    def fall_silent(self) -> None:
        """Say no more, whatever is left of the script."""
        if self._reciting is not None:
            self._reciting.cancel()

    def _hear(self, message: Outbound | None) -> None:
        if isinstance(message, Command):
            _asked(self._part.ledger, message)
            self._reciting = asyncio.create_task(self._recite(message.stream_id))
        note(self._part.ledger, message)
        self._news.set()

    async def _recite(self, stream_id: str) -> None:
        async def say(message: Chunk | End | Summary) -> None:
            payload = encode_stream_message(stream_id, message)
            await self._socket.send(self.cable.perform(payload))

        await _recite(self._part, say)


def _asked(ledger: Ledger, command: Command) -> None:
    metadata = command.payload.get("metadata")
    trace_id = metadata.get("trace_id") if isinstance(metadata, dict) else None
    ledger.trace_id = trace_id if isinstance(trace_id, str) else ""


def note(ledger: Ledger, message: Outbound | None) -> None:
    """Note what the relay says about the stream."""
    now = time.monotonic()
    match message:
        case Acked(_, _, next_sequence, received):
            ledger.stored([*range(next_sequence), *_members(received)], now)
        case Missing(_, ranges):
            ledger.asked_again.update(_members(ranges))
        case _:
            pass


def _members(ranges: Ranges) -> list[int]:
    return expand(ranges, 100_000)


# --- with the SDK -----------------------------------------------------------------------


class _HeardBot(Bot):
    """The SDK's bot, with somebody who listens to what the relay tells it."""

    def __init__(self, part: Part) -> None:
        super().__init__(part.base, part.sdk_token, name="relay-demo")
        self._ledger = part.ledger

    def on_message(self, message: Outbound) -> None:
        note(self._ledger, message)
        super().on_message(message)


@asynccontextmanager
async def _sdk_bot(part: Part) -> AsyncIterator[None]:
    bot, ledger = _HeardBot(part), part.ledger
    over = asyncio.get_running_loop().create_future()

    async def answer(command: SdkCommand) -> None:
        ledger.trace_id = command.trace_id
        async with bot.reply(command) as reply:

            async def say(message: Chunk | End | Summary) -> None:
                if isinstance(message, Chunk):
                    await reply.write(message.content)

            await _recite(part, say)
        outcome = await reply.closed()
        lost = set(_members(outcome.missing))
        ledger.stored([s for s in range(outcome.total_chunks) if s not in lost], time.monotonic())
        over.set_result(None)

    bot.on_command(answer)
    async with bot:
        async with asyncio.timeout(CONNECT_S):
            await bot.connected()
        yield
        await over
