"""The bucket against a brute-force model, and how many buckets are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.limits.bucket import BURST_S, Bucket, Buckets

TICKS_PER_S = 64
"""Times are whole ticks, so that the model counts in whole numbers and floats are exact."""


class Model:
    """A bucket that is filled drop by drop: `rate` drops each tick, a token is 64 drops."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.size = max(int(BURST_S) * rate * TICKS_PER_S, TICKS_PER_S)
        self.drops = self.size

    def tick(self) -> None:
        self.drops = min(self.size, self.drops + self.rate)

    def ticks_until(self, drops: int) -> float:
        """How many ticks until nothing is missing, if so many drops are missing."""
        return max(0, drops) / self.rate


STEPS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 40), st.booleans()), min_size=1, max_size=40
)


@given(rate=st.sampled_from([1, 2, 4, 8]), steps=STEPS)
def test_a_bucket_does_what_one_does_that_is_filled_drop_by_drop(
    rate: int, steps: list[tuple[int, int, bool]]
) -> None:
    """Over any sequence of takes and charges: the same answers, and the same waits."""
    bucket, model, now = Bucket(rate), Model(rate), 1_000 * TICKS_PER_S
    for pause, cost, must_fit in steps:
        for _ in range(pause):
            now += 1
            model.tick()
        drops = cost * TICKS_PER_S
        fits = drops <= model.drops
        expected = model.ticks_until(drops - model.drops) / TICKS_PER_S
        if must_fit:
            wait_s = bucket.take(cost, now / TICKS_PER_S)
            model.drops -= drops if fits else 0
        else:
            wait_s = bucket.charge(cost, now / TICKS_PER_S)
            model.drops -= drops
        assert wait_s == pytest.approx(expected)
        assert bucket.is_full(now / TICKS_PER_S) == (model.drops == model.size)


def test_a_bucket_gives_five_seconds_worth_at_once_and_then_its_rate() -> None:
    """50 at once at 10 a second; the next comes back after a tenth of a second."""
    bucket = Bucket(10.0)
    assert [bucket.take(1, 100.0) for _ in range(50)] == [0.0] * 50
    assert bucket.take(1, 100.0) == pytest.approx(0.1)
    assert bucket.take(1, 100.05) == pytest.approx(0.05)
    assert bucket.take(1, 100.1001) == 0.0


def test_what_did_not_fit_costs_nothing() -> None:
    """Whoever asks again and again is not kept out for longer."""
    bucket = Bucket(1.0)
    assert bucket.take(5, 0.0) == 0.0
    assert {bucket.take(1, 0.0) for _ in range(100)} == {1.0}


def test_a_slow_rate_gives_one_all_the_same() -> None:
    """One in ten seconds: five seconds' worth of it would never be one."""
    bucket = Bucket(0.1)
    assert bucket.take(1, 0.0) == 0.0
    assert bucket.take(1, 0.0) == pytest.approx(10.0)


def test_each_subject_has_its_own_bucket() -> None:
    """One that is empty costs its neighbour nothing."""
    buckets = Buckets(1.0)
    assert buckets.of("a", 0.0).take(5, 0.0) == 0.0
    assert buckets.of("a", 0.0).take(1, 0.0) > 0.0
    assert buckets.of("b", 0.0).take(5, 0.0) == 0.0


def test_no_more_are_kept_than_may_be_and_full_ones_go_first() -> None:
    """A hundred thousand subjects cost no more than a hundred; whoever owes is kept if possible."""
    buckets = Buckets(1.0, subjects_max=100)
    buckets.of("debtor", 0.0).charge(1_000_000, 0.0)
    for number in range(100_000):
        buckets.of(number, 0.0)
    assert len(buckets) == 100
    assert buckets.of("debtor", 0.0).take(1, 0.0) > 0.0


def test_where_all_owe_the_oldest_is_forgiven() -> None:
    """Memory is bounded even against somebody with more addresses than there are buckets."""
    buckets = Buckets(1.0, subjects_max=10)
    for number in range(1_000):
        buckets.of(number, 0.0).charge(100, 0.0)
    assert len(buckets) == 10
    assert buckets.of(999, 0.0).take(1, 0.0) > 0.0
    assert buckets.of(0, 0.0).take(1, 0.0) == 0.0
