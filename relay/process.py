"""What this process costs and whether it keeps up, for `GET /metrics`; and that it keeps less.

Memory, CPU and descriptors are prometheus_client's own, read from /proc when somebody looks;
where there is no /proc they are left out. The lag of the event loop is measured: everything of
a relay runs on one loop, so whatever blocks it delays every stream.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from relay.clock import CallLater, OneTimer
from relay.release import release

BUILD: Final = "relay_build"

LAG_EVERY_S: Final = 0.25
"""A block of this length or longer is always seen, a shorter one as often as it is long."""


RETURN_EVERY_S: Final = 10.0
"""How often free memory goes back to the kernel. A relay whose callers come and go has 5 MB of it
by then."""

RETURN_SHARE: Final = 2.5e-4
"""At most this part of the time is spent on that: 2.5 ms each ten seconds."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

LARGE_BYTES: Final = 65_536
"""A block of this size or larger has pages of its own where the heap would have to grow for it, and
they go back to the kernel as it is freed.

In the heap it leaves a hole, and what is small and stays settles there. The heap of a relay under
churn grew by 3 MB in eighteen minutes, of which nothing was in use; with this, and with a quarter
of SQLite's pages kept, it does not. Which of the two does how much was not told apart.
"""

_MALLOPT: Final = (
    (_M_ARENA_MAX, 1),
    (_M_MMAP_THRESHOLD, LARGE_BYTES),
    (_M_TRIM_THRESHOLD, 4 * 1024 * 1024),
)
"""What glibc's malloc is told; mallopt(3)."""


class _Build(Collector):
    def __init__(self) -> None:
        told = {"version": release(), "python": platform.python_version()}
        self._told = InfoMetricFamily(BUILD, "The relay's version, and Python's.", told)

    def collect(self) -> Iterator[Metric]:
        yield self._told


def keep_memory_together() -> bool:
    """Have glibc's malloc give back what is freed; False where there is another malloc.

    By default each thread gets a heap of its own, and SQLite has a thread for each connection:
    under churn a relay grew by some 20 MB a minute though it kept nothing. Python's lock lets one
    thread work at a time anyway. To be called before there are threads.
    """
    mallopt = _glibc("mallopt")
    return mallopt is not None and all(mallopt(*option) == 1 for option in _MALLOPT)


def give_memory_back() -> bool:
    """Have glibc's malloc give back free pages; False where there are none, or another malloc.

    By itself it gives back only the end of its heap. Blocks that live for seconds and such that
    live for minutes lie side by side, so under churn a heap grew by some 10 MB in half an hour,
    and nearly all of that was free.
    """
    trim = _glibc("malloc_trim")
    return trim is not None and bool(trim(0))


class MemoryReturns:
    """Gives free memory back each ten seconds, or more seldom where that takes long.

    So that what a relay has tells what it needs, and no peak is kept. `monotonic` is the clock that
    `call_later` goes by, in seconds.
    """

    def __init__(
        self,
        *,
        call_later: CallLater,
        monotonic: Callable[[], float],
        give_back: Callable[[], object] = give_memory_back,
    ) -> None:
        self._timer = OneTimer(call_later)
        self._monotonic = monotonic
        self._give_back = give_back

    def start(self) -> None:
        """Give back from now on."""
        self._timer.set(RETURN_EVERY_S, self._due)

    def stop(self) -> None:
        """Give nothing back any more. Idempotent."""
        self._timer.cancel()

    def _due(self) -> None:
        began = self._monotonic()
        self._give_back()
        took_s = self._monotonic() - began
        self._timer.set(max(RETURN_EVERY_S, took_s / RETURN_SHARE), self._due)


@cache
def _glibc(name: str) -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return found


def watch_process(registry: CollectorRegistry) -> None:
    """Tell in this registry, from now on, what the process costs, and what it is."""
    ProcessCollector(registry=registry)
    registry.register(_Build())


class LoopLag:
    """Measures how much later than asked for the event loop calls back.

    `observe` is given each lag in seconds. `monotonic` is the clock that `call_later` goes by.
    """

    def __init__(
        self,
        observe: Callable[[float], None],
        *,
        call_later: CallLater,
        monotonic: Callable[[], float],
    ) -> None:
        self._observe = observe
        self._timer = OneTimer(call_later)
        self._monotonic = monotonic
        self._due = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._due = self._monotonic() + LAG_EVERY_S
        self._timer.set(LAG_EVERY_S, self._called)

    def stop(self) -> None:
        """Measure no more. Idempotent."""
        self._timer.cancel()

    def _called(self) -> None:
        self._observe(max(0.0, self._monotonic() - self._due))
        self.start()
