"""What is known about a stream, and what a takeover reads of it from the log."""

from __future__ import annotations

import pytest

from relay.protocol.compensation import Repair
from relay.protocol.events import (
    Abort,
    Ack,
    Chunk,
    End,
    Entry,
    EntryKind,
    HeldChunk,
    Message,
    Part,
    PartKind,
    RefusalCode,
)
from relay.protocol.limits import CHUNK_COST_BYTES, Limits
from relay.protocol.report import Disagreement
from relay.protocol.sequencer import Verdict
from relay.protocol.state import StreamState
from relay.protocol.status import Outcome, Status
from tests.support.core import Performer, end_of, send, summary_of

TEXTS = ("one ", "tw\ud83e", "\udd9eo🎉", "", "five")
PHOTO = Part(PartKind.TOOL_CALL, '{"command":"take_photo"}')
LIMITS = Limits(barrier_s=2.0, gap_s=8.0, idle_s=60.0, stream_max_s=3600.0)


def make(*entries: Entry, held: tuple[HeldChunk, ...] = ()) -> StreamState:
    """A state that has read this log; its stream was opened at 1.0."""
    state = StreamState(LIMITS, opened_at=1.0, can_resend=False)
    state.replay(entries, held)
    return state


def chunk(sequence: int, at: float, content: str = "x") -> Entry:
    """A chunk's entry, one offset per sequence."""
    return Entry(sequence + 1, EntryKind.CHUNK, at, content, sequence)


class TestReplay:
    def test_an_empty_log_is_a_stream_that_waits_for_its_first_chunk(self) -> None:
        """Pending, and idle from the request on."""
        state = make()
        assert (state.status, state.ended, state.count) == (Status.PENDING, False, 0)
        assert state.next_deadline() == 61.0

    def test_chunks_are_known_again(self) -> None:
        """With their times and contents; the log goes on behind them."""
        state = make(chunk(0, 2.0), chunk(1, 3.0), held=(HeldChunk(4, "e", 5.0),))
        assert state.status is Status.ACTIVE
        assert state.sequencer.next == 2
        assert state.sequencer.held_count == 1
        assert state.writer.next_offset == 3
        assert state.next_deadline() == 13.0
        assert [a.sequence for a in state.tally.arrivals] == [0, 1, 4]
        assert state.size_bytes == 3 * (CHUNK_COST_BYTES + 1)

    def test_parts_are_known_again(self) -> None:
        """By what they are and by what they cost."""
        entry = Entry(1, EntryKind.CHUNK, 2.0, "", 0, part=PHOTO)
        state = make(entry, held=(HeldChunk(2, "", 3.0, PHOTO),))
        for sequence in (0, 2):
            again = HeldChunk(sequence, "", 4.0, PHOTO)
            assert state.sequencer.offer(again)[0] is Verdict.DUPLICATE
        assert state.size_bytes == 2 * (CHUNK_COST_BYTES + len(PHOTO.body))

    def test_a_held_chunk_that_is_in_the_log_already_counts_once(self) -> None:
        """The hold may be cleared later than the log is written."""
        state = make(chunk(0, 2.0), chunk(1, 3.0), held=(HeldChunk(1, "x", 1.5),))
        assert state.sequencer.held_count == 0
        assert len(state.tally.arrivals) == 2

    def test_held_chunks_may_come_in_any_order(self) -> None:
        """A hash has none."""
        state = make(held=(HeldChunk(4, "e", 5.0), HeldChunk(2, "c", 6.0)))
        assert [run.gap for run in state.sequencer.runs()] == [(0, 1), (3, 3)]

    def test_a_held_end_keeps_its_time_and_its_n(self) -> None:
        """So a takeover does not postpone it."""
        state = make(chunk(0, 2.0), Entry(2, EntryKind.ENDING, 3.0, total_chunks=9))
        assert (state.status, state.count, state.ended) == (Status.ENDING, 9, True)
        assert state.next_deadline() == 5.0

    def test_a_gap_that_was_given_up_is_missing(self) -> None:
        """And nothing can be repaired behind it."""
        state = make(chunk(0, 2.0), Entry(2, EntryKind.GAP, 10.0, "…", 1), chunk(3, 2.5))
        assert state.sequencer.accepted.missing(4) == ((1, 2),)
        assert state.plain_outcome is Outcome.INCOMPLETE
        state.summary = summary_of(["x", "y", "z", "x"])
        assert state.judge() is None

    def test_a_finished_log_is_a_finished_stream(self) -> None:
        """No timer, and the report that its entries can give."""
        state = make(
            chunk(0, 2.0),
            Entry(2, EntryKind.ENDING, 3.0),
            Entry(3, EntryKind.REPAIR, 3.1, "yz"),
            Entry(4, EntryKind.END, 3.1, total_chunks=3, outcome=Outcome.REPAIRED),
        )
        report = state.report()
        assert state.next_deadline() is None
        assert (report.outcome, report.status) == (Outcome.REPAIRED, Status.ANOMALY)
        assert (report.missing, report.total_chunks, report.ended_at) == (((1, 2),), 3, 3.0)

    @pytest.mark.parametrize(
        ("outcome", "ended_at"),
        [
            (Outcome.COMPLETED, 3.0),
            (Outcome.REPAIRED, 3.0),
            (Outcome.INCOMPLETE, 3.0),
            (Outcome.FAILED, None),
            (Outcome.IDLE, None),
            (Outcome.BOT_GONE, None),
        ],
    )
    def test_an_end_that_was_not_held_came_when_it_was_written(
        self, outcome: Outcome, ended_at: float | None
    ) -> None:
        """Where the bot ended the stream; else there was none."""
        state = make(chunk(0, 2.0), Entry(2, EntryKind.END, 3.0, total_chunks=1, outcome=outcome))
        assert state.report().ended_at == ended_at
        assert state.report().total_known is (ended_at is not None)


class TestQuestions:
    def test_what_is_whole_may_still_be_a_guess(self) -> None:
        """Only a known n closes at once."""
        state = make(chunk(0, 2.0), Entry(2, EntryKind.ENDING, 3.0))
        assert (state.whole, state.whole_and_known) == (True, False)
        state.barrier.summarised = 1
        assert (state.whole, state.whole_and_known) == (True, True)
        state.barrier.summarised = 2
        assert (state.whole, state.whole_and_known) == (False, False)

    def test_the_next_deadline_is_the_earliest(self) -> None:
        """Of grace, idle, gap, reminder and age."""
        state = make(chunk(0, 2.0))
        seen = [state.next_deadline()]
        state.lost_at = 10.0
        seen.append(state.next_deadline())
        state.sequencer.offer(HeldChunk(2, "c", 4.0))
        seen.append(state.next_deadline())
        state.retransmission.due_at = 5.0
        seen.append(state.next_deadline())
        assert seen == [62.0, 18.0, 12.0, 5.0]
        state.opened_at = -3600.0
        assert state.next_deadline() == 0.0

    def test_a_bot_can_be_asked_while_it_is_there_and_can_resend(self) -> None:
        """Else nobody answers."""
        state = StreamState(LIMITS, opened_at=1.0, can_resend=True)
        asked = [state.can_be_asked]
        state.lost_at = 2.0
        asked += [state.can_be_asked, make().can_be_asked]
        assert asked == [True, False, False]

    def test_a_sequence_beyond_n_cannot_belong_to_the_stream(self) -> None:
        """Where n is known exactly; where it was guessed, only far behind the end."""
        state = make(chunk(0, 2.0))
        assert not state.is_beyond_end(10**6)
        state.barrier.summarised = 3
        assert [state.is_beyond_end(s) for s in (2, 3)] == [False, True]
        state.barrier.summarised = None
        state.finish(Outcome.COMPLETED, 1)
        assert [state.is_beyond_end(s) for s in (1025, 1026)] == [False, True]

    def test_the_tail_can_be_asked_for_once_the_end_has_come(self) -> None:
        """Before, nobody knows whether it was sent; and never more than a window."""
        state = make(chunk(0, 2.0), held=(HeldChunk(3, "d", 3.0),))
        state.barrier.summarised = 9
        gaps = [state.gaps]
        state.barrier.ended_at = 4.0
        gaps.append(state.gaps)
        state.barrier.stated = 10**6
        gaps.append(state.gaps)
        assert gaps == [((1, 2),), ((1, 2), (4, 8)), ((1, 2), (4, LIMITS.window))]

    def test_room_is_for_what_is_new(self) -> None:
        """A chunk that is here already costs nothing more."""
        state = make(chunk(0, 2.0))
        state.size_bytes = LIMITS.stream_bytes_max - CHUNK_COST_BYTES
        assert state.has_room(HeldChunk(1, "", 3.0))
        assert not state.has_room(HeldChunk(1, "x", 3.0))
        assert state.has_room(HeldChunk(0, "x", 3.0))

    def test_what_a_summary_says_is_compared_with_what_arrived(self) -> None:
        """A disagreement is noted, a later agreement takes it back."""
        state = make(chunk(0, 2.0))
        assert state.judge() is None
        state.summary = summary_of(["y"])
        state.note_disagreement()
        assert state.disagreement is Disagreement.PREFIX
        state.summary = summary_of(["x", "y"])
        assert isinstance(state.judge(), Repair)
        state.note_disagreement()
        assert state.disagreement is None

    def test_a_finished_stream_may_grow_and_never_shrinks(self) -> None:
        """What is beyond comes too late, and makes it an anomaly."""
        state = make(chunk(0, 2.0))
        state.finish(Outcome.COMPLETED, 1)
        assert state.status is Status.COMPLETED
        state.extend(3)
        state.extend(2)
        assert (state.total, state.status) == (3, Status.ANOMALY)
        assert state.report().missing == ((1, 2),)


class TestTakeover:
    SCRIPT: tuple[tuple[float, Message | None], ...] = (
        (1.0, Chunk(TEXTS[0], 0)),
        (1.1, Chunk(TEXTS[2], 2)),
        (1.2, Chunk(TEXTS[4], 4)),
        (1.3, Chunk(TEXTS[1], 1)),
        (1.4, Chunk(TEXTS[1], 1)),
        (2.0, End()),
        (2.0, End(5)),
        (2.5, None),
        (3.0, Chunk(TEXTS[3], 3)),
        (3.1, Chunk(TEXTS[3], 3)),
        (3.2, Chunk("late", 5)),
    )

    @pytest.mark.parametrize("can_resend", [False, True])
    @pytest.mark.parametrize("cut", range(len(SCRIPT)))
    def test_a_takeover_at_any_moment_changes_nothing(self, cut: int, can_resend: bool) -> None:
        """The same entries and the same answers as without it, resent chunks included."""
        calm, disturbed = Performer(can_resend=can_resend), Performer(can_resend=can_resend)
        for performer in (calm, disturbed):
            for place, (at, message) in enumerate(self.SCRIPT):
                if performer is disturbed and place == cut:
                    performer.take_over()
                if message is None:
                    performer.advance(at)
                else:
                    performer.receive(message, at)
        assert disturbed.log == calm.log
        assert disturbed.acked == calm.acked
        assert disturbed.refusals == calm.refusals
        assert disturbed.text == "one tw🦞o🎉five"

    @pytest.mark.parametrize(
        ("messages", "deadline"),
        [
            ([], 60.0),
            ([Chunk("a", 0)], 61.0),
            ([Chunk("a", 0), Chunk("c", 2)], 9.0),
            ([Chunk("a", 0), End()], 1.15),
            ([Chunk("a", 0), End(2)], 3.0),
            ([Chunk("a", 0), Chunk("c", 2), End()], 3.0),
        ],
    )
    def test_a_takeover_does_not_move_a_deadline(
        self, messages: list[Message], deadline: float
    ) -> None:
        """Else failovers postpone an end for ever."""
        performer = Performer()
        for message in messages:
            performer.receive(message, 1.0)
        assert performer.receiver.next_deadline() == pytest.approx(deadline)
        performer.take_over()
        assert performer.receiver.next_deadline() == pytest.approx(deadline)

    def test_a_true_summary_repairs_behind_a_takeover(self) -> None:
        """The prefix that the log gives back is compared with it, cut emoji and all."""
        performer = Performer()
        send(performer, TEXTS, [0, 1, 2])
        performer.receive(End(), 2.0)
        performer.take_over()
        performer.receive(summary_of(["one tw🦞o🎉", "", "", "", "five"]), 2.1)
        assert performer.text == "one tw🦞o🎉five"
        assert performer.report.outcome is Outcome.REPAIRED

    def test_a_finished_stream_is_finished_behind_a_takeover(self) -> None:
        """It acknowledges what it has, refuses what it cannot have, and writes nothing."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, range(5))
        performer.receive(end_of(TEXTS), 2.0)
        before = list(performer.log)
        performer.take_over()
        assert performer.receiver.finished
        assert performer.receive(Chunk(TEXTS[2], 2), 3.0) == [Ack(2)]
        performer.receive(Chunk("x", 5), 3.0)
        assert performer.refusals[-1].code is RefusalCode.AFTER_END
        assert performer.receive(End(5), 3.0) == []
        assert performer.receive(Abort("late"), 3.0) == []
        assert performer.log == before
        report = performer.receiver.report()
        assert (report.status, report.ended_at) == (Status.COMPLETED, 2.0)
