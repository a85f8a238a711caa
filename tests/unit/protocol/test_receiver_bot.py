"""The bot's connection: asking again, breaking, coming back, silence."""

from __future__ import annotations

import pytest

from relay.protocol.events import BotBack, BotLost, Chunk, End, EntryKind, Nack
from relay.protocol.limits import Limits
from relay.protocol.status import Outcome, Status
from tests.support.core import Performer, end_of, send

TEXTS = tuple("abcdefghij")


class TestAsking:
    def test_a_gap_is_asked_for_at_once(self) -> None:
        """Behind the ACK of the chunk that showed it, and each gap once."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 3, 4, 7])
        assert performer.nacks == [Nack(((1, 2),)), Nack(((5, 6),))]

    def test_what_stays_missing_is_asked_for_again_and_again(self) -> None:
        """All of it, every `nack_s` after the last time, until it is here."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 3, 4, 7], at=1.0)
        performer.advance(2.1)
        assert performer.nacks[2:] == [Nack(((1, 2), (5, 6)))] * 2
        assert [step.now for step in performer.steps if step.message is None] == [1.503, 2.003]
        send(performer, TEXTS, [1, 2, 5, 6], at=2.2)
        performer.advance(9.0)
        assert len(performer.nacks) == 4

    def test_a_lost_tail_is_asked_for_when_the_end_states_n(self) -> None:
        """The stated n shows a gap that no later chunk could show."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 1, 2])
        performer.receive(end_of(TEXTS), 2.0)
        assert performer.nacks == [Nack(((3, 9),))]
        performer.finish()
        assert len(performer.nacks) == 4

    def test_no_more_than_a_window_is_asked_for(self) -> None:
        """What is further away would be refused anyway."""
        performer = Performer(limits=Limits(window=4), can_resend=True)
        performer.receive(End(100), 1.0)
        assert performer.nacks == [Nack(((0, 3),))]

    def test_a_legacy_bot_is_asked_for_nothing(self) -> None:
        """It would not understand."""
        performer = Performer()
        send(performer, TEXTS, [0, 3, 4, 7])
        performer.receive(End(), 2.0)
        performer.finish()
        assert performer.nacks == []

    def test_a_lost_bot_is_not_asked(self) -> None:
        """Nobody would hear it."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 3], at=1.0)
        performer.receive(BotLost(), 1.1)
        performer.receive(Chunk("h", 7), 1.2)
        performer.advance(5.0)
        assert performer.nacks == [Nack(((1, 2),))]

    def test_a_bot_that_is_back_is_asked_again_for_what_stays_missing(self) -> None:
        """It resends by itself; if that does not help, it is reminded after `nack_s`."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 3], at=1.0)
        performer.receive(BotLost(), 1.1)
        performer.receive(BotBack(can_resend=True), 2.0)
        send(performer, TEXTS, [1], at=2.1)
        performer.advance(3.1)
        assert performer.nacks[1:] == [Nack(((2, 2),))] * 2
        assert [step.now for step in performer.steps if step.message is None] == [2.5, 3.0]

    def test_a_connection_that_cannot_resend_is_not_asked(self) -> None:
        """The bot came back with an older SDK, and nothing tells that the old one was lost."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 3], at=1.0)
        performer.receive(BotBack(can_resend=False), 1.1)
        performer.advance(5.0)
        assert performer.nacks == [Nack(((1, 2),))]

    def test_a_bot_that_is_back_has_all_the_time_to_fill_a_gap(self) -> None:
        """While it was away it could not, and that is not held against it."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 3], at=1.0)
        performer.receive(BotLost(), 1.1)
        performer.receive(BotBack(can_resend=True), 8.9)
        performer.advance(16.8)
        assert performer.text == "a"
        performer.advance(16.901)
        assert performer.text == "a\u2026d"

    def test_a_gap_that_nobody_fills_is_given_up_in_time(self) -> None:
        """A protocol-2 bot that does not answer must not keep the glasses waiting either."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 3], at=1.0)
        performer.advance(9.001)
        assert performer.text == "a\u2026d"
        performer.advance(30.0)
        assert performer.steps[-1].now < 10.0


class TestLost:
    def test_a_bot_is_waited_for_longer_where_that_is_said(self) -> None:
        """Its node is gone, or only cut off: nobody knows."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0], at=4.0)
        performer.receive(BotLost(20.0), 5.0)
        performer.finish()
        assert performer.end.at == 33.0

    def test_a_bot_that_does_not_come_back_ends_the_stream_after_its_grace(self) -> None:
        """With what is here, as an anomaly."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, [0, 2], at=4.0)
        performer.receive(BotLost(), 5.0)
        performer.finish()
        assert performer.text == "a\u2026c"
        assert performer.end.at == 13.0
        assert performer.report.outcome is Outcome.BOT_GONE
        assert performer.report.status is Status.ANOMALY

    def test_a_bot_that_comes_back_in_time_goes_on(self) -> None:
        """The grace is over, and nothing was lost."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, range(5))
        performer.receive(BotLost(), 5.0)
        performer.advance(12.9)
        performer.receive(BotBack(can_resend=True), 12.9)
        performer.advance(14.0)
        send(performer, TEXTS, range(5, 10), at=14.0)
        performer.receive(end_of(TEXTS), 15.0)
        assert performer.text == "".join(TEXTS)
        assert performer.report.status is Status.COMPLETED

    def test_a_second_loss_does_not_postpone_the_grace(self) -> None:
        """Else a relay that is told again and again would never end the stream."""
        performer = Performer()
        performer.receive(BotLost(), 5.0)
        performer.receive(BotLost(), 12.0)
        performer.finish()
        assert performer.end.at == 13.0

    def test_a_held_end_does_not_wait_for_the_grace(self) -> None:
        """The bot has said everything; only the barrier counts."""
        performer = Performer(can_resend=True)
        send(performer, TEXTS, range(9))
        performer.receive(end_of(TEXTS), 2.0)
        performer.receive(BotLost(), 2.1)
        performer.finish()
        assert performer.end.at == 4.0
        assert performer.report.outcome is Outcome.INCOMPLETE


class TestSilence:
    def test_idle_counts_from_the_last_chunk(self) -> None:
        """An answer may last long in total; only each silence is limited."""
        performer = Performer()
        texts = "x" * 20
        for sequence in range(20):
            performer.advance(50.0 * sequence)
            performer.receive(Chunk(texts[sequence], sequence), 50.0 * sequence)
        report = performer.finish()
        assert performer.end.at == 950.0 + 60.0
        assert report.outcome is Outcome.IDLE
        assert report.received == 20

    def test_a_bot_that_says_nothing_is_idle_from_the_request_on(self) -> None:
        """60 s after the stream was opened."""
        performer = Performer(opened_at=7.0)
        performer.finish()
        assert performer.end.at == 67.0
        assert performer.kinds == [EntryKind.END]

    def test_a_stream_has_a_greatest_age(self) -> None:
        """A guard against leaks: even one that is never silent ends."""
        performer = Performer(limits=Limits(stream_max_s=100.0))
        for sequence in range(10):
            performer.receive(Chunk("x", sequence), 11.0 * sequence)
        performer.finish()
        assert performer.end.at == 100.0
        assert performer.report.outcome is Outcome.CANCELLED

    def test_the_greatest_age_ends_a_held_end_too(self) -> None:
        """Whichever is first."""
        performer = Performer(limits=Limits(stream_max_s=3.0))
        send(performer, TEXTS, [0, 2])
        performer.receive(End(), 2.0)
        performer.finish()
        assert performer.end.at == 3.0

    @pytest.mark.parametrize("can_resend", [False, True])
    def test_an_early_timer_does_nothing(self, can_resend: bool) -> None:
        """The shell may call whenever it likes; and after the end nothing is left to do."""
        performer = Performer(can_resend=can_resend)
        send(performer, TEXTS, [0, 2], at=1.0)
        due = performer.receiver.next_deadline()
        assert due is not None
        for now in (1.01, 1.2, due - 0.001):
            assert performer.receiver.handle_timer(now) == []
        assert performer.receiver.next_deadline() == due
        performer.finish()
        assert performer.receiver.handle_timer(1000.0) == []
