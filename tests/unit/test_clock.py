from __future__ import annotations

import time

import pytest

from relay.clock import ManualClock, OneTimer, SystemClock
from tests.support.node import Timers


def test_a_jump_of_the_wall_clock_moves_no_deadline() -> None:
    """After the wall clock was set back by an hour, one second more is one second more."""
    wall, monotonic = 1_000_000.0, 50.0
    clock = SystemClock(lambda: wall, lambda: monotonic)
    assert clock.now() == 1_000_000.0
    wall -= 3600
    monotonic += 1
    assert clock.now() == 1_000_001.0


def test_the_system_clock_tells_unix_time() -> None:
    """What it says lies between two readings of the wall clock, give or take its resolution."""
    before = time.time()
    now = SystemClock().now()
    assert before - 0.01 <= now <= time.time() + 0.01


def test_a_manual_clock_stands_still_until_advanced() -> None:
    """It starts where it is told and moves by exactly what it is told."""
    clock = ManualClock(10.0)
    assert (clock.now(), clock.now()) == (10.0, 10.0)
    clock.advance(0.25)
    assert clock.now() == 10.25


def test_a_manual_clock_does_not_go_back() -> None:
    """A test that would turn time back is itself wrong."""
    with pytest.raises(ValueError, match="go back"):
        ManualClock().advance(-1)


def test_a_timer_has_only_the_last_call() -> None:
    """And none once it was cancelled, twice too."""
    timers, called = Timers(ManualClock()), list[str]()
    timer = OneTimer(timers)
    timer.cancel()
    timer.set(1.0, lambda: called.append("first"))
    timer.set(2.0, lambda: called.append("second"))
    timers.advance(2.0)
    assert called == ["second"]
    timer.set(1.0, lambda: called.append("third"))
    timer.cancel()
    timer.cancel()
    timers.advance(2.0)
    assert called == ["second"]
