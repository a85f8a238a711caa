"""The relay's half of a stream: messages in, effects out.

`StreamReceiver` is the only place where a stream's state changes. It is pure; the package's
docstring tells the theory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from relay.protocol import window
from relay.protocol.compensation import Repair
from relay.protocol.events import (
    Abort,
    Ack,
    Amend,
    Append,
    BotBack,
    BotLost,
    Chunk,
    Effect,
    End,
    Entry,
    Finish,
    HeldChunk,
    Hold,
    Message,
    Overlapped,
    RefusalCode,
    Refuse,
    Stop,
    Summary,
)
from relay.protocol.facts import NOTHING, Facts, facts_of, recall
from relay.protocol.in_order import take_in_order
from relay.protocol.limits import Limits
from relay.protocol.rangeset import Ranges
from relay.protocol.report import Disagreement, LossReport
from relay.protocol.sequencer import REFUSALS, Verdict
from relay.protocol.state import StreamState
from relay.protocol.status import Outcome, Status

ELLIPSIS = "\u2026"  # what stands in the text for chunks that were given up in mid-stream


class StreamReceiver:
    """One stream, from the bot's messages to the entries of its log.

    `can_resend` says whether the bot speaks protocol 2: then it is asked for what is
    missing; a legacy bot cannot resend, so its gaps wait for a summary.
    """

    __slots__ = ("_state",)

    def __init__(self, limits: Limits, *, opened_at: float, can_resend: bool) -> None:
        self._state = StreamState(limits, opened_at=opened_at, can_resend=can_resend)

    @classmethod
    def restore(
        cls,
        limits: Limits,
        entries: Iterable[Entry],
        held: Iterable[HeldChunk],
        *,
        opened_at: float,
        can_resend: bool,
        facts: Facts = NOTHING,
    ) -> StreamReceiver:
        """Rebuild a receiver from its log. Its deadlines are those that it had before."""
        receiver = cls(limits, opened_at=opened_at, can_resend=can_resend)
        receiver._state.replay(entries, held)
        recall(receiver._state, facts)
        return receiver

    # --- what others may know -----------------------------------------------------------

    @property
    def status(self) -> Status:
        """How far the stream has come."""
        return self._state.status

    @property
    def finished(self) -> bool:
        """Whether the `end` entry was written."""
        return self._state.outcome is not None

    @property
    def next_offset(self) -> int:
        """The offset of the next entry."""
        return self._state.writer.next_offset

    @property
    def next_sequence(self) -> int:
        """Every sequence below is stored or given up."""
        return self._state.sequencer.next

    @property
    def received(self) -> Ranges:
        """The early sequences that are stored, as inclusive ranges."""
        return self._state.sequencer.early

    @property
    def held_count(self) -> int:
        """How many early chunks wait for the missing ones before them."""
        return self._state.sequencer.held_count

    @property
    def received_count(self) -> int:
        """How many chunks are here: released, or held."""
        return len(self._state.sequencer.accepted)

    @property
    def missing_count(self) -> int:
        """How many sequences are not here, of all that were sent as far as is known by now."""
        return self._state.sent - self.received_count

    @property
    def size_bytes(self) -> int:
        """The size of all chunks that were accepted, in bytes of memory."""
        return self._state.size_bytes

    @property
    def credit(self) -> int:
        """How many sequences from `next_sequence` on the bot may send."""
        return window.grant(self._state.limits.credit, self._state.sequencer.held_count)

    @property
    def bot_is_lost(self) -> bool:
        """Whether the bot has no connection, as far as was told."""
        return self._state.lost_at is not None

    @property
    def has_news(self) -> bool:
        """Whether chunks have changed the facts since they were asked for last."""
        return self._state.news

    @property
    def facts(self) -> Facts:
        """What the log does not say, to be kept beside it."""
        self._state.news = False
        return facts_of(self._state)

    def report(self) -> LossReport:
        """Return how the stream went. Only to be asked once it is finished."""
        return self._state.report()

    # --- the three calls ----------------------------------------------------------------

    def receive(self, message: Message, now: float) -> list[Effect]:
        """Take one message; returns the effects, to be performed in this order."""
        state = self._state
        state.in_order = False
        match message:
            case Chunk():
                return self._chunk(message, now)
            case End():
                return self._end(message, now)
            case Summary():
                return self._summary(message, now)
            case Abort():
                return self._stop(Outcome.FAILED, message.error, now, message.shown)
            case Stop():
                if message.part is not None:
                    state.writer.part_with(message.part)
                return self._stop(message.outcome, message.detail, now, message.shown)
            case BotLost():
                state.lose_bot(now + message.wait_s)
                return []
            case BotBack():
                state.find_bot(now, can_resend=message.can_resend)
                return []
            case Overlapped():
                return self._overlap(now)
            case _:
                assert_never(message)

    def receive_next(self, chunks: Sequence[Chunk], now: float) -> list[Entry] | None:
        """See `take_in_order`: what to append, or None, and then they go through `receive`."""
        return take_in_order(self._state, chunks, now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` has something to do; None once the stream is finished."""
        return self._state.next_deadline()

    def handle_timer(self, now: float) -> list[Effect]:
        """Do what is due at `now`; calling it early does nothing."""
        state, limits = self._state, self._state.limits
        if self.finished:
            return []
        state.in_order = False
        if now >= state.opened_at + limits.stream_max_s:
            return self._stop(Outcome.CANCELLED, "the stream reached its greatest age", now)
        if state.barrier.ended_at is not None:
            return self._conclude(now) if now >= state.barrier_deadline else self._remind(now)
        if state.lost_at is not None and now >= state.lost_at + limits.bot_grace_s:
            return self._stop(Outcome.BOT_GONE, "the bot did not reconnect in time", now)
        if now >= state.idle_deadline:
            return self._stop(Outcome.IDLE, "no chunk for the idle limit", now)
        if (gap_at := state.gap_deadline) is not None and now >= gap_at:
            return self._append(self._give_up(ELLIPSIS, now))
        return self._remind(now)

    # --- chunks -------------------------------------------------------------------------

    def _chunk(self, message: Chunk, now: float) -> list[Effect]:
        state, sent = self._state, message.sequence
        if sent is None and not state.by_arrival:
            state.number_by_arrival()
        if sent is None or state.by_arrival:
            sequence, is_over = state.sequencer.next, state.ended
        else:
            sequence, is_over = sent, state.ended and state.is_beyond_end(sent)
        if is_over:
            return self._refuse(RefusalCode.AFTER_END, "the stream has ended", sent)
        chunk = HeldChunk(sequence, message.content, now, message.part)
        if not state.has_room(chunk):
            return self._refuse(
                RefusalCode.STREAM_FULL, "the answer is too long for one stream; end it", sent
            )
        if self.finished and sequence >= state.total:
            # n was only guessed, and the guess was too low: one more that came too late.
            state.extend(sequence + 1)
        return self._offer(chunk, sent, now)

    def _offer(self, chunk: HeldChunk, sent: int | None, now: float) -> list[Effect]:
        state = self._state
        verdict, released = state.sequencer.offer(chunk)
        match verdict:
            case Verdict.READY:
                state.arrived(chunk)
                return self._release(released, sent, now)
            case Verdict.HELD:
                state.arrived(chunk)
                return self._taken(Hold(chunk), sent, now)
            case Verdict.DUPLICATE:
                state.repeated()
                return [Ack(sent)]
            case Verdict.LATE:
                state.came_late(chunk)
                return [Ack(sent), *self._amend()]
            case Verdict.HOLD_FULL if not state.can_resend:
                return self._flush(chunk, sent, now)
            case Verdict.CONFLICT | Verdict.OUT_OF_WINDOW | Verdict.HOLD_FULL:
                return self._refuse(*REFUSALS[verdict], sent)
            case _:
                assert_never(verdict)

    def _flush(self, chunk: HeldChunk, sent: int | None, now: float) -> list[Effect]:
        """A legacy bot cannot send it again: what is held is shown, with the chunk in its place."""
        self._state.sequencer.hold(chunk)
        self._state.arrived(chunk)
        entries = self._give_up(ELLIPSIS, now)
        return self._taken(Append(tuple(entries)), sent, now)

    def _release(self, chunks: list[HeldChunk], sent: int | None, now: float) -> list[Effect]:
        entries = [self._state.writer.chunk(chunk) for chunk in chunks]
        if self._state.whole_and_known:
            end = self._end_entry(self._state.plain_outcome, now)
            return [Append((*entries, end)), Ack(sent), self._finish()]
        return self._taken(Append(tuple(entries)), sent, now)

    def _taken(self, chunk: Append | Hold, sent: int | None, now: float) -> list[Effect]:
        """Acknowledge a chunk; close if the end can be reached, or ask for what is missing now.

        The ACK stands behind all that is written: it tells how much is stored by then.
        """
        closing = self._reassess(now)
        return [chunk, *closing[:1], Ack(sent), *(closing[1:] or self._ask(now))]

    def _overlap(self, now: float) -> list[Effect]:
        state = self._state
        if self.finished or state.overlapped:
            return []
        state.overlapped = state.by_arrival = True
        state.summary = None
        state.barrier.summarised = state.barrier.claimed = None
        # One connection is first-in first-out: what is missing by now was never sent.
        entries = self._give_up("", now)
        if state.barrier.ended_at is not None:
            return self._close(entries, state.plain_outcome, now)
        return self._append(entries)

    # --- the end ------------------------------------------------------------------------

    def _end(self, message: End, now: float) -> list[Effect]:
        state, barrier = self._state, self._state.barrier
        if self.finished:
            return []
        if barrier.ended_at is None:
            barrier.ended_at = now
            state.status = max(state.status, Status.ENDING)
        elif barrier.stated is not None or message.total_chunks is None:
            return []
        barrier.stated = message.total_chunks
        barrier.content_hash = message.content_hash
        if state.whole_and_known or (state.overlapped and state.whole):
            return self._close((), state.plain_outcome, now)
        if repaired := self._repair(now):
            return repaired
        ending = state.writer.ending(barrier.ended_at, barrier.stated)
        return [Append((ending,)), *self._ask(now)]

    def _summary(self, message: Summary, now: float) -> list[Effect]:
        state = self._state
        if state.overlapped:
            state.disagreement = Disagreement.OVERLAP
            return []
        if message == state.summary:
            return []
        state.summary = message
        seen = state.sequencer.accepted.highest + 1
        if state.believes(message):
            state.barrier.summarised = message.total_chunks
        elif message.total_chunks <= seen + state.limits.window:
            state.barrier.claimed = message.total_chunks
        if not self.finished:
            return self._reassess(now)
        state.note_disagreement()
        state.extend(state.count)
        return self._amend()

    def _reassess(self, now: float) -> list[Effect]:
        """Something new is known: where the end has come, it may be possible to close."""
        if self._state.barrier.ended_at is None:
            return []
        if self._state.whole_and_known:
            return self._close((), self._state.plain_outcome, now)
        return self._repair(now)

    def _repair(self, now: float) -> list[Effect]:
        """Repair at once from a true summary, unless the bot can still send the chunks."""
        if self._state.can_be_asked:
            return []
        verdict = self._state.judge()
        return self._close_repaired(verdict, now) if isinstance(verdict, Repair) else []

    def _conclude(self, now: float) -> list[Effect]:
        """The barrier's deadline has passed: the last chance of a repair, then the plain end."""
        verdict = self._state.judge()
        if isinstance(verdict, Repair):
            return self._close_repaired(verdict, now)
        self._state.note_disagreement()
        return self._close(self._give_up("", now), self._state.plain_outcome, now)

    def _stop(self, outcome: Outcome, detail: str, now: float, shown: str = "") -> list[Effect]:
        if self.finished:
            return []
        self._state.detail = detail
        self._state.note_disagreement()
        return self._close(self._give_up("", now), outcome, now, shown)

    def _close_repaired(self, repair: Repair, now: float) -> list[Effect]:
        """The repair and the end that it justifies are one append: torn, they repeat text."""
        state = self._state
        entries: list[Entry] = []
        for piece in repair.pieces:
            if piece.chunk is not None:
                entries.append(state.writer.chunk(piece.chunk))
            else:
                state.tally.repaired = True
                entries.append(state.writer.repair(piece.text, now))
        state.sequencer.give_up()
        outcome = Outcome.REPAIRED if state.tally.repaired else Outcome.COMPLETED
        return self._close(entries, outcome, now)

    def _close(
        self, entries: Sequence[Entry], outcome: Outcome, now: float, shown: str = ""
    ) -> list[Effect]:
        return [Append((*entries, self._end_entry(outcome, now, shown))), self._finish()]

    def _end_entry(self, outcome: Outcome, now: float, shown: str = "") -> Entry:
        state = self._state
        state.note_disagreement()
        state.finish(outcome, state.count)
        return state.writer.end(now, state.total, outcome, shown)

    def _finish(self) -> Finish:
        self._state.retransmission.stop()
        return Finish(self.report())

    def _amend(self) -> list[Effect]:
        return [Amend(self.report())] if self.finished else []

    def _give_up(self, mark: str, now: float) -> list[Entry]:
        return self._state.writer.given_up(self._state.sequencer.give_up(), mark, now)

    def _ask(self, now: float) -> list[Effect]:
        return [*self._state.ask(now)]

    def _remind(self, now: float) -> list[Effect]:
        due_at = self._state.retransmission.due_at
        return self._ask(now) if due_at is not None and now >= due_at else []

    def _refuse(self, code: RefusalCode, message: str, sequence: int | None) -> list[Effect]:
        is_news = self._state.refused(code, sequence)
        return [Refuse(code, sequence, message), *(self._amend() if is_news else [])]

    def _append(self, entries: list[Entry]) -> list[Effect]:
        return [Append(tuple(entries))] if entries else []
