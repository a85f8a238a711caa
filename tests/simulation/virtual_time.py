"""Virtual time: an event loop that never waits, and a clock that reads it.

Where a loop would sleep until its next timer, this one moves its clock there. A minute of a
simulated relay takes milliseconds, and two runs of one seed are the same to the last callback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

from relay.clock import SystemClock

_T = TypeVar("_T")

EPOCH = 1_772_157_600.0
"""What the wall clock says when the loop's is 0."""

ROUNDS_MAX = 2_000_000
"""More are a livelock: something that is due again and again."""


class Stuck(AssertionError):
    """Nobody waits for a time any more, only for each other; or nothing comes to an end."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without I/O whose time jumps."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_s = 0.0
        self._rounds = 0
        self._selector = self  # what the base class asks to wait
        self.errors: list[str] = []
        """What callbacks and tasks raised and nobody took."""
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._virtual_s

    def select(self, timeout: float | None) -> tuple[()]:
        """Wait: be there at once."""
        if timeout is None:
            raise Stuck(f"everybody waits, and nothing is due, at {self._virtual_s:.3f} s")
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            raise Stuck(f"still busy at {self._virtual_s:.3f} s")
        if timeout > 0:
            self._virtual_s += timeout
        return ()

    def _process_events(self, event_list: object) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")


def virtual_clock(loop: VirtualLoop, wall_jump_s: Callable[[], float]) -> SystemClock:
    """Return a clock that reads this loop's time, and a wall clock that is off by so much."""
    return SystemClock(lambda: EPOCH + loop.time() + wall_jump_s(), loop.time)


def run_virtually(make: Callable[[VirtualLoop], Coroutine[None, None, _T]]) -> _T:
    """Run this to its end, on a loop of its own. What it leaves running is cancelled."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(make(loop))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
