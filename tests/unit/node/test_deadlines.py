"""All deadlines of a node, on one heap with one timer."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Hashable

import pytest
import uvloop

from relay.clock import ManualClock, SystemClock
from relay.node.deadlines import CATCH_UP_S, HELD_UP_S, TURNS, Deadlines
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
    assert bench.timers.started == 2 + 2 * TURNS


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


def stopped(bench: Bench, seconds: float) -> None:
    """Let the process stand still for so long, and go on."""
    bench.clock.advance(seconds)
    bench.timers.advance(0.0)


@pytest.mark.parametrize(("stop_s", "reads_s"), [(12.0, CATCH_UP_S), (1.4, 0.4)])
def test_a_loop_that_was_held_up_reads_before_anything_is_due(
    bench: Bench, stop_s: float, reads_s: float
) -> None:
    """For as long as it was late, up to a second: what came meanwhile waits in its sockets."""
    bench.deadlines.set("a", 1.0)
    stopped(bench, stop_s)
    bench.timers.advance(reads_s - 0.01)
    assert bench.calls == []
    bench.timers.advance(0.02)
    ((key, called_at),) = bench.calls
    assert key == "a"
    assert called_at == pytest.approx(stop_s + reads_s)


def test_what_is_read_behind_a_stop_moves_a_deadline(bench: Bench) -> None:
    """It was in time, but for the relay: then nothing is over."""
    bench.deadlines.set("a", 1.0)
    stopped(bench, 12.0)
    bench.deadlines.set("a", 20.0)
    bench.timers.advance(7.9)
    assert bench.calls == []
    bench.timers.advance(0.2)
    assert bench.calls == [("a", 20.0)]


def test_what_comes_due_just_behind_a_stop_waits_too(bench: Bench) -> None:
    """Its own timer is in time: somebody else was called back too late, and says so."""
    bench.deadlines.set("a", 12.001)
    bench.clock.advance(12.0)
    bench.deadlines.held_up(11.9)
    bench.timers.advance(0.99)
    assert bench.calls == []
    bench.timers.advance(0.02)
    assert bench.calls == [("a", 13.0)]


def test_a_loop_that_is_late_by_milliseconds_puts_nothing_off(bench: Bench) -> None:
    """A healthy relay keeps its times."""
    bench.deadlines.set("a", 1.0)
    bench.deadlines.held_up(HELD_UP_S)
    stopped(bench, 1.0 + HELD_UP_S / 2)
    assert bench.calls == [("a", 1.0 + HELD_UP_S / 2)]


def test_a_loop_that_is_always_late_ends_everything_all_the_same(bench: Bench) -> None:
    """Each deadline is put off once at most, whatever comes due meanwhile."""
    for when in range(1, 9):
        bench.deadlines.set(when, float(when))
    for _ in range(40):
        bench.deadlines.held_up(0.5)
        stopped(bench, 0.5)
    assert [key for key, _ in bench.calls] == list(range(1, 9))
    assert max(now - float(str(key)) for key, now in bench.calls) <= CATCH_UP_S + 0.5 + 0.5


@pytest.mark.parametrize("policy", [asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy])
def test_what_waits_in_a_socket_is_read_before_anything_is_due(
    policy: Callable[[], asyncio.AbstractEventLoopPolicy],
) -> None:
    """However short the loop was busy: libuv looks at its timers first."""
    here, there = socket.socketpair()
    busy, trigger = socket.socketpair()
    for end in (here, busy):
        end.setblocking(False)
    seen: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        over = loop.create_future()

        def due(_key: Hashable, _now: float) -> None:
            seen.append("due")
            over.set_result(None)

        def hold_up() -> None:
            busy.recv(1)
            there.send(b"c")
            time.sleep(0.02)  # the fault itself: the loop is busy when the time comes

        loop.add_reader(here, lambda: seen.append(here.recv(1).decode()))
        loop.add_reader(busy, hold_up)
        clock = SystemClock()
        Deadlines(clock, loop.call_later, due).set("a", clock.now() + 0.01)
        trigger.send(b"x")
        await over
        for one in (here, busy):
            loop.remove_reader(one)

    loop = policy().new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    for one in (here, there, busy, trigger):
        one.close()
    assert seen == ["c", "due"]
