"""All deadlines of a node, on one heap with one timer."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import pytest

from relay.clock import ManualClock
from relay.node.deadlines import Deadlines
from tests.support.node import Timers


class Bench:
    """Deadlines on a clock that stands still, and what they called."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.timers = Timers(self.clock)
        self.deadlines = Deadlines(self.clock, self.timers, self._due)
        self.calls: list[tuple[Hashable, float]] = []
        self.then: Callable[[Hashable, float], None] = lambda key, now: None

    def _due(self, key: Hashable, now: float) -> None:
        self.calls.append((key, now))
        self.then(key, now)


@pytest.fixture
def bench() -> Bench:
    """An empty heap at 0."""
    return Bench()


def test_nothing_is_called_early_and_everything_in_order(bench: Bench) -> None:
    """Each key once, at its own time."""
    for key, when in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        bench.deadlines.set(key, when)
    bench.timers.advance(0.999)
    assert bench.calls == []
    bench.timers.advance(9.0)
    assert bench.calls == [("a", 1.0), ("b", 2.0), ("c", 3.0)]
    assert len(bench.deadlines) == 0


def test_what_waits_is_counted_with_what_is_stale(bench: Bench) -> None:
    """A deadline that was removed leaves its record until that comes up."""
    bench.deadlines.set("a", 1.0)
    bench.deadlines.set("b", 2.0)
    bench.deadlines.set("a", None)
    assert (len(bench.deadlines), bench.deadlines.queued) == (1, 2)
    bench.timers.advance(1.5)
    assert bench.deadlines.queued == 1


def test_a_deadline_that_moves_later_is_called_once_and_then(bench: Bench) -> None:
    """The timer of the old one finds that out."""
    bench.deadlines.set("a", 1.0)
    bench.deadlines.set("a", 5.0)
    bench.timers.advance(4.9)
    assert bench.calls == []
    bench.timers.advance(0.2)
    assert bench.calls == [("a", 5.0)]


def test_a_deadline_that_moves_earlier_is_called_once_and_then(bench: Bench) -> None:
    """And not again when the old one would have been due."""
    bench.deadlines.set("a", 5.0)
    bench.deadlines.set("a", 1.0)
    bench.timers.advance(9.0)
    assert bench.calls == [("a", 1.0)]


def test_earlier_and_later_again_is_called_once(bench: Bench) -> None:
    """Back to where it was: two records of one time are one deadline."""
    bench.deadlines.set("a", 5.0)
    bench.deadlines.set("a", 1.0)
    bench.deadlines.set("a", 5.0)
    bench.timers.advance(9.0)
    assert bench.calls == [("a", 5.0)]


def test_a_removed_deadline_is_not_called(bench: Bench) -> None:
    """Removing one that is not there does nothing."""
    bench.deadlines.set("a", 1.0)
    bench.deadlines.set("a", None)
    bench.deadlines.set("b", None)
    bench.timers.advance(9.0)
    assert bench.calls == []


def test_a_key_may_come_again(bench: Bench) -> None:
    """After it was called, and after it was removed."""
    bench.deadlines.set("a", 1.0)
    bench.timers.advance(1.0)
    bench.deadlines.set("a", 2.0)
    bench.deadlines.set("a", None)
    bench.deadlines.set("a", 3.0)
    bench.timers.advance(9.0)
    assert bench.calls == [("a", 1.0), ("a", 3.0)]


def test_what_is_due_may_set_and_remove_deadlines(bench: Bench) -> None:
    """Its own, and those of others that are due at the same time."""

    def then(key: Hashable, now: float) -> None:
        if len(bench.calls) == 1:
            bench.deadlines.set("a", now + 1.0)
            bench.deadlines.set("b", None)
            bench.deadlines.set("c", now)

    bench.then = then
    bench.deadlines.set("a", 1.0)
    bench.deadlines.set("b", 1.0)
    bench.timers.advance(9.0)
    assert bench.calls == [("a", 1.0), ("c", 1.0), ("a", 2.0)]


def test_thousands_of_moves_cost_one_record_and_one_timer(bench: Bench) -> None:
    """Every chunk moves its stream's deadline; that must cost no more than noting it."""
    for move in range(10_000):
        bench.deadlines.set("a", 60.0 + move / 1000)
    assert (len(bench.deadlines._heap), bench.timers.started) == (1, 1)  # noqa: SLF001  # its cost is the point
    bench.timers.advance(200.0)
    assert bench.calls == [("a", 69.999)]
    assert bench.timers.started == 2


def test_there_is_never_more_than_one_timer(bench: Bench) -> None:
    """An earlier deadline takes the timer of a later one, a later one needs none."""
    for when in (5.0, 3.0, 4.0, 2.0, 9.0):
        bench.deadlines.set(when, when)
        assert len(bench.timers.armed) == 1
    assert bench.timers.armed == [2.0]
    assert bench.timers.started == 3


def test_a_timer_that_fires_too_soon_calls_nothing(bench: Bench) -> None:
    """Event loops round: what is not due by the clock is waited for again."""
    bench.deadlines.set("a", 1.0)
    bench.clock.advance(0.999)
    bench.deadlines.run()
    assert bench.calls == []
    bench.timers.advance(0.002)
    assert [key for key, _ in bench.calls] == ["a"]


def test_an_overdue_deadline_is_called_at_once(bench: Bench) -> None:
    """With the time that it is, not the time that it should have been."""
    bench.clock.advance(10.0)
    bench.deadlines.set("a", 1.0)
    bench.timers.advance(0.0)
    assert bench.calls == [("a", 10.0)]


def test_after_the_close_nothing_is_called(bench: Bench) -> None:
    """And closing an empty heap is no error."""
    bench.deadlines.set("a", 1.0)
    bench.deadlines.close()
    bench.deadlines.close()
    bench.timers.advance(9.0)
    assert (bench.calls, len(bench.deadlines), bench.timers.armed) == ([], 0, [])
