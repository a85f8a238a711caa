from __future__ import annotations

from relay.demo.ledger import Heard, Ledger, trace_delivery

CHUNKS = ("a", "b", " ", "cd", "e")


def heard(*texts: str) -> list[Heard]:
    """What a device was told, a second apart."""
    return [Heard(float(at), text) for at, text in enumerate(texts)]


def test_every_chunk_is_found_where_it_was_shown() -> None:
    """Whitespace counts like any other text."""
    delivery = trace_delivery(CHUNKS, range(5), heard(*CHUNKS))
    assert delivery.at == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}
    assert not delivery.repaired
    assert not delivery.strange


def test_the_text_of_a_gap_counts_as_repaired() -> None:
    """All of it in one event, and none of it as delivered."""
    delivery = trace_delivery(CHUNKS, {0, 3, 4}, heard("a", "b ", "cd", "e"))
    assert set(delivery.at) == {0, 3, 4}
    assert delivery.repaired == {1, 2}


def test_a_gap_that_nobody_repaired_is_passed_over() -> None:
    """What follows it is found all the same."""
    delivery = trace_delivery(CHUNKS, {0, 3, 4}, heard("a", "cd", "e"))
    assert set(delivery.at) == {0, 3, 4}
    assert not delivery.repaired
    assert not delivery.strange


def test_a_chunk_that_was_sent_and_not_shown_is_not_found() -> None:
    """Its neighbours are."""
    assert set(trace_delivery(CHUNKS, range(5), heard("a", "b", " ", "e")).at) == {0, 1, 2, 4}


def test_a_text_that_is_nobodys_is_strange() -> None:
    """So is one that comes twice, or too early."""
    assert trace_delivery(CHUNKS, range(5), heard("a", "x")).strange == "x"
    assert trace_delivery(CHUNKS, range(5), heard("a", "a")).strange == "a"
    assert trace_delivery(CHUNKS, range(5), heard("b", "a")).strange == "a"


def test_the_first_time_of_everything_is_kept() -> None:
    """An end that is said twice, and an acknowledgement that comes twice."""
    ledger = Ledger(CHUNKS, 2.0)
    ledger.sent.update({0: 1.0, 1: 1.1})
    ledger.ended(3.0)
    ledger.ended(4.0)
    ledger.stored([0], 5.0)
    ledger.stored([0, 1], 6.0)
    assert ledger.ended_at == 3.0
    assert ledger.acked == {0: 5.0, 1: 6.0}


def test_what_was_never_sent_cannot_be_stored() -> None:
    """Whatever the relay says."""
    ledger = Ledger(CHUNKS, 2.0)
    ledger.sent[0] = 1.0
    ledger.stored([0, 4], 5.0)
    assert set(ledger.acked) == {0}


def test_in_order_counts_up_to_the_first_gap() -> None:
    """What lies behind it is held."""
    ledger = Ledger(CHUNKS, 2.0)
    ledger.acked.update({0: 1.0, 1: 1.0, 3: 1.0})
    assert ledger.in_order == 2


def test_the_answer_is_over_when_the_device_was_told_so() -> None:
    """Before that there is no time of its end."""
    ledger = Ledger(CHUNKS, 2.0)
    ledger.heard += heard("a", "b")
    before = ledger.finished_at
    ledger.heard.append(Heard(9.0, None))
    assert (before, ledger.finished_at) == (None, 9.0)
    assert ledger.shown == "ab"
