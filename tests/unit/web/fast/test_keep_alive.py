"""Comments for quiet streams: often enough, and none that is not needed."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.web.fast.keep_alive import SLOTS, KeepAlive

EVERY_S = 16.0
COMMENT = b": keep-alive"


class Timers:
    """A loop's `call_later`, whose time passes by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = count()
        self.heap: list[tuple[float, int, Callable[[], None]]] = []

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timers:
        """Call it then."""
        heappush(self.heap, (self.now + delay_s, next(self._numbers), callback))
        return self

    def cancel(self) -> None:
        """Nothing here cancels."""
        raise AssertionError

    def run_until(self, at: float) -> None:
        """Let time pass."""
        while self.heap and self.heap[0][0] <= at:
            self.now, _, callback = heappop(self.heap)
            callback()
        self.now = at


class Stream:
    """As `LiveResponse` has it: what was written, and when."""

    def __init__(self, timers: Timers) -> None:
        self.timers = timers
        self.written: list[float] = []
        self.comments: list[float] = []
        self.quiet = False

    def write(self) -> None:
        """An event."""
        self.quiet = False
        self.written.append(self.timers.now)

    def keep_alive(self, comment: bytes) -> None:
        """See `Quiet.keep_alive`."""
        assert comment == COMMENT
        if self.quiet:
            self.comments.append(self.timers.now)
            self.written.append(self.timers.now)
        self.quiet = not self.quiet


@pytest.fixture
def timers() -> Timers:
    """At zero."""
    return Timers()


@given(
    st.floats(0.0, 20.0),
    st.lists(st.floats(0.1, 40.0), max_size=8),
    st.floats(0.0, 20.0),
)
def test_no_stream_is_quiet_for_longer_than_it_may(
    opened_at: float, pauses: list[float], first_at: float
) -> None:
    """Whenever it was opened, and whenever it has events; another one keeps the timer running."""
    timers = Timers()
    keep = KeepAlive(COMMENT, every_s=EVERY_S, call_later=timers.call_later)
    timers.run_until(first_at)
    keep.add(Stream(timers))
    timers.run_until(first_at + opened_at)
    stream = Stream(timers)
    start = timers.now
    keep.add(stream)
    for pause_s in pauses:
        timers.run_until(timers.now + pause_s)
        stream.write()
    timers.run_until(timers.now + 3 * EVERY_S)
    times = [start, *stream.written, timers.now]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= EVERY_S * (1 + 1e-9)
    assert len(stream.comments) <= (timers.now - start) / (EVERY_S / 2)


def test_a_stream_that_has_events_gets_no_comment(timers: Timers) -> None:
    """Each says that the relay is there."""
    keep = KeepAlive(COMMENT, every_s=EVERY_S, call_later=timers.call_later)
    stream = Stream(timers)
    keep.add(stream)
    for _ in range(100):
        timers.run_until(timers.now + EVERY_S / 2 - 0.1)
        stream.write()
    assert stream.comments == []


def test_a_quiet_stream_gets_one_comment_in_its_time(timers: Timers) -> None:
    """Not twice as many as a proxy needs."""
    keep = KeepAlive(COMMENT, every_s=EVERY_S, call_later=timers.call_later)
    stream = Stream(timers)
    keep.add(stream)
    timers.run_until(10 * EVERY_S + 0.1)
    assert stream.comments == pytest.approx([EVERY_S * turn for turn in range(1, 11)])


def test_streams_that_are_opened_one_after_the_other_have_their_turns_apart(
    timers: Timers,
) -> None:
    """Ten thousand comments in one moment would delay everybody's events."""
    keep = KeepAlive(COMMENT, every_s=EVERY_S, call_later=timers.call_later)
    streams = [Stream(timers) for _ in range(SLOTS)]
    for stream in streams:
        keep.add(stream)
        timers.run_until(timers.now + EVERY_S / 2 / SLOTS + 0.001)
    timers.run_until(2 * EVERY_S)
    assert len({round(stream.comments[0], 2) for stream in streams}) == SLOTS


def test_the_timer_ends_with_the_last_stream_and_begins_with_the_next(timers: Timers) -> None:
    """A relay without devices does nothing."""
    keep = KeepAlive(COMMENT, every_s=EVERY_S, call_later=timers.call_later)
    first, second = Stream(timers), Stream(timers)
    keep.add(first)
    assert len(timers.heap) == 1
    keep.add(second)
    keep.remove(second)
    timers.run_until(3.0)
    assert len(timers.heap) == 1
    keep.remove(first)
    keep.remove(first)
    timers.run_until(timers.now + EVERY_S)
    assert timers.heap == []
    stream = Stream(timers)
    keep.add(stream)
    timers.run_until(timers.now + EVERY_S + 0.1)
    assert len(stream.comments) == 1


def test_a_stream_that_was_removed_is_asked_no_more(timers: Timers) -> None:
    """Also where others go on."""
    keep = KeepAlive(COMMENT, every_s=EVERY_S, call_later=timers.call_later)
    gone, there = Stream(timers), Stream(timers)
    keep.add(gone)
    keep.add(there)
    keep.remove(gone)
    timers.run_until(2 * EVERY_S + 0.1)
    assert (len(gone.comments), len(there.comments)) == (0, 2)


def test_the_failure_of_one_stream_does_not_end_the_comments_of_the_others(
    timers: Timers,
) -> None:
    """It ends one turn; the next ones come."""

    class Buggy(Stream):
        def keep_alive(self, comment: bytes) -> None:
            raise RuntimeError

    keep = KeepAlive(COMMENT, every_s=EVERY_S, call_later=timers.call_later)
    buggy = Buggy(timers)
    keep.add(buggy)
    with pytest.raises(RuntimeError):
        timers.run_until(EVERY_S)
    keep.remove(buggy)
    stream = Stream(timers)
    keep.add(stream)
    timers.run_until(timers.now + EVERY_S + 1.0)
    assert len(stream.comments) == 1
