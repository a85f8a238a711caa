"""What is known about one stream, and what follows from it.

`StreamState` holds the parts and answers questions; only `StreamReceiver` changes it. It can
be rebuilt from the log, because every deadline follows from times that the log keeps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from relay.protocol.barrier import EndBarrier
from relay.protocol.compensation import Repair, assess
from relay.protocol.entries import EntryWriter
from relay.protocol.events import Entry, EntryKind, HeldChunk, Nack, RefusalCode, Summary
from relay.protocol.forensics import Tally
from relay.protocol.limits import Limits
from relay.protocol.rangeset import Ranges, merge, within
from relay.protocol.report import Arrival, Disagreement, LossReport
from relay.protocol.retransmit import Retransmission
from relay.protocol.sequencer import Sequencer, Verdict, cost_bytes
from relay.protocol.status import Outcome, Status
from relay.protocol.surrogates import code_units
from relay.protocol.texthash import content_hash

WITHHELD_MAX = 1024
"""How many refused chunks are told apart; more make no difference to an anomaly."""

_BY_THE_BOT = frozenset({Outcome.COMPLETED, Outcome.REPAIRED, Outcome.INCOMPLETE})
"""The outcomes of a stream whose `stream_end` came."""


class StreamState:
    """One stream: its chunks, its end, its summary, its connection."""

    __slots__ = (
        *("back_at", "barrier", "broken", "by_arrival", "can_resend", "detail"),
        *("disagreement", "in_order", "last_chunk_at", "limits", "lost_at", "news", "opened_at"),
        *("outcome", "overlapped", "retransmission", "sequencer", "size_bytes", "status"),
        *("summary", "tally", "total", "writer"),
    )

    def __init__(self, limits: Limits, *, opened_at: float, can_resend: bool) -> None:
        self.limits = limits
        self.opened_at = opened_at
        self.can_resend = can_resend
        self.status = Status.PENDING
        self.outcome: Outcome | None = None
        self.detail = ""
        self.sequencer = Sequencer(window=limits.window, held_bytes_max=limits.held_bytes_max)
        self.writer = EntryWriter()
        self.barrier = EndBarrier()
        self.retransmission = Retransmission(limits.nack_s)
        self.tally = Tally()
        self.summary: Summary | None = None
        self.disagreement: Disagreement | None = None
        self.by_arrival = False
        self.overlapped = False
        self.broken = False
        self.lost_at: float | None = None
        self.back_at = opened_at
        """When a connection last took up the stream: a sign of life, as a chunk is."""
        self.last_chunk_at: float | None = None
        self.size_bytes = 0
        self.total = 0
        """n, once the stream is finished."""
        self.news = False
        """Whether chunks have changed something that no entry says."""
        self.in_order = False
        """Whether all that happened last were chunks in their order, taken by `take_in_order`."""

    # --- rebuilt from the log -----------------------------------------------------------

    def replay(self, entries: Iterable[Entry], held: Iterable[HeldChunk]) -> None:
        """Become what the log says."""
        for entry in entries:
            self._replay(entry)
        for chunk in sorted(held, key=lambda chunk: chunk.sequence):
            if self.sequencer.offer(chunk)[0] is Verdict.HELD:
                self.arrived(chunk)

    def _replay(self, entry: Entry) -> None:
        raw = self.writer.replay(entry)
        match entry.kind:
            case EntryKind.CHUNK:
                assert entry.sequence is not None
                self.sequencer.skip_to(entry.sequence)
                chunk = HeldChunk(entry.sequence, raw, entry.at, entry.part)
                self.sequencer.offer(chunk)
                self.arrived(chunk)
            case EntryKind.ENDING:
                self.barrier.ended_at = entry.at
                self.barrier.stated = entry.total_chunks
                self.status = Status.ENDING
            case EntryKind.END:
                assert entry.outcome is not None
                assert entry.total_chunks is not None
                if self.barrier.ended_at is None and entry.outcome in _BY_THE_BOT:
                    # The end was not held, so it came just then and its n was known.
                    self.barrier.ended_at = entry.at
                    self.barrier.summarised = entry.total_chunks
                self.finish(entry.outcome, entry.total_chunks)
            case EntryKind.REPAIR:
                self.tally.repaired = True
            case EntryKind.GAP:
                pass
            case _:
                assert_never(entry.kind)

    # --- what follows -------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether `stream_end` has come or the stream is finished."""
        return self.barrier.ended_at is not None or self.outcome is not None

    @property
    def count(self) -> int:
        """N, as far as it is known or guessed."""
        return self.barrier.total(self.sequencer.accepted.highest)

    @property
    def sent(self) -> int:
        """How many chunks the bot sent at least: the tail is known only once the end came."""
        return self.count if self.ended else self.sequencer.accepted.highest + 1

    @property
    def whole(self) -> bool:
        """Whether everything below n is in the log, or was given up and cannot come any more."""
        return self.sequencer.next >= self.count

    @property
    def whole_and_known(self) -> bool:
        """Whether the end has come, n is more than a guess, and nothing is to be waited for."""
        ended = self.barrier.ended_at is not None
        return ended and self.barrier.known is not None and self.whole

    @property
    def plain_outcome(self) -> Outcome:
        """How the stream ends without a repair."""
        missing = self.sequencer.accepted.missing(self.count)
        return Outcome.INCOMPLETE if missing else Outcome.COMPLETED

    @property
    def gaps(self) -> Ranges:
        """What is to be asked for, within a window."""
        if not self.sequencer.held_count and not self.ended:
            return ()  # the usual chunk, in its order
        start = self.sequencer.next
        return self.sequencer.accepted.missing(min(self.sent, start + self.limits.window), start)

    @property
    def can_be_asked(self) -> bool:
        """Whether the bot is there and can send a chunk again."""
        return self.can_resend and self.lost_at is None

    @property
    def idle_deadline(self) -> float:
        """When the silence is too long."""
        return max(self.last_chunk_at or 0.0, self.back_at) + self.limits.idle_s

    @property
    def gap_deadline(self) -> float | None:
        """When what is missing in the middle is given up; None where nothing is.

        Not sooner after the bot's return than after the gap's beginning: it may fill it now.
        """
        since = self.sequencer.gap_since
        return None if since is None else max(since, self.back_at) + self.limits.gap_s

    @property
    def barrier_deadline(self) -> float:
        """When the hold of the end is over. Only to be asked once the end has come."""
        return self.barrier.deadline(
            self.limits, whole=self.whole, broken=self.broken, last_chunk_at=self.last_chunk_at
        )

    def next_deadline(self) -> float | None:
        """When the next timer is due; None once the stream is finished."""
        if self.outcome is not None:
            return None
        deadlines = [self.opened_at + self.limits.stream_max_s]
        if self.barrier.ended_at is not None:
            deadlines.append(self.barrier_deadline)
        else:
            deadlines.append(self.idle_deadline)
            if self.lost_at is not None:
                deadlines.append(self.lost_at + self.limits.bot_grace_s)
            if (gap_deadline := self.gap_deadline) is not None:
                deadlines.append(gap_deadline)
        if self.retransmission.due_at is not None:
            deadlines.append(self.retransmission.due_at)
        return min(deadlines)

    def has_room(self, chunk: HeldChunk) -> bool:
        """Whether the stream may grow by this chunk; one that it has already costs nothing."""
        grown = self.size_bytes + cost_bytes(chunk)
        return grown <= self.limits.stream_bytes_max or self.sequencer.has(chunk.sequence)

    def is_beyond_end(self, sequence: int) -> bool:
        """Whether the sequence cannot belong to this stream, whose end has come."""
        if self.barrier.known is not None:
            return sequence >= self.barrier.known
        return self.outcome is not None and sequence > self.total + self.limits.window

    def judge(self) -> Repair | Disagreement | None:
        """Judge the summary; None where there is none, or nothing to compare it with.

        Once something was given up or repaired, what the device has is no prefix any more.
        """
        if self.summary is None or not self.writer.intact:
            return None
        return assess(
            self.summary,
            prefix=self.sequencer.contents(),
            runs=self.sequencer.runs(),
            stated_total=self.barrier.stated,
        )

    def believes(self, summary: Summary) -> bool:
        """Whether the summary's count can be taken for n: everything that is known agrees."""
        if not self.writer.intact:
            sound = content_hash(summary.total_content) == summary.content_hash
            return sound and summary.total_chunks > self.sequencer.accepted.highest
        return isinstance(self.judge(), Repair)

    @property
    def asked(self) -> Ranges:
        """What the bot was asked to send again and has not sent, as inclusive ranges."""
        asked = merge(self.tally.asked, self.retransmission.asked.ranges())
        if not asked:
            return ()
        accepted = self.sequencer.accepted
        return tuple(
            gap for first, last in asked for gap in accepted.missing(last + 1, start=first)
        )

    @property
    def late(self) -> Ranges:
        """The sequences that came after their place was given up, as inclusive ranges."""
        return merge(self.tally.late, self.sequencer.late.ranges())

    # --- what is taken note of ----------------------------------------------------------

    def lose_bot(self, now: float) -> None:
        """The connection that carries the stream broke."""
        self.broken = True
        self.lost_at = now if self.lost_at is None else self.lost_at
        self.retransmission.stop()

    def find_bot(self, now: float, *, can_resend: bool) -> None:
        """A connection carries the stream again."""
        self.can_resend = can_resend
        self.lost_at = None
        self.back_at = now
        self.retransmission.restart(now, can_ask=can_resend and bool(self.gaps))

    def ask(self, now: float) -> list[Nack]:
        """Ask for what is missing, where the bot is there and can send it again."""
        if not self.can_be_asked:
            return []
        asked = self.retransmission.ask(self.gaps, now)
        self.news = self.news or bool(asked)
        return asked

    def number_by_arrival(self) -> None:
        """The bot gives no numbers, or none that could be trusted."""
        self.by_arrival = self.news = True

    def repeated(self) -> None:
        """A chunk has come again."""
        self.tally.duplicates += 1
        self.news = True

    def came_late(self, chunk: HeldChunk) -> None:
        """A chunk has come whose place was given up: it takes of the stream's room all the same."""
        self.charge(chunk)
        if within(chunk.sequence, self.tally.late):
            self.tally.duplicates += 1
        self.news = True

    def arrived(self, chunk: HeldChunk) -> None:
        """A chunk was accepted for the first time."""
        self.charge(chunk)
        self.last_chunk_at = max(self.last_chunk_at or chunk.at, chunk.at)
        self.tally.arrivals.append(Arrival(chunk.sequence, chunk.at, len(chunk.content)))
        self.status = max(self.status, Status.ACTIVE)
        self.tally.withheld.discard(chunk.sequence)
        before = self.tally.asked
        if chunk.sequence in self.retransmission.asked or (
            before and within(chunk.sequence, before)
        ):
            self.tally.retransmitted = self.news = True

    def refused(self, code: RefusalCode, sequence: int | None) -> bool:
        """A chunk was refused. Returns whether that makes a difference to how the stream went.

        It makes none where the bot contradicts itself: the first chunk of a number stands,
        and behind the n that it stated there is nothing.
        """
        self.tally.refused += 1
        self.news = True
        withheld = self.tally.withheld
        if code is RefusalCode.CONFLICT or (
            code is RefusalCode.AFTER_END and self.barrier.known is not None
        ):
            return False
        if sequence in withheld or len(withheld) >= WITHHELD_MAX:
            return False
        withheld.add(sequence)
        if self.outcome is not None:
            self.climb()
        return True

    def charge(self, chunk: HeldChunk) -> None:
        """A chunk is kept, if only to know it again."""
        self.size_bytes += cost_bytes(chunk)

    def note_disagreement(self) -> None:
        """Record what about the summary is not true, while it can still be compared."""
        verdict = self.judge()
        if verdict is not None:
            self.disagreement = verdict if isinstance(verdict, Disagreement) else None
        elif self.summary is None and self._contradicts_end():
            self.disagreement = Disagreement.HASH

    def _contradicts_end(self) -> bool:
        """Whether the end stated a hash, and all its chunks together have another one."""
        stated = self.barrier.content_hash
        if stated is None or not self.writer.intact or not self.whole_and_known:
            return False
        return content_hash("".join(map(code_units, self.sequencer.contents()))) != stated

    def finish(self, outcome: Outcome, total: int) -> None:
        """The stream is over; whatever is below `total` and not here has come too late."""
        self.outcome = outcome
        self.extend(total)

    def extend(self, total: int) -> None:
        """N of a finished stream turns out to be at least `total`."""
        self.total = max(self.total, total)
        self.sequencer.skip_to(self.total)
        self.climb()

    def climb(self) -> None:
        """The status of a stream that is over: a failure dominates, and nothing undoes it."""
        whole = not self.sequencer.accepted.missing(self.total)
        agreed = self.disagreement is None and not self.tally.withheld
        good = self.outcome in (Outcome.COMPLETED, Outcome.BOUND) and whole and agreed
        self.status = max(self.status, Status.COMPLETED if good else Status.ANOMALY)

    def report(self) -> LossReport:
        """Return how the stream went. Only to be asked once it is finished."""
        assert self.outcome is not None
        missing = self.sequencer.accepted.missing(self.total)
        return LossReport(
            status=self.status,
            outcome=self.outcome,
            detail=self.detail,
            total_chunks=self.total,
            total_known=self.barrier.known is not None,
            received=len(self.sequencer.accepted),
            missing=missing,
            late=self.late,
            duplicates=self.tally.duplicates,
            refused=self.tally.refused,
            withheld=len(self.tally.withheld),
            repaired_by=self.tally.repaired_by(whole=not missing),
            disagreement=self.disagreement,
            numbered_by_arrival=self.by_arrival,
            overlapped=self.overlapped,
            opened_at=self.opened_at,
            ended_at=self.barrier.ended_at,
            arrivals=tuple(self.tally.arrivals),
        )
