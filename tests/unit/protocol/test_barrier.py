from __future__ import annotations

import pytest

from relay.protocol.barrier import EndBarrier
from relay.protocol.limits import Limits

LIMITS = Limits(barrier_s=2.0, guess_s=0.15)


@pytest.mark.parametrize(
    ("stated", "summarised", "highest", "known", "total"),
    [
        (None, None, -1, None, 0),
        (None, None, 4, None, 5),
        (60, None, 4, 60, 60),
        (None, 60, 4, 60, 60),
        (60, 57, 4, 60, 60),
        (3, None, 4, 3, 5),
        (0, None, -1, 0, 0),
        (0, 60, -1, 0, 0),
    ],
)
def test_n_is_stated_summarised_or_guessed(
    stated: int | None, summarised: int | None, highest: int, known: int | None, total: int
) -> None:
    """The end's word before the summary's, that before the guess; never less than was seen."""
    barrier = EndBarrier(10.0, stated, summarised=summarised)
    assert barrier.known == known
    assert barrier.total(highest) == total


@pytest.mark.parametrize(
    ("stated", "whole", "broken", "last_chunk_at", "deadline"),
    [
        (None, True, False, 9.0, 10.15),
        (None, True, False, None, 10.15),
        (None, True, False, 11.0, 11.15),
        (None, True, False, 11.95, 12.0),
        (None, False, False, 9.0, 12.0),
        (None, True, True, 9.0, 12.0),
        (60, True, False, 9.0, 12.0),
        (60, False, False, 9.0, 12.0),
    ],
)
def test_only_a_trusted_guess_shortens_the_hold(
    stated: int | None, whole: bool, broken: bool, last_chunk_at: float | None, deadline: float
) -> None:
    """Without a gap and on an unbroken connection; and it never lengthens it."""
    barrier = EndBarrier(10.0, stated)
    got = barrier.deadline(LIMITS, whole=whole, broken=broken, last_chunk_at=last_chunk_at)
    assert got == pytest.approx(deadline)


def test_a_claim_raises_the_guess_and_proves_nothing() -> None:
    """A summary that does not agree may say that more was sent, and never that this is all."""
    barrier = EndBarrier(10.0, claimed=60)
    assert (barrier.known, barrier.total(56), barrier.total(70)) == (None, 60, 71)
    barrier.stated = 57
    assert barrier.total(56) == 57
