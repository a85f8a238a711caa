"""A `RangeSet` is a set of numbers, whatever is done with it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.rangeset import RangeSet, count, expand, merge

numbers = st.lists(st.integers(0, 40) | st.integers(0, 1_000_000), max_size=60)


@given(numbers)
def test_it_holds_what_was_added(added: list[int]) -> None:
    """As Python's own set does, and `add` tells what is new."""
    model: set[int] = set()
    ranges = RangeSet()
    for number in added:
        assert ranges.add(number) is (number not in model)
        model.add(number)
        assert number in ranges
    assert list(ranges) == sorted(model)
    assert len(ranges) == len(model)
    assert ranges.highest == max(model, default=-1)
    assert all((n in ranges) is (n in model) for n in range(45))


@given(numbers)
def test_its_ranges_ascend_and_do_not_touch(added: list[int]) -> None:
    """So each set has one form, however it came about."""
    ranges = RangeSet(added).ranges()
    assert all(first <= last for first, last in ranges)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(ranges))
    assert ranges == RangeSet(reversed(added)).ranges()
    assert count(ranges) == len(set(added))


@given(numbers, st.integers(0, 60), st.integers(0, 60))
def test_missing_is_the_complement(added: list[int], start: int, stop: int) -> None:
    """Of `start..stop-1`, exactly."""
    missing = RangeSet(added).missing(stop, start)
    assert expand(missing, 1000) == [n for n in range(start, stop) if n not in set(added)]
    assert all(left[1] + 1 < right[0] for left, right in pairwise(missing))


@given(numbers, st.integers(0, 100))
def test_an_expansion_is_cut_at_its_limit(added: list[int], limit: int) -> None:
    """The first numbers, in order."""
    assert expand(RangeSet(added).ranges(), limit) == sorted(set(added))[:limit]


@given(numbers, numbers)
def test_merged_ranges_are_the_union(left: list[int], right: list[int]) -> None:
    """In the one form that a set has."""
    merged = merge(RangeSet(left).ranges(), RangeSet(right).ranges())
    assert merged == RangeSet(left + right).ranges()
