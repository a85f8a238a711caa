"""What the garbage collector is to search, and when.

Nearly everything is freed by its count of references. What is left are rings: tracebacks, a
database's statements, a connection that broke in the middle of something. A search stops every
stream for as long as it takes: milliseconds where there are some connections, a quarter of a second
where there are thousands. So what a start has made is never searched, what is new often, while it
is little, and everything once a minute where that takes no time to speak of.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from relay.clock import CallLater, OneTimer

GC_THRESHOLDS: Final = (20_000, 1_000_000, 10)
"""After so many objects more than were freed, and so on: see `gc.set_threshold`. That they are
reached is the exception, for new objects are looked through before."""

NEW_EVERY_S: Final = 0.1
"""How often what is new is searched. It is some 0.6 us for each object that has not gone by itself
meanwhile: half a millisecond with 20 connections in that time, of 40 objects each. What is garbage
only later waits for a search of everything, so more often would leave more of it."""

NEW_SHARE: Final = 0.01
"""And at most this part of the time, down to twice a second: where 1,250 bots each have receipts to
be written, these are some 5,000 objects at any time, and 2 to 6 ms; none of them is garbage."""

NEW_EVERY_MAX_S: Final = 0.5

SEARCH_EVERY_S: Final = 60.0

SEARCH_SHARE: Final = 2.5e-4
"""At most this part of the time is spent on searching everything: what takes 15 ms has its turn
each minute, and what takes a quarter of a second each seventeen."""

BLOCK_S: Final = 3e-7
"""What a search takes for each block of memory that was allocated since the start: 0.26 s for
880,000, which 2,100 connections had. Until a search here has shown that it is more."""

_BLOCKS_MIN: Final = 10_000
"""What a search of fewer takes tells nothing."""


@contextmanager
def imported_for_good() -> Iterator[None]:
    """Let the garbage collector leave alone what the block imports, now and ever after.

    Some 200,000 objects, of which one in 200 is garbage: to look for it again and again while
    they are made, and once more in the end, took a fifth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def collect_seldom() -> None:
    """Look for garbage in what is made from now on, and not often.

    The default thresholds look at all that is there whenever a quarter is new: with some thousand
    connections that stops every stream for a quarter of a second, several times a minute. See
    `NewSearches` and `FullSearches`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _search_new() -> int:
    return gc.collect(0)


class NewSearches:
    """Searches what is new ten times a second, or five times as seldom where that takes long.

    So there is never much of it.

    Python searches once there are so many objects more than were freed, which is not how many are
    new: where as many come as go, that is seldom, and then it looks through all that came since.
    With 200 connections a second that was 42,000 objects each five seconds, and 30 ms each time.
    `monotonic` is the clock that `call_later` goes by, in seconds.
    """

    def __init__(
        self,
        *,
        call_later: CallLater,
        monotonic: Callable[[], float],
        search: Callable[[], object] = _search_new,
    ) -> None:
        self._timer = OneTimer(call_later)
        self._monotonic = monotonic
        self._search = search

    def start(self) -> None:
        """Search from now on."""
        self._timer.set(NEW_EVERY_S, self._due)

    def stop(self) -> None:
        """Search no more. Idempotent."""
        self._timer.cancel()

    def _due(self) -> None:
        began = self._monotonic()
        self._search()
        rest_s = (self._monotonic() - began) / NEW_SHARE
        self._timer.set(min(max(rest_s, NEW_EVERY_S), NEW_EVERY_MAX_S), self._due)


class FullSearches:
    """Searches everything that is not frozen, each minute or, where that takes long, more seldom.

    How long it will take is told by how much memory there is: whoever comes with a thousand
    connections must not stop every stream by it, not even once.

    Else garbage that was in use when it was looked at before would stay for an hour: under churn
    some 1,000 objects a minute. `monotonic` is the clock that `call_later` goes by, in seconds.
    """

    def __init__(
        self,
        *,
        call_later: CallLater,
        monotonic: Callable[[], float],
        blocks: Callable[[], int] = sys.getallocatedblocks,
        search: Callable[[], object] = gc.collect,
    ) -> None:
        self._timer = OneTimer(call_later)
        self._monotonic = monotonic
        self._blocks = blocks
        self._search = search
        self._frozen_blocks = 0
        self._block_s = BLOCK_S
        self._searched_at = 0.0

    def start(self) -> None:
        """What is there by now is frozen; search the rest in a minute for the first time."""
        self._frozen_blocks = self._blocks()
        self._searched_at = self._monotonic()
        self._timer.set(SEARCH_EVERY_S, self._due)

    def stop(self) -> None:
        """Search no more. Idempotent."""
        self._timer.cancel()

    def _due(self) -> None:
        began = self._monotonic()
        blocks = max(_BLOCKS_MIN, self._blocks() - self._frozen_blocks)
        if blocks * self._block_s <= SEARCH_SHARE * (began - self._searched_at):
            self._search()
            self._searched_at = self._monotonic()
            self._block_s = max(BLOCK_S, (self._searched_at - began) / blocks)
        self._timer.set(SEARCH_EVERY_S, self._due)
