from __future__ import annotations

import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from relay.clock import ManualClock
from relay.process import (
    LAG_EVERY_S,
    RETURN_EVERY_S,
    RETURN_SHARE,
    LoopLag,
    MemoryReturns,
    watch_process,
)
from tests.support.node import Timers

DOCS = Path(__file__).parents[2] / "docs"


def told() -> str:
    """What is told of this process."""
    registry = CollectorRegistry()
    watch_process(registry)
    return generate_latest(registry).decode()


def test_the_process_tells_what_it_costs() -> None:
    """A test takes some memory, some time, some files."""
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(told())
        for sample in family.samples
    }
    assert samples["process_resident_memory_bytes"] > 1e6
    assert samples["process_cpu_seconds_total"] > 0
    assert 0 < samples["process_open_fds"] < samples["process_max_fds"]


HEAPS = """
import ctypes, sys, threading
from relay.process import keep_memory_together
if sys.argv[1] == "together":
    keep_memory_together()

def grow():
    kept = [ctypes.create_string_buffer(50_000) for _ in range(20)]
    ready.wait()

ready = threading.Barrier(9)
for _ in range(8):
    threading.Thread(target=grow).start()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
ready.wait()
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's malloc has heaps by thread"
)
@pytest.mark.parametrize(("how", "heaps"), [("together", 1), ("apart", 2)])
def test_threads_share_one_heap(how: str, heaps: int) -> None:
    """Eight threads that keep memory: one heap, and by default more than one."""
    done = subprocess.run(
        [sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True, timeout=30
    )
    found = done.stdout.count("<heap nr=")
    assert found == 1 if heaps == 1 else found >= heaps


LARGE = """
import ctypes, sys
from relay.process import LARGE_BYTES, keep_memory_together

class Told(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Told
keep_memory_together()
for size in (LARGE_BYTES, LARGE_BYTES - 64):
    before = libc.mallinfo2().hblks
    blocks = [ctypes.create_string_buffer(size) for _ in range(200)]
    during = libc.mallinfo2().hblks
    del blocks
    print(during - before > 100, libc.mallinfo2().hblks - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's malloc has a heap and pages beside it"
)
def test_a_large_block_leaves_no_hole_in_the_heap() -> None:
    """It has pages of its own while it is there, where no hole is left; a smaller one has none."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["True", "0", "False", "0"]


HOLES = """
import ctypes
from pathlib import Path
from relay.process import give_memory_back

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

kept = [ctypes.create_string_buffer(4_000) for _ in range(20_000)]
kept = kept[::100] + kept[-1:]
before = resident_mb()
print(give_memory_back(), before - resident_mb() > 40)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's malloc gives back what is asked for"
)
def test_pages_that_are_free_between_others_are_given_back() -> None:
    """80 MB of which a hundredth is left, and the last block of them at the end of the heap."""
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["True", "True"]


def test_the_process_tells_what_it_is() -> None:
    """The version that is installed, and nothing in the library's own registry."""
    assert f'version="{version("relay-stream")}"' in told()
    assert REGISTRY.get_sample_value("relay_build_info") is None


def test_no_file_is_asked_again_and_again_what_the_process_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Chunks share the event loop with whoever reads the metrics."""
    registry = CollectorRegistry()
    watch_process(registry)
    monkeypatch.setattr("relay.release.version", lambda _: pytest.fail("read again"))
    assert b"relay_build_info{" in generate_latest(registry)


def test_the_table_for_operators_is_what_is_told() -> None:
    """Names, types, labels and meanings, in the order of the look."""
    rows = re.findall(
        r"^\| `(process_\w+|relay_build_info)` \| (\w+) \| (.*?) \| (.+?) \|$",
        (DOCS / "metrics.md").read_text(),
        re.MULTILINE,
    )
    assert rows == [
        (
            sample.name,
            family.type.replace("info", "gauge"),
            ", ".join(f"`{label}`" for label in sorted(sample.labels)),
            family.documentation,
        )
        for family in text_string_to_metric_families(told())
        for sample in family.samples
    ]


def test_a_loop_that_is_late_is_told_by_how_much() -> None:
    """In time, late, in time again; the lateness of one does not add to the next."""
    clock = ManualClock(100.0)
    timers = Timers(clock)
    lags: list[float] = []
    meter = LoopLag(lags.append, call_later=timers, monotonic=clock.now)
    meter.start()
    timers.fire_next(clock.now() + LAG_EVERY_S)
    clock.advance(LAG_EVERY_S + 0.5)
    timers.fire_next(clock.now())
    timers.fire_next(clock.now() + LAG_EVERY_S)
    assert lags == [0.0, 0.5, 0.0]


def test_a_meter_that_is_stopped_measures_no_more() -> None:
    """Its timer is cancelled; stopping twice is once."""
    clock = ManualClock(100.0)
    timers = Timers(clock)
    lags: list[float] = []
    meter = LoopLag(lags.append, call_later=timers, monotonic=clock.now)
    meter.start()
    meter.stop()
    meter.stop()
    timers.advance(10.0)
    assert (lags, timers.armed) == ([], [])


def returns(took_s: float) -> tuple[MemoryReturns, Timers, list[float]]:
    """Begin at second 100. Returns when memory was given back, which takes so long."""
    clock = ManualClock(100.0)
    timers = Timers(clock)
    given: list[float] = []

    def give_back() -> None:
        given.append(clock.now())
        clock.advance(took_s)

    chore = MemoryReturns(call_later=timers, monotonic=clock.now, give_back=give_back)
    chore.start()
    return chore, timers, given


def test_memory_is_given_back_each_ten_seconds_until_that_is_stopped() -> None:
    """Stopping twice is once."""
    chore, timers, given = returns(0.0)
    timers.advance(3.5 * RETURN_EVERY_S)
    assert given == [100.0 + turn * RETURN_EVERY_S for turn in (1, 2, 3)]
    chore.stop()
    chore.stop()
    timers.advance(10 * RETURN_EVERY_S)
    assert (len(given), timers.armed) == (3, [])


def test_memory_that_takes_long_to_give_back_is_given_back_seldom() -> None:
    """A tenth of a second stops every stream, so it may come each 400 s."""
    _, timers, given = returns(0.1)
    timers.fire_next(1_000.0)
    timers.fire_next(1_000.0)
    assert given == pytest.approx([110.0, 110.1 + 0.1 / RETURN_SHARE])
