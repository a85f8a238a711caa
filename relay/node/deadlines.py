"""All deadlines of a node, on one heap with one timer.

A stream moves its deadline with every chunk. Moving it later only notes the new time: the
stale heap record finds that out when it comes up, so a chunk costs one dictionary write.

Whether a time is over is judged by what has come until then, and that may still wait in a socket:
the process was stopped, its machine paused, or its loop has too much to do. So what can be read is
read first. Each time a timer fires, the loop makes a whole pass before anything is called back; and
where the loop was held up, nothing is called back for as long as that took, but at most
`CATCH_UP_S`. No deadline is put off twice, so a relay that is always late ends everything, too.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable

from relay.clock import CallLater, Clock, TimerHandle

HELD_UP_S = 0.1
"""A loop that is later than this was held up. A healthy one is late by some milliseconds."""

CATCH_UP_S = 1.0
"""How long at most a loop that was held up reads before anything is due."""

TURNS = 2
"""How often a timer of 0 s has to fire until a loop has looked at all sockets in between. asyncio's
does so before it looks at the timers, libuv's behind them."""


Due = Callable[[Hashable, float], None]
"""What to call with a key whose deadline has come, and with the time."""


class Deadlines:
    """Calls `due(key, now)` once the clock has reached the key's deadline."""

    def __init__(self, clock: Clock, call_later: CallLater, due: Due) -> None:
        self._clock = clock
        self._call_later = call_later
        self._due = due
        self._when: dict[Hashable, float] = {}
        self._queued: dict[Hashable, float] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._counter = 0
        self._timer: TimerHandle | None = None
        self._timer_at = float("inf")
        self._turns = 0
        """How often the loop has had its turn since something is due."""
        self._reads_until = float("-inf")
        self._put_off = False
        """Whether something that is due was put off until then."""

    def __len__(self) -> int:
        return len(self._when)

    @property
    def queued(self) -> int:
        """How many records wait on the heap, those that are stale with them."""
        return len(self._heap)

    def set(self, key: Hashable, when: float | None) -> None:
        """Set, move or (with None) remove the deadline of `key`."""
        if when is None:
            self._when.pop(key, None)
            return
        self._when[key] = when
        if when < self._queued.get(key, float("inf")):
            self._push(key, when)
            self._arm()

    def held_up(self, late_s: float) -> None:
        """The loop was held up for so long: what waits in its sockets comes before what is due."""
        if late_s > HELD_UP_S and not self._put_off:
            self._reads_until = self._clock.now() + min(late_s, CATCH_UP_S)

    def run(self) -> None:
        """Call back for everything that is due; the timer does it by itself."""
        self._turns, self._put_off = 0, False
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            queued, _, key = heapq.heappop(self._heap)
            if self._queued.get(key) != queued:
                continue
            del self._queued[key]
            when = self._when.get(key)
            if when is None:
                continue
            if when > now:
                self._push(key, when)
                continue
            del self._when[key]
            self._due(key, now)
        self._arm()

    def close(self) -> None:
        """Forget everything."""
        self._when.clear()
        self._queued.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _push(self, key: Hashable, when: float) -> None:
        self._queued[key] = when
        self._counter += 1
        heapq.heappush(self._heap, (when, self._counter, key))

    def _arm(self) -> None:
        if not self._heap:
            return
        first = self._heap[0][0]
        if self._timer is not None:
            if self._timer_at <= first:
                return
            self._timer.cancel()
        self._call_at(first)

    def _call_at(self, when: float) -> None:
        now = self._clock.now()
        self._timer_at = max(when, now)
        self._timer = self._call_later(self._timer_at - now, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now, due_at = self._clock.now(), self._timer_at
        self._timer_at = float("inf")
        self.held_up(now - due_at)
        if not self._heap or self._heap[0][0] > now:
            self._arm()
        elif now < self._reads_until:
            self._put_off = True
            self._call_at(self._reads_until)
        elif self._turns < TURNS:
            self._turns += 1
            self._call_at(now)
        else:
            self.run()
