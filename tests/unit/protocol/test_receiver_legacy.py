"""Legacy bots: no numbers, numbers of another stream, and nobody who can send again."""

from __future__ import annotations

import pytest

from relay.protocol.events import (
    Ack,
    Append,
    BotLost,
    Chunk,
    End,
    EntryKind,
    Overlapped,
    RefusalCode,
)
from relay.protocol.limits import CHUNK_COST_BYTES, Limits
from relay.protocol.receiver import ELLIPSIS
from relay.protocol.report import Disagreement
from relay.protocol.status import Outcome, Status
from tests.support.core import Performer, send, summary_of

TEXTS = ("one ", "two ", "three ", "four ", "five ", "six")


class TestGaps:
    def test_a_gap_holds_later_chunks_for_gap_s_and_then_shows_an_ellipsis(self) -> None:
        """The glasses would give up on silence; the loss is visible and recorded."""
        performer = Performer()
        send(performer, TEXTS, [0, 3, 4], at=1.0)
        performer.advance(9.0)
        assert performer.text == "one "
        performer.advance(9.001)
        assert performer.text == "one \u2026four five "
        gap = performer.log[1]
        assert (gap.kind, gap.content, gap.sequence, gap.at) == (EntryKind.GAP, ELLIPSIS, 1, 9.001)
        send(performer, TEXTS, [5], at=10.0)
        performer.receive(End(), 11.0)
        report = performer.finish()
        assert (report.outcome, report.missing) == (Outcome.INCOMPLETE, ((1, 2),))
        assert performer.held == {}

    def test_each_gap_has_its_own_ellipsis_and_all_are_one_append(self) -> None:
        """One flush, in order."""
        performer = Performer()
        send(performer, TEXTS, [1, 3, 5], at=1.0)
        performer.advance(9.0)
        assert performer.text == "\u2026two \u2026four \u2026six"
        assert len(performer.appends) == 1

    def test_a_chunk_of_a_gap_that_was_given_up_is_late(self) -> None:
        """It is acknowledged, recorded, and not shown behind its successors."""
        performer = Performer()
        send(performer, TEXTS, [0, 2], at=1.0)
        performer.advance(9.001)
        assert performer.receive(Chunk(TEXTS[1], 1), 9.1) == [Ack(1)]
        performer.receive(End(), 9.2)
        report = performer.finish()
        assert (report.late, report.missing) == (((1, 1),), ((1, 1),))
        assert performer.text == "one \u2026three "

    def test_a_gap_at_the_end_has_no_ellipsis(self) -> None:
        """Nothing is waited for any more, and the device gets nothing but what the bot said."""
        performer = Performer()
        send(performer, TEXTS, [0, 2])
        performer.receive(End(), 2.0)
        performer.finish()
        assert performer.text == "one three "

    def test_a_full_hold_is_shown_instead_of_losing_a_chunk(self) -> None:
        """A legacy bot cannot send it again: everything held goes out behind an ellipsis."""
        performer = Performer(limits=Limits(held_bytes_max=2 * (CHUNK_COST_BYTES + 6)))
        send(performer, TEXTS, [0, 2, 3])
        effects = performer.receive(Chunk(TEXTS[4], 4), 2.0)
        assert [type(effect) for effect in effects] == [Append, Ack]
        assert performer.text == "one \u2026three four five "
        assert performer.refusals == []
        assert performer.receiver.next_sequence == 5

    @pytest.mark.parametrize("order", [(1, 5, 3), (5, 3, 1), (3, 5, 4)])
    def test_the_chunk_that_fills_the_hold_is_shown_at_its_place(
        self, order: tuple[int, int, int]
    ) -> None:
        """It may belong before what is held, or between; offsets stay without holes."""
        performer = Performer(limits=Limits(held_bytes_max=2 * (CHUNK_COST_BYTES + 6)))
        send(performer, TEXTS, order)
        assert performer.delivered == sorted(order)
        assert performer.acked == list(order)
        offsets = [entry.offset for entry in performer.log]
        assert offsets == list(range(1, len(offsets) + 1))
        assert performer.held == {}

    def test_a_full_hold_that_completes_a_held_end_closes(self) -> None:
        """The stated n is reached and nothing can come any more."""
        performer = Performer(limits=Limits(held_bytes_max=CHUNK_COST_BYTES + 6))
        send(performer, TEXTS, [0, 2])
        performer.receive(End(4), 2.0)
        effects = performer.receive(Chunk(TEXTS[3], 3), 2.1)
        assert performer.end.at == 2.1
        assert isinstance(effects[0], Append)
        assert performer.text == "one \u2026three four "
        assert performer.report.missing == ((1, 1),)


class TestUnnumbered:
    def test_chunks_without_a_sequence_are_numbered_by_arrival(self) -> None:
        """The ACK echoes that there was none."""
        performer = Performer()
        for text in TEXTS:
            performer.receive(Chunk(text), 1.0)
        assert performer.acked == [None] * 6
        assert performer.delivered == [0, 1, 2, 3, 4, 5]
        performer.receive(End(), 2.0)
        report = performer.finish()
        assert performer.text == "".join(TEXTS)
        assert report.numbered_by_arrival
        assert not report.overlapped
        assert report.status is Status.COMPLETED

    def test_equal_chunks_without_a_sequence_are_all_taken(self) -> None:
        """Nothing tells a repetition from a repeated word."""
        performer = Performer()
        for _ in range(3):
            performer.receive(Chunk("ha"), 1.0)
        assert performer.text == "hahaha"

    def test_a_chunk_without_a_sequence_behind_the_end_is_refused(self) -> None:
        """Its place is not known, and the end was sent behind everything."""
        performer = Performer()
        performer.receive(Chunk("one "), 1.0)
        performer.receive(End(), 2.0)
        performer.receive(Chunk("two "), 2.1)
        assert [(r.code, r.sequence) for r in performer.refusals] == [(RefusalCode.AFTER_END, None)]
        performer.finish()
        assert performer.text == "one "


class TestOverlap:
    def test_overlapping_streams_are_numbered_by_arrival(self) -> None:
        """Their counters are shared, so the numbers mean nothing; the ACKs echo them."""
        performer = Performer()
        send(performer, TEXTS, [0, 1])
        performer.receive(Overlapped(), 1.5)
        for number, text in ((4, "three "), (6, "four "), (0, "five ")):
            performer.receive(Chunk(text, number), 2.0)
        assert performer.acked == [0, 1, 4, 6, 0]
        assert performer.delivered == [0, 1, 2, 3, 4]
        assert performer.text == "one two three four five "

    def test_an_overlapped_stream_ends_with_its_end(self) -> None:
        """No summary of it could be believed, so none is waited for."""
        performer = Performer()
        performer.receive(Overlapped(), 1.0)
        performer.receive(Chunk("one ", 17), 1.1)
        performer.receive(End(), 2.0)
        assert performer.end.at == 2.0
        report = performer.report
        assert (report.outcome, report.status) == (Outcome.COMPLETED, Status.COMPLETED)
        assert report.overlapped
        assert report.numbered_by_arrival

    @pytest.mark.parametrize("first", ["summary", "overlap"])
    def test_the_summary_of_an_overlapped_stream_is_ignored(self, first: str) -> None:
        """It may hold the other stream's text: another user's words must never be shown."""
        performer = Performer()
        send(performer, TEXTS, [0])
        stolen = summary_of(["one ", "somebody else's words"])
        for message in (stolen, Overlapped()) if first == "summary" else (Overlapped(), stolen):
            performer.receive(message, 1.5)
        performer.receive(End(), 2.0)
        performer.receive(stolen, 2.1)
        assert performer.text == "one "
        assert performer.end.at == 2.0
        assert performer.report.total_chunks == 1
        if first == "overlap":
            assert performer.report.disagreement is Disagreement.OVERLAP

    def test_what_is_held_when_streams_overlap_is_shown(self) -> None:
        """One connection is first-in first-out: what is missing by then was never sent."""
        performer = Performer()
        send(performer, TEXTS, [0, 2])
        performer.receive(Overlapped(), 1.5)
        assert performer.text == "one three "
        assert performer.receive(Overlapped(), 1.6) == []
        performer.receive(End(), 2.0)
        assert performer.report.missing == ((1, 1),)
        assert performer.report.outcome is Outcome.INCOMPLETE

    def test_an_overlap_ends_a_held_end(self) -> None:
        """A user who asks again before the answer ends never waits for the old answer."""
        performer = Performer()
        send(performer, TEXTS, [0, 2])
        performer.receive(End(), 2.0)
        effects = performer.receive(Overlapped(), 2.5)
        assert isinstance(effects[0], Append)
        assert performer.end.at == 2.5
        assert performer.text == "one three "
        assert performer.receive(Overlapped(), 3.0) == []

    def test_a_lost_bot_ends_an_overlapped_stream_after_its_grace(self) -> None:
        """As any other."""
        performer = Performer()
        performer.receive(Overlapped(), 1.0)
        performer.receive(BotLost(), 2.0)
        assert performer.finish().outcome is Outcome.BOT_GONE
