"""A set of sequence numbers, stored as ranges.

A stream's sequences are nearly one contiguous run, so the set costs a few integers however
long the answer is, and "what is missing" is read off instead of searched for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges, ascending and not touching: `((0, 4), (6, 6))`."""


class RangeSet:
    """A set of non-negative integers with exact membership."""

    __slots__ = ("_count", "_ends", "_firsts", "highest")

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        """Of all ranges but the last one, whose end is `highest`: that is the one that grows."""
        self._count = 0
        self.highest = -1
        """The greatest member, or -1 where there is none."""
        for number in numbers:
            self.add(number)

    def __contains__(self, number: int) -> bool:
        if number >= self.highest:
            return number == self.highest >= 0
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and (at == len(self._ends) or number <= self._ends[at])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges():
            yield from range(first, last + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self.ranges() == other.ranges()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"RangeSet({self.ranges()})"

    def add(self, number: int) -> bool:
        """Add one number; returns whether it is new."""
        if number in self:
            return False
        firsts, ends = self._firsts, self._ends
        if number > self.highest:
            if number != self.highest + 1 or not firsts:
                if firsts:
                    ends.append(self.highest)
                firsts.append(number)
            self.highest = number
        else:
            at = bisect_right(firsts, number)  # the range behind it
            joins_left = at > 0 and ends[at - 1] == number - 1
            joins_right = firsts[at] == number + 1
            if joins_left and joins_right:
                del firsts[at], ends[at - 1]
            elif joins_left:
                ends[at - 1] = number
            elif joins_right:
                firsts[at] = number
            else:
                firsts.insert(at, number)
                ends.insert(at, number)
        self._count += 1
        return True

    def extend(self, count: int) -> None:
        """Add the next `count` numbers above the highest, or the first ones."""
        if self.highest < 0:
            self._firsts.append(0)
        self._count += count
        self.highest += count

    def ranges(self) -> Ranges:
        """Return the members as inclusive ranges."""
        return tuple(zip(self._firsts, (*self._ends, self.highest), strict=False))

    def missing(self, stop: int, start: int = 0) -> Ranges:
        """Return what is not in the set of `start..stop-1`, as inclusive ranges."""
        gaps: list[tuple[int, int]] = []
        at = start
        for first, last in self.ranges():
            if first >= stop:
                break
            if first > at:
                gaps.append((at, first - 1))
            at = max(at, last + 1)
        if at < stop:
            gaps.append((at, stop - 1))
        return tuple(gaps)


def within(number: int, ranges: Ranges) -> bool:
    """Whether the number lies in one of the ranges."""
    return any(first <= number <= last for first, last in ranges)


def count(ranges: Ranges) -> int:
    """Return how many numbers the inclusive ranges hold."""
    return sum(last - first + 1 for first, last in ranges)


def merge(left: Ranges, right: Ranges) -> Ranges:
    """Return the union of two sets of inclusive ranges."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted((*left, *right)):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


def expand(ranges: Ranges, limit: int) -> list[int]:
    """Return the first `limit` numbers of the inclusive ranges."""
    numbers: list[int] = []
    for first, last in ranges:
        room = limit - len(numbers)
        numbers.extend(range(first, min(last + 1, first + room)))
    return numbers
