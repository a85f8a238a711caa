"""What this process costs and whether it keeps up, for `GET /metrics`; and that it costs less.

Memory, CPU and descriptors are prometheus_client's own, read from /proc when somebody looks;
where there is no /proc they are left out. The lag of the event loop is measured: everything of
a relay runs on one loop, so whatever blocks it delays every stream.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

BUILD: Final = "relay_build"

LAG_EVERY_S: Final = 0.25
"""A block of this length or longer is always seen, a shorter one as often as it is long."""


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8

_MALLOPT: Final = (
    (_M_ARENA_MAX, 1),
    (_M_MMAP_THRESHOLD, 512 * 1024),  # above the 256 KiB that asyncio takes for each read
    (_M_TRIM_THRESHOLD, 4 * 1024 * 1024),
)
"""What glibc's malloc is told; mallopt(3)."""


GC_THRESHOLDS: Final = (20_000, 20, 10)
"""After so many objects more than were freed, and so on: see `gc.set_threshold`."""


class TimerHandle(Protocol):
    """A timer that can be stopped."""

    def cancel(self) -> None:
        """Stop it."""
        ...


CallLater = Callable[[float, Callable[[], None]], TimerHandle]
"""The event loop's `call_later`: a delay in seconds and what to call."""


class _Build(Collector):
    def collect(self) -> Iterator[Metric]:
        told = {"version": version("relay-stream"), "python": platform.python_version()}
        yield InfoMetricFamily(BUILD, "The relay's version, and Python's.", told)


def keep_memory_together() -> bool:
    """Have glibc's malloc give back what is freed; False where there is another malloc.

    By default each thread gets a heap of its own, and SQLite has a thread for each connection:
    under churn a relay grew by some 20 MB a minute though it kept nothing. Python's lock lets one
    thread work at a time anyway. To be called before there are threads.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*option) == 1 for option in _MALLOPT)


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

    Nearly everything is freed by its count of references. The default thresholds look at all
    that is there whenever a quarter is new: with some thousand connections that stops every
    stream for a quarter of a second, several times a minute.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


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
        self._call_later = call_later
        self._monotonic = monotonic
        self._timer: TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to measure."""
        self._due = self._monotonic() + LAG_EVERY_S
        self._timer = self._call_later(LAG_EVERY_S, self._called)

    def stop(self) -> None:
        """Measure no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _called(self) -> None:
        self._observe(max(0.0, self._monotonic() - self._due))
        self.start()
