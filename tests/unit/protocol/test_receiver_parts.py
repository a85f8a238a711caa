"""Tool calls, suggestions and what a failure shows: carried like text, and never made up."""

from __future__ import annotations

import pytest

from relay.protocol.events import (
    Abort,
    Ack,
    Append,
    BotLost,
    Chunk,
    End,
    EntryKind,
    HeldChunk,
    Hold,
    Nack,
    Part,
    PartKind,
    RefusalCode,
    Stop,
)
from relay.protocol.limits import CHUNK_COST_BYTES, Limits
from relay.protocol.report import Disagreement
from relay.protocol.status import Outcome, Status
from tests.support.core import Performer, end_of, summary_of

PHOTO = Part(PartKind.TOOL_CALL, '{"command":"take_photo"}')
OFF = Part(PartKind.TOOL_CALL, '{"command":"notify_agent_off"}')
FIRST, SECOND = Part(PartKind.FOLLOW_UP, '["a"]'), Part(PartKind.FOLLOW_UP, '["b"]')

TEXTS = ("Look", "", " here", "")
CHUNKS = (Chunk("Look", 0), Chunk("", 1, PHOTO), Chunk(" here", 2), Chunk("", 3, FIRST))


def run(*chunks: Chunk, can_resend: bool = True) -> Performer:
    """A stream that gets these, a second after it was opened."""
    performer = Performer(can_resend=can_resend)
    for chunk in chunks:
        performer.receive(chunk, 1.0)
    return performer


def parts(performer: Performer) -> list[Part | None]:
    """What the entries of the log carry."""
    return [entry.part for entry in performer.log]


class TestCarrying:
    def test_a_part_is_stored_in_its_place_and_acknowledged(self) -> None:
        """A chunk like any other; the end brings the suggestions again."""
        performer = run(*CHUNKS)
        performer.receive(end_of(TEXTS), 1.1)
        assert parts(performer) == [None, PHOTO, None, FIRST, FIRST]
        assert performer.acked == [0, 1, 2, 3]
        assert performer.report.status is Status.COMPLETED

    def test_an_early_part_is_held_and_released_in_order(self) -> None:
        """With the ACK that says so."""
        performer = run(CHUNKS[2], CHUNKS[1])
        assert Hold(HeldChunk(1, "", 1.0, PHOTO)) in performer.effects
        assert performer.acked == [2, 1]
        performer.receive(CHUNKS[0], 1.1)
        assert parts(performer) == [None, PHOTO, None]

    def test_an_unnumbered_part_takes_the_next_place(self) -> None:
        """As unnumbered text does."""
        performer = run(Chunk("a"), Chunk("", part=PHOTO), Chunk("b"), can_resend=False)
        performer.receive(End(), 1.1)
        performer.finish()
        assert parts(performer)[:3] == [None, PHOTO, None]
        assert performer.text == "ab"

    @pytest.mark.parametrize("again", [Chunk("", 1), Chunk("", 1, OFF), Chunk("x", 1, PHOTO)])
    def test_the_same_number_with_another_part_is_a_conflict(self, again: Chunk) -> None:
        """The first one stands; said again as it was, it is a duplicate."""
        performer = run(*CHUNKS[:2], CHUNKS[1], again)
        assert [refusal.code for refusal in performer.refusals] == [RefusalCode.CONFLICT]
        assert performer.acked == [0, 1, 1]
        assert parts(performer) == [None, PHOTO]

    def test_a_part_takes_of_the_streams_room(self) -> None:
        """An answer of tool calls alone ends at the limit, too."""
        cost = CHUNK_COST_BYTES + len(PHOTO.body)
        performer = Performer(limits=Limits(stream_bytes_max=2 * cost), can_resend=True)
        for sequence in range(3):
            performer.receive(Chunk("", sequence, PHOTO), 1.0)
        assert performer.acked == [0, 1]
        assert [refusal.code for refusal in performer.refusals] == [RefusalCode.STREAM_FULL]

    def test_the_newest_suggestions_are_those_of_the_highest_sequence(self) -> None:
        """Whichever arrived last."""
        performer = run(Chunk("", 1, SECOND), Chunk("", 0, FIRST))
        performer.receive(End(2), 1.1)
        assert performer.end.part == SECOND

    @pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.BOT_GONE])
    def test_an_answer_that_is_stopped_keeps_its_suggestions(self, outcome: Outcome) -> None:
        """They were there before it broke off; what is held counts as well."""
        performer = run(Chunk("a", 0), Chunk("", 2, FIRST))
        performer.receive(Stop(outcome), 2.0)
        assert performer.end.part == FIRST

    def test_suggestions_that_come_too_late_are_not_shown(self) -> None:
        """They are acknowledged, and told as late."""
        performer = run(Chunk("a", 0))
        performer.receive(End(2), 1.1)
        performer.finish()
        performer.receive(Chunk("", 1, FIRST), 9.0)
        assert performer.end.part is None
        assert performer.acked == [0, 1]
        assert performer.report.late == ((1, 1),)


class TestTakeover:
    @pytest.mark.parametrize("before", range(5))
    def test_a_new_owner_carries_on_with_every_part(self, before: int) -> None:
        """From the log, from the hold, and the suggestions that the end will bring."""
        order = (CHUNKS[3], CHUNKS[0], CHUNKS[2], CHUNKS[1])
        performer = run(*order[:before])
        performer.take_over()
        for chunk in order[before:]:
            performer.receive(chunk, 2.0)
        performer.receive(end_of(TEXTS), 2.1)
        assert parts(performer) == [None, PHOTO, None, FIRST, FIRST]

    def test_a_new_owner_knows_a_part_again(self) -> None:
        """In the log and in the hold: the same is a duplicate, another is a conflict."""
        performer = run(CHUNKS[0], CHUNKS[1], CHUNKS[3])
        performer.take_over()
        for again in (CHUNKS[1], CHUNKS[3], Chunk("", 1, OFF), Chunk("", 3, SECOND)):
            performer.receive(again, 2.0)
        assert performer.acked[3:] == [1, 3]
        assert [refusal.code for refusal in performer.refusals] == [RefusalCode.CONFLICT] * 2


class TestLoss:
    def test_a_lost_part_is_asked_for_and_comes_again(self) -> None:
        """The bot resends it as it resends text."""
        performer = run(CHUNKS[0], CHUNKS[2], CHUNKS[3])
        assert performer.nacks == [Nack(((1, 1),))]
        performer.receive(CHUNKS[1], 1.2)
        performer.receive(end_of(TEXTS), 1.3)
        assert performer.report.outcome is Outcome.COMPLETED

    def test_a_summary_does_not_bring_a_lost_part_back(self) -> None:
        """Its text is whole and true, and the stream is not."""
        performer = run(CHUNKS[0], CHUNKS[2], CHUNKS[3], can_resend=False)
        performer.receive(End(), 1.1)
        performer.receive(summary_of(TEXTS), 1.2)
        report = performer.finish()
        assert performer.text == "Look here"
        assert PHOTO not in parts(performer)
        assert (report.outcome, report.missing) == (Outcome.INCOMPLETE, ((1, 1),))
        assert (report.status, report.disagreement) == (Status.ANOMALY, Disagreement.CONTENT)

    def test_a_lost_tail_of_parts_is_not_made_up_for(self) -> None:
        """All the text is there, so a repair would have nothing to show for the chunk."""
        performer = run(*CHUNKS[:3], can_resend=False)
        performer.receive(End(), 1.1)
        performer.receive(summary_of(TEXTS), 1.2)
        report = performer.finish()
        assert EntryKind.REPAIR not in performer.kinds
        assert (report.outcome, report.missing) == (Outcome.INCOMPLETE, ((3, 3),))

    def test_a_repaired_text_does_not_hide_the_lost_part(self) -> None:
        """The part is still among the missing, and the loss is an anomaly."""
        texts = ("Look", " over", "", " here")
        performer = run(Chunk("Look", 0), Chunk(" here", 3), can_resend=False)
        performer.receive(End(), 1.1)
        performer.receive(summary_of(texts), 1.2)
        report = performer.finish()
        assert performer.text == "Look over here"
        assert (report.outcome, report.missing) == (Outcome.REPAIRED, ((1, 2),))
        assert report.status is Status.ANOMALY

    def test_a_repair_shows_the_parts_that_are_held(self) -> None:
        """In their place behind the repaired text."""
        performer = run(CHUNKS[1], CHUNKS[2], CHUNKS[3], can_resend=False)
        performer.receive(End(), 1.1)
        performer.receive(summary_of(TEXTS), 1.2)
        assert performer.finish().outcome is Outcome.REPAIRED
        shown = [(entry.kind, entry.part) for entry in performer.log]
        assert shown == [
            (EntryKind.ENDING, None),
            (EntryKind.REPAIR, None),
            (EntryKind.CHUNK, PHOTO),
            (EntryKind.CHUNK, None),
            (EntryKind.CHUNK, FIRST),
            (EntryKind.END, FIRST),
        ]


class TestFailure:
    def test_a_failure_shows_what_the_bot_says_of_it(self) -> None:
        """In the end's entry; the error itself is for the report only."""
        performer = run(Chunk("a\ud83e", 0), Chunk("", 1, FIRST))
        performer.receive(Abort("Traceback", "No key.\ud83e"), 1.1)
        assert performer.end.content == "No key.\ufffd"
        assert performer.end.part == FIRST
        assert performer.text == "a"
        assert (performer.report.outcome, performer.report.detail) == (Outcome.FAILED, "Traceback")

    def test_a_failure_that_says_nothing_shows_nothing(self) -> None:
        """The device has a text of its own."""
        performer = run(Chunk("a", 0))
        performer.receive(Abort("Traceback"), 1.1)
        assert performer.end.content == ""

    def test_what_is_held_is_shown_before_it(self) -> None:
        """One append, so that nothing comes behind the last word."""
        performer = run(Chunk("a", 0), Chunk("b", 2), can_resend=False)
        performer.receive(BotLost(), 1.1)
        (append, *_) = performer.receive(Abort("x", "Sorry."), 1.2)
        assert isinstance(append, Append)
        assert [entry.content for entry in append.entries] == ["", "b", "Sorry."]

    def test_a_finished_stream_says_no_more(self) -> None:
        """An error that comes behind the end is nothing."""
        performer = run(Chunk("a", 0))
        performer.receive(End(1), 1.1)
        assert performer.receive(Abort("x", "Sorry."), 1.2) == []
        assert [e for e in performer.effects if isinstance(e, Ack)] == [Ack(0)]
