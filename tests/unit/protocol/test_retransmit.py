from __future__ import annotations

from relay.protocol.events import Nack
from relay.protocol.retransmit import Retransmission


def test_a_new_gap_is_asked_for_at_once_and_once() -> None:
    """Only its new parts."""
    retransmission = Retransmission(0.5)
    assert retransmission.ask(((1, 2),), 1.0) == [Nack(((1, 2),))]
    assert retransmission.ask(((1, 2),), 1.1) == []
    assert retransmission.ask(((1, 4), (6, 6)), 1.2) == [Nack(((3, 4), (6, 6)))]


def test_all_gaps_are_asked_for_again_when_it_is_due() -> None:
    """`every_s` after the last request."""
    retransmission = Retransmission(0.5)
    retransmission.ask(((1, 2),), 1.0)
    retransmission.ask(((1, 2), (4, 4)), 1.2)
    assert retransmission.due_at == 1.7
    assert retransmission.ask(((2, 2), (4, 4)), 1.69) == []
    assert retransmission.ask(((2, 2), (4, 4)), 1.7) == [Nack(((2, 2), (4, 4)))]
    assert retransmission.due_at == 2.2


def test_nothing_is_due_once_nothing_is_missing() -> None:
    """Nor while the bot is away."""
    retransmission = Retransmission(0.5)
    retransmission.ask(((1, 2),), 1.0)
    retransmission.ask((), 1.1)
    assert retransmission.due_at is None
    retransmission.ask(((5, 5),), 1.2)
    retransmission.stop()
    assert retransmission.due_at is None


def test_a_bot_that_is_back_is_reminded_of_old_gaps() -> None:
    """After the time in which it resends by itself; one that cannot resend never."""
    retransmission = Retransmission(0.5)
    retransmission.ask(((1, 2),), 1.0)
    retransmission.stop()
    retransmission.restart(5.0, can_ask=True)
    assert retransmission.ask(((1, 2),), 5.1) == []
    assert retransmission.ask(((1, 2),), 5.5) == [Nack(((1, 2),))]
    retransmission.restart(6.0, can_ask=False)
    assert retransmission.due_at is None


def test_what_was_asked_for_is_remembered() -> None:
    """So that a chunk that then comes is known as a retransmission."""
    retransmission = Retransmission(0.5)
    retransmission.ask(((1, 2), (5, 5)), 1.0)
    assert list(retransmission.asked) == [1, 2, 5]
