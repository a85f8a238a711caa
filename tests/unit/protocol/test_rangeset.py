from __future__ import annotations

import pytest

from relay.protocol.rangeset import Ranges, RangeSet, count, expand, merge, within


@pytest.mark.parametrize(
    ("numbers", "ranges"),
    [
        ((), ()),
        ((0, 1, 2), ((0, 2),)),
        ((2, 0, 1), ((0, 2),)),
        ((0, 2), ((0, 0), (2, 2))),
        ((0, 2, 1), ((0, 2),)),
        ((5, 4), ((4, 5),)),
        ((9, 0, 4, 1), ((0, 1), (4, 4), (9, 9))),
        ((0, 9, 5), ((0, 0), (5, 5), (9, 9))),
    ],
)
def test_neighbours_become_one_range(
    numbers: tuple[int, ...], ranges: tuple[tuple[int, int], ...]
) -> None:
    """In whatever order they come."""
    assert RangeSet(numbers).ranges() == ranges


def test_a_number_is_new_once() -> None:
    """At the edge and in the middle of a range, and outside."""
    numbers = RangeSet([3, 4, 5])
    assert [numbers.add(n) for n in (3, 4, 5, 6, 6)] == [False, False, False, True, False]
    assert len(numbers) == 4


def test_membership_is_exact() -> None:
    """A number below the highest is not a member for that."""
    numbers = RangeSet([1, 2, 6])
    assert [n for n in range(9) if n in numbers] == [1, 2, 6]
    assert list(numbers) == [1, 2, 6]
    assert numbers.highest == 6
    assert RangeSet().highest == -1


@pytest.mark.parametrize(
    ("stop", "start", "missing"),
    [
        (0, 0, ()),
        (1, 0, ((0, 0),)),
        (3, 0, ((0, 0),)),
        (9, 0, ((0, 0), (3, 5), (7, 8))),
        (6, 0, ((0, 0), (3, 5))),
        (7, 4, ((4, 5),)),
        (7, 2, ((3, 5),)),
        (9, 8, ((8, 8),)),
        (3, 5, ()),
    ],
)
def test_what_is_missing_is_read_off(
    stop: int, start: int, missing: tuple[tuple[int, int], ...]
) -> None:
    """Of `start..stop-1`, both ends cut exactly."""
    assert RangeSet([1, 2, 6]).missing(stop, start) == missing


def test_sets_are_equal_by_their_members() -> None:
    """Not by the order in which these came; and as they change, they have no hash."""
    assert RangeSet([1, 2]) == RangeSet([2, 1])
    assert RangeSet([1]) != RangeSet([2])
    assert RangeSet([1]) != {1}
    assert repr(RangeSet([1, 2])) == "RangeSet(((1, 2),))"
    with pytest.raises(TypeError):
        hash(RangeSet())


def test_ranges_are_counted_and_expanded() -> None:
    """Both ends are included; an expansion has a limit, however wide the ranges are."""
    assert count(((0, 2), (5, 5))) == 4
    assert expand(((0, 2), (5, 5)), 10) == [0, 1, 2, 5]
    assert expand(((0, 2), (5, 10**9)), 5) == [0, 1, 2, 5, 6]


@pytest.mark.parametrize(
    ("left", "right", "union"),
    [
        ((), (), ()),
        (((0, 2),), (), ((0, 2),)),
        (((0, 2),), ((3, 4),), ((0, 4),)),
        (((0, 2),), ((4, 5),), ((0, 2), (4, 5))),
        (((0, 9),), ((2, 3), (8, 12)), ((0, 12),)),
        (((5, 6),), ((0, 1), (9, 9)), ((0, 1), (5, 6), (9, 9))),
    ],
)
def test_two_sets_of_ranges_are_merged(left: Ranges, right: Ranges, union: Ranges) -> None:
    """Overlapping and touching ones become one; from either side."""
    assert merge(left, right) == merge(right, left) == union


def test_a_number_lies_within_ranges_or_not() -> None:
    """Their bounds are inclusive."""
    ranges = ((2, 3), (7, 7))
    assert [number for number in range(10) if within(number, ranges)] == [2, 3, 7]
    assert not within(0, ())
