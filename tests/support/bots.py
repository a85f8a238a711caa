"""Scripted bots: what each version of the existing SDK puts on the wire, and a raw protocol 2.

The legacy ones keep the faults of theirs: counters that belong to the connection and not to the
turn, a summary behind the end, an end that comes twice, sequences that count what was never sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.cable import Cable, Frame, open_cable, to_json
from tests.support.incident import Turn
from tests.support.server import RelayServer

ACK_WAIT_S: Final = 2.0
ACK_POLL_S: Final = 0.05


def content_hash(text: str) -> str:
    """The hash of a summary, made here anew from its definition (docs/protocol.md, section 7)."""
    value = 0
    units = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return f"{value - (1 << 32) if value >> 31 else value:x}"


# --- what a bot has to say ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Script:
    """One answer: its chunks, and in which order, when and whether each goes on the wire."""

    chunks: tuple[str, ...]
    order: tuple[int, ...]
    """The sequences as they go on the wire; what is not in it is lost."""
    at: tuple[float, ...] = ()
    """When each of `order` goes, in seconds since the question; empty: all at once."""
    end_at: float = 0.0

    @property
    def text(self) -> str:
        """The whole answer; halves of a pair that two chunks share are joined."""
        return join("".join(self.chunks))

    def without(self, *lost: int) -> Script:
        """The same answer, with these sequences never sent."""
        return Script(self.chunks, tuple(n for n in self.order if n not in lost))


def in_order(chunks: Sequence[str]) -> Script:
    """An answer that is sent as it was made."""
    return Script(tuple(chunks), tuple(range(len(chunks))))


def as_recorded(turn: Turn, *, numbered: bool, speed: float = 0.0) -> Script:
    """A turn of the incident: in its order where the bot numbers its chunks; `speed` 1 is real."""
    frames = [frame for frame in turn.frames if frame.sequence is not None]
    order = [frame.sequence for frame in frames if frame.sequence is not None]
    at = tuple(frame.at / speed for frame in frames) if speed else ()
    end_at = turn.ends[0].at / speed if speed else 0.0
    return Script(turn.chunks, tuple(order if numbered else sorted(order)), at, end_at)


def join(text: str) -> str:
    """Join the halves of surrogate pairs, as JavaScript does by adding strings."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


# --- what every bot does ----------------------------------------------------------------------


class Bot:
    """A bot's confirmed subscription."""

    def __init__(self, cable: Cable, identifier: str) -> None:
        self.cable = cable
        self.identifier = identifier

    async def say(self, payload: Frame) -> None:
        """Send one message."""
        await self.cable.perform(self.identifier, payload)

    async def command(self, number: int = 0) -> Frame:
        """Return the question of this number, counted from the start of the connection."""
        async with asyncio.timeout(10):
            while len(found := self.cable.messages("execute_command")) <= number:
                await self.cable.wait_message("execute_command", after=len(self.cable.frames))
        return found[number]

    async def until_silent(self) -> None:
        """Wait until the relay has acted on everything sent so far: it answers in order."""
        start = len(self.cable.frames)
        await self.say({"action": "ping"})
        await self.cable.wait_message("pong", after=start)


def stream_of(command: Frame) -> str:
    """The stream's id, as the question names it."""
    session_id: str = command["metadata"]["session_id"]
    return session_id


# --- legacy -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """What one version of the SDK does; reference wire.md, section 3.1."""

    name: str
    numbered: bool = True
    waits_for_acks: bool = False
    ends: int = 2
    summary: bool = False
    pongs: bool = False
    action_form: bool = False


V2_0 = Version("2.0.x", numbered=False, ends=1, pongs=True, action_form=True)
V2_3_7 = Version("2.3.7", numbered=False, pongs=True)
V2_3_8 = Version("2.3.8", pongs=True)
V2_3_10 = Version("2.3.10", pongs=True)
V2_3_12 = Version("2.3.12", summary=True)
V2_3_13 = Version("2.3.13", ends=1, summary=True)
V2_4_0 = Version("2.4.0", waits_for_acks=True, ends=1, summary=True)
VERSIONS = (V2_0, V2_3_7, V2_3_8, V2_3_10, V2_3_12, V2_3_13, V2_4_0)


@dataclass(slots=True)
class Sent:
    """The test's own ledger of one answer."""

    stream_id: str
    first_at: float = 0.0
    last_at: float = 0.0
    """When the last chunk went, in seconds of the monotonic clock."""
    end_at: float = 0.0
    sequences: list[int] = field(default_factory=list)
    """As they went on the wire; by place where the bot does not number them."""


class LegacyBot(Bot):
    """One connection of an existing SDK. Its counters are the connection's, not the turn's."""

    def __init__(self, cable: Cable, identifier: str, version: Version) -> None:
        super().__init__(cable, identifier)
        self.version = version
        self._sequence = 0
        self._sent = 0
        self._acked: set[int] = set()
        self._accumulated = ""
        cable.on_frame = self._on_frame

    async def _on_frame(self, frame: Frame) -> None:
        if frame.get("type") == "ping" and self.version.pongs:
            await self.cable.send({"type": "pong"})
        message = frame.get("message")
        if not isinstance(message, dict) or message.get("type") != "chunk_received":
            return
        if message["sequence"] is not None:
            self._acked.add(message["sequence"])

    async def answer(self, command: Frame, script: Script) -> Sent:
        """Answer a question from beginning to end."""
        ledger = await self.begin(command)
        await self.stream(ledger, script)
        await self.finish(ledger, script.end_at)
        return ledger

    async def begin(self, command: Frame) -> Sent:
        """Start a turn: the counters start anew, whoever else is using them."""
        self._sequence = self._sent = 0
        self._acked.clear()
        ledger = Sent(stream_of(command), first_at=time.monotonic())
        if self.version.action_form:
            await self.say(self._old(ledger, "stream_start", ""))
        return ledger

    async def stream(self, ledger: Sent, script: Script) -> None:
        """Send the chunks. A lost one was counted and accumulated like every other."""
        payloads = [self.number(ledger, content) for content in script.chunks]
        for place, sequence in enumerate(script.order):
            if script.at:
                await asyncio.sleep(ledger.first_at + script.at[place] - time.monotonic())
            await self.put(ledger, payloads[sequence], sequence)

    def number(self, ledger: Sent, content: str) -> Frame:
        """Make the next chunk of the turn, as the SDK counts it."""
        sequence = self._sequence
        self._sequence += 1
        self._sent += 1
        self._accumulated += content
        if self.version.action_form:
            return self._old(ledger, "stream_chunk", content)
        payload = {"type": "stream_chunk", "content": content, "session_id": ledger.stream_id}
        return {**payload, "sequence": sequence} if self.version.numbered else payload

    async def put(self, ledger: Sent, payload: Frame, sequence: int) -> None:
        """Put a chunk on the wire."""
        await self.say(payload)
        ledger.last_at = time.monotonic()
        ledger.sequences.append(sequence)

    async def finish(self, ledger: Sent, at: float = 0.0) -> None:
        """End the turn as this version does."""
        if at:
            await asyncio.sleep(ledger.first_at + at - time.monotonic())
        if self.version.waits_for_acks:
            await self._wait_for_acks()
        ledger.end_at = time.monotonic()
        for _ in range(self.version.ends):
            if self.version.action_form:
                await self.say(self._old(ledger, "stream_end", ""))
            else:
                await self.say({"type": "stream_end", "session_id": ledger.stream_id})
        if self.version.summary:
            await self.summarise(ledger)
        self._sequence, self._accumulated = 0, ""

    async def summarise(self, ledger: Sent, **changes: object) -> None:
        """Send the summary of whatever was accumulated, or one that lies."""
        text = join(self._accumulated)
        summary: Frame = {
            "type": "stream_summary",
            "session_id": ledger.stream_id,
            "total_content": text,
            "total_chunks": self._sent,
            "content_hash": content_hash(text),
        }
        await self.say({**summary, **changes})

    async def fail(self, ledger: Sent, error: str) -> None:
        """Report a failure. What was accumulated is not forgotten: that is a fault of the SDK."""
        if self.version.action_form:
            await self.say(self._old(ledger, "stream_error", error))
        else:
            await self.say({"type": "stream_error", "error": error, "session_id": ledger.stream_id})

    async def _wait_for_acks(self) -> None:
        deadline = time.monotonic() + ACK_WAIT_S
        # The SDK polls, so the end comes up to 50 ms after the last ACK.
        while len(self._acked) < self._sent and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(ACK_POLL_S)

    def _old(self, ledger: Sent, kind: str, chunk: str) -> Frame:
        local_id = f"local-{ledger.stream_id[:8]}"
        return {
            "action": "stream_chunk",
            "chunk": chunk,
            "stream_id": local_id,
            "stream_type": kind,
        }


@asynccontextmanager
async def legacy_bot(
    server: RelayServer, version: Version, number: int = 0
) -> AsyncIterator[LegacyBot]:
    """Connect as this version does."""
    async with open_cable(server.bot_url(number)) as cable:
        await cable.wait(lambda frame: frame.get("type") == "welcome")
        params: dict[str, Any] = {"channel": "BotChannel"}
        if not version.action_form:
            params["bot_id"] = str(server.bot(number).bot_id)
        bot = LegacyBot(cable, to_json(params), version)
        confirmed = await cable.subscribe(bot.identifier)
        assert confirmed["type"] == "confirm_subscription"
        yield bot


# --- protocol 2, by hand ------------------------------------------------------------------------


class RawBot(Bot):
    """Protocol 2 without an SDK: it does nothing by itself, so a test decides about everything."""

    @property
    def connected(self) -> Frame:
        """The greeting of this connection."""
        return self.cable.messages("connected")[0]

    async def chunk(self, stream_id: str, sequence: object, content: object) -> None:
        """Send one chunk, or what only looks like one."""
        await self.say(
            {
                "type": "stream_chunk",
                "session_id": stream_id,
                "sequence": sequence,
                "content": content,
            }
        )

    async def chunks(
        self, stream_id: str, contents: Sequence[str], *, lost: Collection[int] = ()
    ) -> None:
        """Send these chunks from 0 on."""
        for sequence, content in enumerate(contents):
            if sequence not in lost:
                await self.chunk(stream_id, sequence, content)

    async def end(self, stream_id: str, contents: Sequence[str]) -> None:
        """End the stream, and state what it was made of."""
        await self.say(
            {
                "type": "stream_end",
                "session_id": stream_id,
                "total_chunks": len(contents),
                "content_hash": content_hash(join("".join(contents))),
            }
        )

    async def answer(self, command: Frame, contents: Sequence[str]) -> Frame:
        """Answer a question whole; returns the relay's `stream_closed`."""
        stream_id = stream_of(command)
        await self.chunks(stream_id, contents)
        await self.end(stream_id, contents)
        return await self.cable.wait_message("stream_closed", session_id=stream_id)

    async def acked(self, stream_id: str, next_sequence: int) -> Frame:
        """Wait for the ACK that says: every sequence below is stored."""
        return await self.cable.wait_message(
            "ack", session_id=stream_id, next_sequence=next_sequence
        )


@asynccontextmanager
async def raw_bot(server: RelayServer, number: int = 0) -> AsyncIterator[RawBot]:
    """Connect and subscribe with protocol 2."""
    bot = server.bot(number)
    async with open_cable(server.cable_url, bearer=bot.token) as cable:
        params = {"channel": "BotChannel", "bot_id": str(bot.bot_id), "protocol": 2, "sdk": "raw/1"}
        identifier = to_json(params)
        confirmed = await cable.subscribe(identifier)
        assert confirmed["type"] == "confirm_subscription"
        yield RawBot(cable, identifier)
