from __future__ import annotations

from relay.protocol.ledger import Ledger, members


def make_ledger(*sent: int) -> Ledger:
    """A ledger with these sequences in flight since time 0."""
    ledger = Ledger(resend_s=2.0, resend_max_s=15.0)
    for sequence in sent:
        ledger.sent(sequence, 0.0)
    return ledger


def test_an_ack_is_news_only_once() -> None:
    """The repeated ACK changes nothing and says so."""
    ledger = make_ledger(0, 1)
    assert ledger.stored(1, (), 2)
    assert not ledger.stored(1, (), 2)


def test_an_older_ack_takes_nothing_back() -> None:
    """What is stored stays stored, in any order of the ACKs."""
    ledger = make_ledger(0, 1, 2)
    ledger.stored(2, (), 3)
    ledger.stored(0, ((2, 2),), 3)
    assert ledger.next == 3


def test_the_early_ones_join_the_prefix_when_the_gap_closes() -> None:
    """next_sequence moves over sequences that were acknowledged early."""
    ledger = make_ledger(0, 1, 2)
    ledger.stored(0, ((1, 2),), 3)
    assert ledger.next == 0
    assert ledger.missing(3) == ((0, 0),)
    ledger.stored(0, ((0, 0),), 3)
    assert ledger.next == 3
    assert ledger.settled


def test_an_ack_of_something_never_written_is_clipped() -> None:
    """A relay that claims a billion sequences costs neither time nor memory."""
    ledger = make_ledger(0)
    ledger.stored(0, ((0, 10**9),), 1)
    ledger.stored(10**9, (), 1)
    assert ledger.next == 1


def test_what_was_sent_again_is_not_overdue_with_the_rest() -> None:
    """The time counts from the last transmission."""
    ledger = make_ledger(0, 1)
    ledger.sent(0, 1.0)
    assert ledger.overdue(2.0) == [1]


def test_a_restored_ledger_believes_the_relay() -> None:
    """Even where it has less than before."""
    ledger = make_ledger(0, 1, 2)
    ledger.stored(3, (), 3)
    ledger.restored(1, ((2, 7),), 3)
    assert [ledger.is_stored(sequence) for sequence in range(3)] == [True, False, True]
    assert ledger.deadline() is None


def test_members_are_the_sequences_within_bounds() -> None:
    """Ranges are inclusive, the bounds are half open."""
    assert list(members(((0, 2), (4, 10**12)), 1, 6)) == [1, 2, 4, 5]
