"""All deadlines of a node, on one heap with one timer.

A stream moves its deadline with every chunk. Moving it later only notes the new time: the
stale heap record finds that out when it comes up, so a chunk costs one dictionary write.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Protocol

from relay.clock import Clock


class TimerHandle(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None:
        """Do not call."""
        ...


CallLater = Callable[[float, Callable[[], None]], TimerHandle]
"""`loop.call_later`: a delay in seconds and what to call."""

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

    def run(self) -> None:
        """Call back for everything that is due; the timer does it by itself."""
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
        self._timer_at = first
        self._timer = self._call_later(max(0.0, first - self._clock.now()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        self.run()
