"""The relay's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Where a shell gets the `now` that it hands down. Nothing below the shells reads a clock."""

    __slots__ = ()

    def now(self) -> float:
        """Seconds since the Unix epoch; never less than what the call before returned."""
        ...


class TimerHandle(Protocol):
    """What `call_later` returns."""

    def cancel(self) -> None:
        """Do not call."""
        ...


CallLater = Callable[[float, Callable[[], None]], TimerHandle]
"""`loop.call_later`: a delay in seconds and what to call."""


class OneTimer:
    """Calls once, later; whoever sets it again has only the last call."""

    __slots__ = ("_call_later", "_handle")

    def __init__(self, call_later: CallLater) -> None:
        self._call_later = call_later
        self._handle: TimerHandle | None = None

    def set(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call in so many seconds."""
        self.cancel()
        self._handle = self._call_later(delay_s, call)

    def cancel(self) -> None:
        """Do not call. Idempotent."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class SystemClock(Clock):
    """The Unix time at construction, advanced by the monotonic clock.

    Deadlines are differences of these times. If the wall clock were read each time, an NTP step
    or an operator's `date -s` of one hour would end every open stream at once, or none of them
    for an hour. So it is read once; a jump afterwards changes nothing here, and two processes
    started at different times disagree by what the wall clock was corrected in between.
    """

    __slots__ = ("_monotonic", "_origin_s")

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._origin_s = wall() - monotonic()

    def now(self) -> float:
        """Seconds since the Unix epoch, with the resolution of `time.monotonic`."""
        return self._origin_s + self._monotonic()


class ManualClock:
    """A clock that stands still until it is told to advance: for tests and simulation."""

    __slots__ = ("_now",)

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        """The time that was set."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Raises `ValueError` where they are negative."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back by {-seconds} s")
        self._now += seconds
