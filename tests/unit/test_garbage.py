from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from relay.clock import ManualClock
from relay.garbage import (
    BLOCK_S,
    NEW_EVERY_MAX_S,
    NEW_EVERY_S,
    NEW_SHARE,
    SEARCH_EVERY_S,
    SEARCH_SHARE,
    FullSearches,
    NewSearches,
)
from tests.support.node import Timers


def test_what_is_imported_for_good_is_not_searched_for_garbage() -> None:
    """Neither while it is made nor later; what comes behind it is."""
    program = """
import gc
from relay.garbage import imported_for_good
runs = []
gc.callbacks.append(lambda phase, info: runs.append(phase))
try:
    with imported_for_good():
        kept = [[] for _ in range(50_000)]
        raise ImportError
except ImportError:
    pass
print(len(runs), gc.is_tracked(kept), any(one is kept for one in gc.get_objects()), gc.isenabled())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["0", "True", "False", "True"]


def test_what_a_start_has_made_is_searched_no_more_and_the_rest_seldom() -> None:
    """The library's defaults would look at everything again and again under load."""
    program = """
import gc
from relay.garbage import collect_seldom
kept = [[] for _ in range(1_000)]
collect_seldom()
print(any(one is kept for one in gc.get_objects()), gc.isenabled(), gc.get_threshold()[1] >= 1_000)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["False", "True", "True"]


def started() -> tuple[FullSearches, Timers, list[float]]:
    """Begin at second 100. Returns the searches, their timers, and when they were made."""
    clock = ManualClock(100.0)
    timers = Timers(clock)
    searched: list[float] = []
    searches = FullSearches(
        call_later=timers, monotonic=clock.now, search=lambda: searched.append(clock.now())
    )
    searches.start()
    return searches, timers, searched


def test_everything_is_searched_once_a_minute() -> None:
    """Not at once, and each time again; a search that is short does not put off the next one."""
    _, timers, searched = started()
    assert searched == []
    timers.advance(3 * SEARCH_EVERY_S)
    assert searched == [100.0 + turn * SEARCH_EVERY_S for turn in (1, 2, 3)]


def crowded(blocks: int, took_s: float, minutes: int) -> list[float]:
    """Return when a relay searches that has so much memory, and takes so long for it."""
    clock = ManualClock(0.0)
    timers = Timers(clock)
    searched: list[float] = []
    allocated = [500_000]

    def search() -> None:
        searched.append(clock.now())
        clock.advance(took_s)

    searches = FullSearches(
        call_later=timers, monotonic=clock.now, blocks=lambda: allocated[0], search=search
    )
    searches.start()
    allocated[0] += blocks
    while clock.now() < minutes * 60.0:
        assert timers.fire_next(until=clock.now() + 61.0)
    return searched


def test_a_search_that_would_take_long_comes_seldom_also_the_first() -> None:
    """A quarter of a second stops every stream: after seventeen minutes, and each seventeen."""
    searched = crowded(round(0.25 / BLOCK_S), 0.25, 60)
    since = [later - earlier for earlier, later in pairwise([0.0, *searched])]
    assert len(since) == 3
    assert all(0.25 / SEARCH_SHARE <= each <= 0.25 / SEARCH_SHARE + 61.0 for each in since)


def test_a_search_that_took_longer_than_was_thought_is_the_last_for_long() -> None:
    """Ten times as long as on the machine that the figure is from, so ten times as seldom."""
    first, second = crowded(50_000, 0.15, 15)
    assert first == SEARCH_EVERY_S
    assert 600.0 <= second - first <= 661.0


def test_a_search_that_took_long_for_nothing_is_not_held_against_the_next() -> None:
    """A machine that stood still for a moment says nothing about a search."""
    assert len(crowded(0, 0.005, 10)) == 10


def test_searches_that_are_stopped_come_no_more() -> None:
    """Stopping twice is once."""
    searches, timers, searched = started()
    searches.stop()
    searches.stop()
    timers.advance(10 * SEARCH_EVERY_S)
    assert (searched, timers.armed) == ([], [])


def test_what_is_new_is_searched_again_and_again_until_it_is_stopped() -> None:
    """However much it is: it would be more, the later."""
    clock = ManualClock(100.0)
    timers = Timers(clock)
    searched: list[float] = []
    searches = NewSearches(
        call_later=timers, monotonic=clock.now, search=lambda: searched.append(clock.now())
    )
    searches.start()
    timers.advance(3.5 * NEW_EVERY_S)
    assert searched == pytest.approx([100.0 + turn * NEW_EVERY_S for turn in (1, 2, 3)])
    searches.stop()
    searches.stop()
    timers.advance(1.0)
    assert (len(searched), timers.armed) == (3, [])


@pytest.mark.parametrize(
    ("takes_s", "every_s"),
    [(NEW_EVERY_S * NEW_SHARE / 2, NEW_EVERY_S), (0.004, 0.4), (0.1, NEW_EVERY_MAX_S)],
)
def test_a_search_that_takes_long_is_made_more_seldom(takes_s: float, every_s: float) -> None:
    """A hundredth of the time is enough; but never so seldom that much gathers."""
    clock = ManualClock(100.0)
    timers = Timers(clock)
    searched: list[float] = []

    def search() -> None:
        searched.append(clock.now())
        clock.advance(takes_s)

    NewSearches(call_later=timers, monotonic=clock.now, search=search).start()
    timers.advance(10 * NEW_EVERY_MAX_S)
    rests = [later - before - takes_s for before, later in pairwise(searched)]
    assert rests == pytest.approx([every_s] * len(rests))
    assert len(rests) > 2


def test_a_ring_that_is_new_is_freed_by_a_search_and_one_of_the_start_is_not_looked_at() -> None:
    """Also where by the thresholds nothing would be due for long."""
    program = """
import gc, weakref
from relay.clock import ManualClock
from relay.garbage import NewSearches, collect_seldom
from tests.support.node import Timers

class Ring:
    def __init__(self):
        self.me = self

collect_seldom()
known = weakref.ref(Ring())
print(known() is not None)
clock = ManualClock()
timers = Timers(clock)
NewSearches(call_later=timers, monotonic=clock.now).start()
timers.advance(0.1)
print(known() is None, len(gc.get_objects(0)) < 1_000)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["True", "True", "True"]


def test_a_ring_that_has_grown_old_is_freed_by_a_search() -> None:
    """The thresholds alone leave it where it is."""
    program = """
import gc, weakref
from relay.clock import ManualClock
from relay.garbage import FullSearches, collect_seldom
from tests.support.node import Timers

class Ring:
    def __init__(self):
        self.me = self

collect_seldom()
ring = Ring()
gc.collect(1)
known = weakref.ref(ring)
del ring
gc.collect(1)
print(known() is not None)
timers = Timers(ManualClock())
FullSearches(call_later=timers, monotonic=timers.clock.now).start()
timers.advance(60.0)
print(known() is None)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["True", "True"]
