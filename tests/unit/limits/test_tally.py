"""Counting what each subject has."""

from __future__ import annotations

from relay.limits.tally import Tally


def test_one_more_than_the_limit_does_not_enter_until_one_left() -> None:
    """Two of two are in, the third is not, and the place of one that left is free at once."""
    tally = Tally(2)
    assert [tally.enter("a") for _ in range(3)] == [True, True, False]
    tally.leave("a")
    assert tally.enter("a")
    assert not tally.enter("a")


def test_subjects_do_not_share_a_limit() -> None:
    """A full neighbour keeps nobody out."""
    tally = Tally(1)
    assert tally.enter("a")
    assert tally.enter("b")


def test_without_a_limit_everybody_enters() -> None:
    """Zero is no limit."""
    tally = Tally(0)
    assert all(tally.enter("a") for _ in range(1_000))


def test_who_has_nothing_is_forgotten() -> None:
    """Memory goes with what is open, whoever came before."""
    tally = Tally(1)
    for number in range(1_000):
        assert tally.enter(number)
        tally.leave(number)
    assert len(tally) == 0
