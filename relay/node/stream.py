"""One stream on this node: its owner, its readers, its notes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import assert_never

from msgspec.structs import replace

from relay.broker.base import LogSnapshot, Notes, StreamMeta
from relay.node.audience import Audience
from relay.node.bots import BotLink, StreamPort, answer
from relay.node.decisions import Reaction, Unsaid
from relay.node.owner import OwnerHost, StreamOwner
from relay.node.readership import Readership, ReadersHost
from relay.node.record import BOT, EVENTS, StreamRecord
from relay.protocol.events import (
    Abort,
    Ack,
    Amend,
    BotLost,
    Chunk,
    End,
    Finish,
    Message,
    Nack,
    Overlapped,
    Refuse,
    Stop,
    Summary,
)
from relay.protocol.report import LossReport
from relay.protocol.status import Outcome, Status
from relay.wire.bot import RELIABLE, Acked, Closed, Refused
from relay.wire.jsontext import JsonValue

COMMAND = "command"
"""The note beside the log that has what the bot is to be asked, until it has said something."""

REFUSALS_NOTED_MAX = 20
"""How many refusals a trace tells one by one. A bot that sends nonsense sends much of it."""


class NodeStream(StreamPort, OwnerHost, ReadersHost):
    """A stream, for as long as this node keeps it.

    `own(stream)` makes its first owner. `moved(stream)` is called whenever its deadline may
    have changed, `settled(stream)` whenever its trace row has to be written (again).
    """

    __slots__ = (
        *("__weakref__", "_is_elsewhere", "_moved", "_now", "_overlapped", "_parked"),
        *("_recovered", "_refusals_noted", "_settled", "_traced", "_traced_to_end", "asked"),
        *("bot_id", "closed", "command", "counted", "end_offset", "finished_at", "link", "owner"),
        *("readership", "rebuild_at", "record", "report", "row_made", "stream_id", "view"),
    )

    def __init__(
        self,
        *,
        readership: Readership,
        record: StreamRecord,
        now: Callable[[], float],
        own: Callable[[NodeStream], StreamOwner],
        moved: Callable[[NodeStream], None],
        settled: Callable[[NodeStream], None],
        command: str = "",
    ) -> None:
        self.command = command
        """What the bot is to be asked, as JSON; empty once it has said something of the stream."""
        self.asked: BotLink | None = None
        """The connection that was given the command."""
        self.view = readership.view
        self.stream_id = self.view.stream_id
        self.readership = readership
        self.record, self.bot_id = record, record.meta.bot_id
        self.link: BotLink | None = None
        self.report: LossReport | None = None
        self.closed: Closed | None = None
        self.finished_at: float | None = None
        self.end_offset: int | None = None
        self.row_made = False
        """Whether the trace row was made from the log, so that the log may go."""
        self.counted = False
        """Whether the metrics have it."""
        self.rebuild_at: float | None = None
        """When to try again to rebuild the owner; None where there is nothing to try."""
        self._overlapped = False
        self._refusals_noted = 0
        self._traced = self._traced_to_end = False
        self._parked: list[tuple[Message, float]] = []
        self._recovered: asyncio.Future[None] | None = None
        self._is_elsewhere = False
        self._now = now
        self._moved = moved
        self._settled = settled
        self.owner = own(self)
        readership.host = self

    @property
    def meta(self) -> StreamMeta:
        """What was asked, by whom."""
        return self.record.meta

    @property
    def audience(self) -> Audience:
        """Who reads it."""
        return self.readership.audience

    # --- what is kept for the next owner ----------------------------------------------------

    def note(self, kind: str, now: float, **data: JsonValue) -> None:
        """Note that something happened to the stream as a whole."""
        self.record.note(kind, now, **data)
        self.owner.note(EVENTS, self.record.events_note)

    def note_bot(self) -> None:
        """Keep what the record says about the bot."""
        self.owner.note(BOT, self.record.bot_note)

    def name(self, bot_key: str) -> None:
        """The bot calls the stream so, and not by its id."""
        if self.record.bot_key != bot_key:
            self.record.bot_key = bot_key
            self.note_bot()

    def notes(self) -> dict[str, str]:
        """Return what a log of this stream is to be made with, beside what its bot sends again."""
        notes = {EVENTS: self.record.events_note(), BOT: self.record.bot_note()}
        if self.command:
            notes[COMMAND] = self.command
        return notes

    def heard(self) -> None:
        """The bot has said something of the stream: it knows what it was asked."""
        if self.command:
            self.command = ""
            self.owner.note(COMMAND, str)

    async def keep(self) -> bool:
        """Wait until all that is noted is written. False: another node owns the stream, or none."""
        while True:
            owner = self.owner
            if not owner.dead:
                pending = owner.keep(self._now())
                if pending is not None:
                    await pending
                if not owner.dead:
                    return True
            if self.finished_at is not None or self._is_elsewhere:
                return False
            if not self.owner.dead:
                continue  # another owner took over while this one wrote, and has the notes now
            await self._recovery()
            if self.owner.dead:
                return False

    # --- as the bot sees it ---------------------------------------------------------------

    def answer_to(self, link: BotLink) -> None:
        """From now on its answers are told this link."""
        self.link = link

    def receive(self, message: Message, now: float) -> Awaitable[None] | None:
        """Take one message; returns what to await before the next one, if anything."""
        if self.command and isinstance(message, Chunk | End | Summary | Abort):
            self.heard()
        if self.owner.dead:
            return self._park(message, now)
        if isinstance(message, Overlapped) and not (
            self._overlapped or self.owner.receiver.finished
        ):
            self._overlapped = True
            self.note("numbered_by_arrival", now, reason="overlapping streams")
        pending = self.owner.receive(message, now)
        self._moved(self)
        return pending

    def receive_next(self, chunks: Sequence[Chunk], now: float) -> Awaitable[None] | None:
        """Take chunks that came together; returns what to await before the next message."""
        if self.command:
            self.heard()
        taken, pending = self.owner.receive_next(chunks, now)
        if taken:
            # They only move the idle deadline, and later: `Deadlines` finds that out by itself.
            return pending
        for chunk in chunks:
            pending = self.receive(chunk, now) or pending
        return pending

    def note_refusal(self, refusal: Refused, now: float) -> None:
        """Keep for the trace why something of the bot was not taken: else it only seems lost."""
        if self._refusals_noted < REFUSALS_NOTED_MAX:
            self._refusals_noted += 1
            self.note("refused", now, sequence=refusal.sequence, code=refusal.code.value)

    def _park(self, message: Message, now: float) -> Awaitable[None] | None:
        """Keep a message for the next owner; its sender waits, so few are kept."""
        if self.finished_at is not None or self._is_elsewhere:
            return None
        self._parked.append((message, now))
        return self._recovery()

    def _recovery(self) -> Awaitable[None]:
        """Return what to await until there is an owner again, or none is to come."""
        if self._recovered is None:
            self._recovered = asyncio.get_running_loop().create_future()
        return asyncio.shield(self._recovered)

    def handle_timer(self, now: float) -> None:
        """Let the owner do what is due."""
        # What an awaited write leaves to do is done behind it, in order.
        self.owner.handle_timer(now)
        self._moved(self)

    def acknowledge(self, first: int, last: int) -> None:
        """See `OwnerHost.acknowledge`."""
        self.record.acked_at.note(first, last, self._now())
        if self.link is not None:
            self.link.acknowledge(self.stream_id, last, last - first + 1, self.owner.stored)

    def react(self, reaction: Reaction, now: float) -> None:
        """See `OwnerHost.react`."""
        match reaction:
            case Ack() | Nack() | Refuse():
                if isinstance(reaction, Ack):
                    self._note_ack(reaction)
                if self.link is not None:
                    answer(self.link, self.owner.stored, self.stream_id, reaction)
            case Finish():
                self._finish(reaction.report, now)
            case Amend():
                self.report = reaction.report
                if self._traced:
                    self._have_traced()
            case _:
                assert_never(reaction)

    def _note_ack(self, ack: Ack) -> None:
        sequence = ack.sequence
        if sequence is None or self._overlapped:
            # Numbered by arrival: the one that was stored just now, whatever the bot called it.
            sequence = self.owner.stored.next_sequence - 1
        self.record.acked_at.note(sequence, sequence, self._now())

    def _finish(self, report: LossReport, now: float) -> None:
        self.report = report
        self.finished_at = now
        self.end_offset = self.owner.receiver.next_offset - 1
        self.note("stream_end", now, outcome=report.outcome.value)
        self.closed = Closed(
            self.stream_id, report.outcome.value, report.total_chunks, report.missing
        )
        if self.link is not None:
            self.link.send(self.closed)
        self.consider_trace()
        # The end of an awaited write comes long after the message that led to it.
        self._moved(self)

    def state_to(self, link: BotLink) -> None:
        """Tell a bot that goes on with this stream what is stored of it, or how it ended."""
        stored = self.owner.stored
        state = (stored.next_sequence, stored.received, stored.credit)
        link.send(self.closed or Acked(self.stream_id, None, *state))

    # --- after a write that failed ----------------------------------------------------------

    def take_over(self, owner: StreamOwner, snapshot: LogSnapshot, now: float) -> None:
        """Go on with an owner that was rebuilt from the log, and tell it what no log holds."""
        unsaid = self.owner.unsaid(snapshot)
        self.owner.dead = True  # whatever it still has under way, it speaks for the stream no more
        if snapshot.fence > self.owner.fence + 1:
            self._learn(snapshot.notes)
        self.owner = owner
        self._note_again(snapshot.notes)
        self.record.acked_at.forget(owner.stored.next_sequence, owner.stored.received)
        self.notice_end(now)
        if self._overlapped:
            self.receive(Overlapped(), now)
        parked, self._parked = self._parked, []
        for one in unsaid:
            self._say_again(one)
        for message, came_at in parked:
            # Before, its bot could not fill in what the end has to wait for.
            self.receive(message, now if isinstance(message, End) else came_at)
        if self.link is None:
            # Behind all that knows better since when.
            self.receive(BotLost(), now)
        self._release()

    def _learn(self, notes: Notes) -> None:
        """Another node may have owned it meanwhile: nobody is asked again what was asked there."""
        self.record.learn(notes)
        if COMMAND not in notes:
            self.command = ""

    def _note_again(self, notes: Notes) -> None:
        """Keep what the owner before could not."""
        if not self.command and COMMAND in notes:
            self.owner.note(COMMAND, str)
        self.note_bot()
        self.owner.note(EVENTS, self.record.events_note)

    def _say_again(self, unsaid: Unsaid) -> None:
        """Offer a message again whose write has failed, or acknowledge it if it is stored.

        A chunk of a bot that sends it again by itself is left to that bot.
        """
        if unsaid.is_stored:
            for ack in unsaid.acks:
                self.react(ack, unsaid.now)
        elif not isinstance(unsaid.message, Chunk) or self.record.protocol < RELIABLE:
            self.receive(unsaid.message, unsaid.now)

    def notice_end(self, now: float) -> None:
        """Finish what the log says is over: the owner that wrote the end did not live to tell."""
        if self.owner.receiver.finished and self.finished_at is None:
            self._finish(self.owner.receiver.report(), now)

    def lose(self, now: float) -> None:
        """Its log is gone, and nothing more can be said about the stream."""
        receiver = self.owner.receiver
        receiver.receive(Stop(Outcome.LOST, "its log is gone"), now)
        self._parked.clear()
        self._finish(replace(receiver.report(), outcome=Outcome.LOST, status=Status.ANOMALY), now)
        self._release()

    def give_way(self) -> list[Stop]:
        """Another log is made for it, and another `NodeStream`. Returns what was to end this one.

        All else its bot says again.
        """
        self.link, self.readership.host = None, None
        return [message for message in self.let_go() if isinstance(message, Stop)]

    def let_go(self) -> list[Message]:
        """Another node owns it now. Returns what was said here and went nowhere."""
        said = [unsaid.message for unsaid in self.owner.unsaid()]
        said += [message for message, _ in self._parked]
        self._parked.clear()
        self._is_elsewhere = True
        self._release()
        return said

    def forget(self) -> None:
        """Let go of what knows it: a garbage collector would find it a minute or more later."""
        self.readership.host = self.link = None
        self.owner.forget()

    def _release(self) -> None:
        if self._recovered is not None and not self._parked:
            self._recovered.set_result(None)
            self._recovered = None

    # --- its readers, its deadline and its trace ----------------------------------------------

    def handed_over(self) -> None:
        """See `ReadersHost.handed_over`."""
        if self.report is not None:
            self.consider_trace()

    def readers_changed(self) -> None:
        """See `ReadersHost.readers_changed`."""
        self._moved(self)

    def next_deadline(self, retention_s: float) -> float | None:
        """When something is to be done about this stream."""
        if self.finished_at is not None:
            expiry = self.finished_at + retention_s
            given_up = None if self._traced else self.audience.deadline
            return expiry if given_up is None else min(expiry, given_up)
        deadlines = [self.audience.deadline, self.rebuild_at]
        if not self.owner.dead:
            deadlines.append(self.owner.receiver.next_deadline())
        return min([at for at in deadlines if at is not None], default=None)

    def consider_trace(self, *, abandoned: bool = False) -> None:
        """Have the row written once nothing more is to be learned: read to the end, or given up."""
        if self.report is None or self._traced_to_end:
            return
        read_to_end = self.audience.read_to_end
        if read_to_end or (not self._traced and (abandoned or self.audience.abandoned)):
            # Somebody who comes after all, and reads to the end, corrects the row.
            self._traced, self._traced_to_end = True, read_to_end
            self._have_traced()

    def _have_traced(self) -> None:
        self.row_made = False  # until it is, the log stays, also where a row is amended
        self._settled(self)
