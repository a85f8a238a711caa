"""The answers that are on their way: one sender each, one timer for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.protocol.events import Abort, Chunk, End, Part
from relay.protocol.rangeset import Ranges
from relay.protocol.sender import StreamSender
from relay.protocol.sending import (
    Closed,
    Feedback,
    SendEffect,
    SenderLimits,
    Settled,
    Transmit,
    Writable,
)
from relay.wire.bot_messages import Closed as WireClosed
from relay.wire.bot_messages import OpenStreamState

TransmitTo = Callable[[str, Chunk | End | Abort], None]
ResumeAt = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class ReplyOutcome:
    """How an answer ended."""

    outcome: str
    """`completed`, `repaired`, `incomplete`, `failed`, `idle`, `bot_gone`, `cancelled` or `lost`
    (docs/protocol.md, section 8)."""
    total_chunks: int
    missing: Ranges
    """The sequences that the relay does not have, as inclusive ranges."""

    @property
    def whole(self) -> bool:
        """Whether the device was given the whole text."""
        return self.outcome in ("completed", "repaired")


class Stream:
    """One answer's sender and those who wait for it."""

    def __init__(self, stream_id: str, sender: StreamSender, *, credit: int, voucher: str) -> None:
        self.id = stream_id
        self.sender = sender
        self.credit = credit
        self.voucher = voucher
        self.settled: asyncio.Future[ReplyOutcome] = asyncio.get_running_loop().create_future()
        self._room = asyncio.Event()

    @property
    def outcome(self) -> ReplyOutcome | None:
        """The outcome, as soon as it is known."""
        return self.settled.result() if self.settled.done() else None

    async def room(self) -> None:
        """Wait until the relay's credit allows another chunk, or the stream is over."""
        while not self.sender.writable:
            self._room.clear()
            await self._room.wait()

    def make_room(self) -> None:
        """Wake whoever waits for room."""
        self._room.set()


class Streams:
    """Every answer that is not settled yet, by its stream id.

    `transmit` puts one message of a stream on the wire, or drops it while there is no wire:
    the senders know what to send again. `resume` asks a relay that does not know a stream
    (any more) to take it up; it is given the stream's id and the voucher of its command.
    """

    def __init__(
        self, transmit: TransmitTo, limits: SenderLimits, resume: ResumeAt | None = None
    ) -> None:
        self._transmit = transmit
        self._resume = resume
        self._limits = limits
        self._live: dict[str, Stream] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._live)

    def get(self, stream_id: str) -> Stream | None:
        """Return the stream while it is not settled."""
        return self._live.get(stream_id)

    def open(self, stream_id: str, credit: int, voucher: str = "") -> Stream:
        """Start a stream with the credit of its command, and what it can be resumed with."""
        sender = StreamSender(credit, self._limits)
        stream = Stream(stream_id, sender, credit=credit, voucher=voucher)
        self._live[stream_id] = stream
        self._empty.clear()
        return stream

    def close(self) -> None:
        """Stop the timer: nothing will be sent any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def settled(self) -> None:
        """Wait until every stream has its outcome."""
        await self._empty.wait()

    # --- what the reply does ------------------------------------------------------------

    def write(self, stream: Stream, text: str) -> None:
        """Send text, or queue it where there is no credit."""
        self._perform(stream, stream.sender.write(text, self._now()))

    def end(self, stream: Stream) -> None:
        """End the answer."""
        self._perform(stream, stream.sender.end(self._now()))

    def write_part(self, stream: Stream, part: Part) -> None:
        """Send a tool call or suggestions, behind the text written so far."""
        self._perform(stream, stream.sender.write_part(part, self._now()))

    def abort(self, stream: Stream, error: str, shown: str = "") -> None:
        """End the answer as failed; `shown` is what the device shows."""
        self._perform(stream, stream.sender.abort(error, self._now(), shown))

    # --- what the relay says ------------------------------------------------------------

    def receive(self, stream_id: str, feedback: Feedback) -> None:
        """Take feedback. What is about a stream that is not live (any more) is stale."""
        if (stream := self._live.get(stream_id)) is not None:
            self._perform(stream, stream.sender.receive(feedback, self._now()))

    def connection_lost(self) -> None:
        """The connection broke."""
        now = self._now()
        for stream in list(self._live.values()):
            self._perform(stream, stream.sender.connection_lost(now))

    def connection_restored(self, states: Sequence[OpenStreamState | WireClosed]) -> None:
        """A connection stands: bring both sides to the same state, stream by stream."""
        now = self._now()
        told = {state.stream_id: state for state in states}
        for stream in list(self._live.values()):
            match told.get(stream.id):
                case OpenStreamState() as state:
                    effects = stream.sender.connection_restored(
                        state.next_sequence, state.received, state.credit, now
                    )
                case WireClosed() as closed:
                    effects = stream.sender.receive(
                        Closed(closed.outcome, closed.total_chunks, closed.missing), now
                    )
                case _ if stream.voucher and self._resume is not None:
                    # A relay that lost its memory takes the stream up again, from its start.
                    self._resume(stream.id, stream.voucher)
                    effects = stream.sender.connection_restored(0, (), stream.credit, now)
                case _:
                    effects = stream.sender.unknown_to_relay()
            self._perform(stream, effects)

    # --- inside -------------------------------------------------------------------------

    def _perform(self, stream: Stream, effects: Sequence[SendEffect]) -> None:
        for effect in effects:
            match effect:
                case Transmit(message):
                    self._transmit(stream.id, message)
                case Writable():
                    stream.make_room()
                case Settled(outcome, total_chunks, missing):
                    self._settle(stream, ReplyOutcome(outcome, total_chunks, missing))
        self._arm(stream.sender.next_deadline())

    def _settle(self, stream: Stream, outcome: ReplyOutcome) -> None:
        del self._live[stream.id]
        if not stream.settled.done():
            stream.settled.set_result(outcome)
        stream.make_room()
        if not self._live:
            self._empty.set()

    def _arm(self, deadline: float | None) -> None:
        """Keep one timer, at or before the earliest deadline. A needless call costs nothing."""
        if deadline is None:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._now()
        for stream in list(self._live.values()):
            self._perform(stream, stream.sender.handle_timer(now))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
