from __future__ import annotations

from bench.figures import figures, spread


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """The nearest rank, whatever the order of the values."""
    got = figures([float(value) for value in range(1000, 0, -1)])
    assert (got.p50, got.p99, got.max) == (500.0, 990.0, 1000.0)


def test_one_value_is_every_percentile() -> None:
    """A run may be short."""
    got = figures([7.0])
    assert (got.p50, got.p99, got.max) == (7.0, 7.0, 7.0)


def test_the_median_of_the_runs_is_told_with_their_range() -> None:
    """So that nobody takes noise for a difference."""
    assert str(spread([3.0, 1.0, 2.0])) == "2.00 (1.00-3.00)"
