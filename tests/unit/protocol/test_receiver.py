"""One stream's chunks and its end.

Its other sides have files of their own beside this one: the incident, losses, the bot's
connection, legacy bots, Unicode, and the restoring from the log.
"""

from __future__ import annotations

import pytest

from relay.protocol.events import (
    Abort,
    Ack,
    Amend,
    Append,
    Chunk,
    End,
    Entry,
    EntryKind,
    Finish,
    HeldChunk,
    Hold,
    Part,
    PartKind,
    RefusalCode,
    Refuse,
    Stop,
)
from relay.protocol.limits import CHUNK_COST_BYTES, Limits
from relay.protocol.receiver import StreamReceiver
from relay.protocol.report import RepairedBy
from relay.protocol.status import Outcome, Status
from tests.support.core import Performer, end_of, send, summary_of

TEXTS = ("one ", "two ", "three ", "four ", "five")


class TestOrder:
    def test_an_ack_stands_behind_the_repair_that_its_chunk_completes(self) -> None:
        """It tells how much is stored by then, and by then that is everything."""
        texts = ("a", "", "c", "d")
        performer = Performer()
        send(performer, texts, [0, 3])
        performer.receive(End(), 2.0)
        performer.receive(summary_of(texts), 2.1)
        effects = performer.receive(Chunk("", 1), 2.2)
        assert [type(effect) for effect in effects] == [Append, Append, Ack, Finish]

    def test_a_chunk_in_order_is_appended_and_then_acknowledged(self) -> None:
        """The ACK comes behind the append, so it can never be sent before it."""
        performer = Performer()
        assert performer.receive(Chunk("one ", 0), 1.0) == [
            Append((Entry(1, EntryKind.CHUNK, 1.0, "one ", 0),)),
            Ack(0),
        ]
        assert performer.receiver.status is Status.ACTIVE
        assert (performer.receiver.next_offset, performer.receiver.next_sequence) == (2, 1)

    def test_an_early_chunk_is_held_and_then_acknowledged(self) -> None:
        """It is stored beside the log; nobody reads past the gap."""
        performer = Performer()
        assert performer.receive(Chunk("three ", 2), 1.0) == [
            Hold(HeldChunk(2, "three ", 1.0)),
            Ack(2),
        ]
        assert performer.log == []
        assert performer.receiver.received == ((2, 2),)

    def test_the_missing_chunk_releases_what_waited_for_it_in_one_append(self) -> None:
        """All in sequence order, each at the time when it arrived, and one ACK: the new one's."""
        performer = Performer()
        send(performer, TEXTS, [2, 1, 4])
        effects = performer.receive(Chunk("one ", 0), 2.0)
        assert len(effects) == 2
        assert [(e.sequence, e.at) for e in performer.log] == [(0, 2.0), (1, 1.001), (2, 1.0)]
        assert effects[-1] == Ack(0)
        assert performer.receiver.received == ((4, 4),)

    def test_any_order_ends_in_the_same_text(self) -> None:
        """Backwards is the worst order there is."""
        performer = Performer()
        send(performer, TEXTS, [4, 3, 2, 1, 0])
        performer.receive(end_of(TEXTS), 2.0)
        assert performer.text == "".join(TEXTS)
        assert performer.report.status is Status.COMPLETED

    def test_credit_shrinks_by_what_is_held(self) -> None:
        """The grant is what is really free."""
        performer = Performer(limits=Limits(credit=10))
        assert performer.receiver.credit == 10
        send(performer, TEXTS, [1, 2, 4])
        assert performer.receiver.credit == 7

    def test_a_receiver_is_rebuilt_from_its_log(self) -> None:
        """It goes on where the log stands, with what is held; test_state.py has the details."""
        performer = Performer()
        send(performer, TEXTS, [0, 2])
        again = StreamReceiver.restore(
            Limits(), performer.log, performer.held.values(), opened_at=0.0, can_resend=False
        )
        assert (again.next_offset, again.next_sequence, again.received) == (2, 1, ((2, 2),))
        assert again.next_deadline() == performer.receiver.next_deadline()
        assert Performer().receiver.received == ()


class TestDuplicates:
    @pytest.mark.parametrize("first", [0, 2], ids=["in the log", "held"])
    def test_a_duplicate_is_acknowledged_again_and_stored_once(self, first: int) -> None:
        """The bot may not have had the first ACK."""
        performer = Performer()
        send(performer, TEXTS, [first])
        assert performer.receive(Chunk(TEXTS[first], first), 2.0) == [Ack(first)]
        assert len(performer.log) + len(performer.held) == 1

    def test_an_overtaken_chunk_is_no_duplicate(self) -> None:
        """Smaller than the highest seen is not the same as seen."""
        performer = Performer()
        send(performer, TEXTS, [0, 3, 1])
        assert performer.delivered == [0, 1]

    @pytest.mark.parametrize("first", [0, 2], ids=["in the log", "held"])
    def test_other_content_for_a_taken_sequence_is_refused(self, first: int) -> None:
        """The first one stands."""
        performer = Performer()
        send(performer, TEXTS, [first])
        performer.receive(Chunk("forged", first), 2.0)
        (refusal,) = performer.refusals
        assert (refusal.code, refusal.sequence) == (RefusalCode.CONFLICT, first)
        send(performer, TEXTS, [0, 1, 2])
        assert performer.text == "one two three "

    def test_the_report_counts_duplicates_and_refusals(self) -> None:
        """Neither is a loss, both are worth knowing."""
        performer = Performer()
        send(performer, TEXTS, [0, 1, 1, 2, 0, 3, 4])
        performer.receive(Chunk("forged", 2), 2.0)
        performer.receive(end_of(TEXTS), 2.0)
        assert (performer.report.duplicates, performer.report.refused) == (2, 1)
        assert performer.report.status is Status.COMPLETED


class TestLimits:
    def test_a_sequence_at_the_edge_of_the_window_is_held_and_one_beyond_refused(self) -> None:
        """The window is counted from the first missing sequence."""
        performer = Performer(limits=Limits(window=8), can_resend=True)
        performer.receive(Chunk("one ", 0), 1.0)
        performer.receive(Chunk("x", 9), 1.0)
        assert set(performer.held) == {9}
        performer.receive(Chunk("x", 10), 1.0)
        (refusal,) = performer.refusals
        assert (refusal.code, refusal.sequence) == (RefusalCode.OUT_OF_WINDOW, 10)
        assert 10 not in performer.acked

    def test_a_full_hold_refuses_a_protocol_2_bot(self) -> None:
        """It can send the chunk again once the missing one is here."""
        performer = Performer(
            limits=Limits(held_bytes_max=2 * (CHUNK_COST_BYTES + 1)), can_resend=True
        )
        for sequence in (1, 2, 3):
            performer.receive(Chunk("x", sequence), 1.0)
        assert [r.code for r in performer.refusals] == [RefusalCode.HOLD_FULL]
        performer.receive(Chunk("x", 0), 1.1)
        performer.receive(Chunk("x", 3), 1.2)
        assert performer.delivered == [0, 1, 2, 3]

    def test_a_stream_that_is_full_refuses_what_is_new_and_acknowledges_what_it_has(self) -> None:
        """Each chunk is charged its bytes of UTF-8 and a fixed cost; a repetition is free."""
        performer = Performer(limits=Limits(stream_bytes_max=2 * (CHUNK_COST_BYTES + 3)))
        performer.receive(Chunk("风", 0), 1.0)
        performer.receive(Chunk("风", 1), 1.0)
        performer.receive(Chunk("", 2), 1.0)
        assert [r.code for r in performer.refusals] == [RefusalCode.STREAM_FULL]
        assert performer.receive(Chunk("风", 1), 1.1) == [Ack(1)]
        performer.receive(End(), 1.2)
        performer.finish()
        assert performer.text == "风风"

    def test_late_chunks_are_charged_too(self) -> None:
        """What came too late is kept to recognise it again, and that must have a limit."""
        limits = Limits(stream_bytes_max=4 * (CHUNK_COST_BYTES + 1), window=100)
        performer = Performer(limits=limits)
        performer.receive(Chunk("x", 0), 1.0)
        performer.receive(End(), 1.0)
        performer.finish()
        for sequence in range(1, 50):
            performer.receive(Chunk("x", sequence), 9.0)
        assert performer.report.late == ((1, 3),)
        assert {r.code for r in performer.refusals} == {RefusalCode.STREAM_FULL}
        assert performer.receive(Chunk("x", 3), 9.1) == [Ack(3)]


class TestEnd:
    def test_an_end_with_everything_there_closes_at_once(self) -> None:
        """N is stated, so there is nothing to wait for, and no entry says that it was held."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, range(5))
        effects = performer.receive(end_of(TEXTS), 2.0)
        end = Entry(6, EntryKind.END, 2.0, total_chunks=5, outcome=Outcome.COMPLETED)
        assert effects[0] == Append((end,))
        assert isinstance(effects[1], Finish)
        assert performer.receiver.finished
        assert performer.receiver.next_deadline() is None
        assert performer.receiver.report() == performer.report

    def test_a_held_end_writes_what_a_takeover_needs(self) -> None:
        """The ending entry keeps the time and the stated n; the last chunk then closes."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 1, 2, 3])
        performer.receive(end_of(TEXTS), 2.0)
        assert performer.log[-1] == Entry(5, EntryKind.ENDING, 2.0, total_chunks=5)
        assert performer.receiver.status is Status.ENDING
        effects = performer.receive(Chunk("five", 4), 2.5)
        assert [type(effect) for effect in effects] == [Append, Ack, Finish]
        assert performer.end.at == 2.5
        assert performer.report.status is Status.COMPLETED

    def test_a_repeated_end_changes_nothing(self) -> None:
        """Several SDK versions send it twice; the barrier counts from the first."""
        performer = Performer()
        send(performer, TEXTS, [0, 2])
        performer.receive(End(), 2.0)
        assert performer.receive(End(), 3.0) == []
        assert performer.receiver.next_deadline() == 4.0
        performer.finish()
        assert performer.receive(End(), 5.0) == []
        assert performer.kinds.count(EntryKind.END) == 1

    def test_a_second_end_may_state_what_the_first_did_not(self) -> None:
        """N becomes known; the first statement stands, and the time of the first end too."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 1])
        performer.receive(End(), 2.0)
        performer.receive(End(5), 2.1)
        performer.receive(End(3), 2.2)
        assert [n.ranges for n in performer.nacks] == [((2, 4),)]
        assert performer.finish().total_chunks == 5
        assert performer.end.at == 4.0

    def test_an_empty_answer_is_complete(self) -> None:
        """Zero chunks of zero: an end and nothing else."""
        performer = Performer(can_resend=True)
        performer.receive(end_of(()), 1.0)
        assert performer.kinds == [EntryKind.END]
        assert performer.report.status is Status.COMPLETED

    def test_a_new_sequence_behind_the_known_end_is_refused(self) -> None:
        """It cannot belong to this answer; while the barrier holds and after the end alike."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 1])
        performer.receive(End(3), 2.0)
        performer.receive(Chunk("x", 3), 2.1)
        performer.receive(Chunk("three ", 2), 2.2)
        performer.receive(Chunk("x", 3), 2.3)
        assert [r.code for r in performer.refusals] == [RefusalCode.AFTER_END] * 2
        assert performer.report.status is Status.COMPLETED

    def test_a_sequence_far_behind_a_guessed_end_is_refused(self) -> None:
        """A late chunk may prove the guess too low, but not by more than the window."""
        performer = Performer(limits=Limits(window=8))
        send(performer, TEXTS, [0])
        performer.receive(End(), 2.0)
        performer.finish()
        performer.receive(Chunk("x", 10), 3.0)
        assert [r.code for r in performer.refusals] == [RefusalCode.AFTER_END]
        performer.receive(Chunk("x", 9), 3.0)
        assert performer.report.late == ((9, 9),)
        assert performer.report.missing == ((1, 9),)
        assert performer.report.status is Status.ANOMALY

    def test_status_only_climbs(self) -> None:
        """Pending, active, ending, completed; and late news make it an anomaly, never less."""
        performer = Performer()
        stages = [performer.receiver.status]
        send(performer, TEXTS, [0])
        performer.receive(End(), 2.0)
        performer.receive(Chunk(TEXTS[1], 1), 2.1)
        performer.finish()
        performer.receive(Chunk(TEXTS[2], 2), 9.0)
        performer.receive(summary_of(TEXTS[:3]), 9.1)
        stages += [step.status for step in performer.steps]
        assert stages == sorted(stages)
        assert list(dict.fromkeys(stages)) == list(Status)


class TestFailure:
    def test_an_abort_shows_what_is_held_and_ends_as_failed(self) -> None:
        """In one append; the bot's words are for the trace."""
        performer = Performer()
        send(performer, TEXTS, [0, 2])
        effects = performer.receive(Abort("HTTP error: 502"), 2.0)
        assert [type(effect) for effect in effects] == [Append, Finish]
        assert performer.text == "one three "
        report = performer.report
        assert (report.outcome, report.status) == (Outcome.FAILED, Status.ANOMALY)
        assert (report.detail, report.missing) == ("HTTP error: 502", ((1, 1),))
        assert performer.receive(Abort("again"), 3.0) == []

    @pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.BOT_OFFLINE, Outcome.UNBOUND])
    def test_the_relay_may_end_a_stream_itself(self, outcome: Outcome) -> None:
        """With the outcome that it names, and an anomaly in the trace."""
        performer = Performer()
        performer.receive(Stop(outcome, "why"), 1.0)
        assert performer.end.outcome is outcome
        assert (performer.report.status, performer.report.detail) == (Status.ANOMALY, "why")

    def test_the_relay_may_have_something_to_say_and_to_ask(self) -> None:
        """In the terminal entry, so that it is never torn from the end."""
        performer = Performer()
        photo = Part(PartKind.TOOL_CALL, '{"command":"take_photo"}')
        effects = performer.receive(Stop(Outcome.UNBOUND, "why", "Show me.", photo), 1.0)
        assert [type(effect) for effect in effects] == [Append, Finish]
        assert (performer.end.content, performer.end.part) == ("Show me.", photo)
        assert performer.text == ""

    def test_a_user_who_was_bound_is_no_anomaly(self) -> None:
        """Nothing was lost: the relay itself has answered."""
        performer = Performer()
        performer.receive(Stop(Outcome.BOUND, "", "Done."), 1.0)
        assert performer.report.status is Status.COMPLETED

    def test_a_late_chunk_is_acknowledged_recorded_and_not_shown(self) -> None:
        """The end was written; the trace learns what came after it."""
        performer = Performer()
        send(performer, TEXTS, [0, 2])
        performer.receive(End(), 2.0)
        performer.finish()
        effects = performer.receive(Chunk(TEXTS[1], 1), 5.0)
        assert [type(effect) for effect in effects] == [Ack, Amend]
        assert performer.report.late == ((1, 1),)
        assert performer.report.missing == ((1, 1),)
        assert performer.text == "one three "
        assert performer.receive(Chunk(TEXTS[1], 1), 5.1) == [Ack(1)]
        performer.receive(Chunk("forged", 1), 5.2)
        assert performer.refusals[-1].code is RefusalCode.CONFLICT

    def test_a_chunk_that_was_asked_for_is_a_repair_by_retransmission(self) -> None:
        """The text is whole, and the trace says that it had to be mended."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 2, 1, 3, 4])
        performer.receive(end_of(TEXTS), 2.0)
        assert performer.report.repaired_by is RepairedBy.RETRANSMIT
        assert performer.report.status is Status.COMPLETED

    def test_a_refusal_says_what_to_do(self) -> None:
        """Typed, with the number that the bot sent, and a sentence."""
        receiver = StreamReceiver(Limits(window=1), opened_at=0.0, can_resend=True)
        (refusal,) = receiver.receive(Chunk("x", 5), 1.0)
        assert isinstance(refusal, Refuse)
        assert refusal.message.endswith("send the missing ones first")
