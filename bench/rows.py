"""The rows of the table: what each of them does to a server, and what it takes from the figures."""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from bench.contestants import Cores, contestant
from bench.generator.program import Load, Measured, run
from bench.sdk_cost import sdk_cost

Values = Mapping[str, float]
"""What one repeat of one row came to, by name; the first one is what is compared."""

STREAM_P99_US: Final = 50_000.0
READER_P99_US: Final = 100_000.0
LAG_US: Final = 20_000.0
"""A generator that is so far behind has measured itself."""

PRECISION: Final = 0.05
"""How near a highest number is looked for."""


GUESS_MAX: Final = 3_000.0

SPARE_FILES: Final = 200
"""Of a process, beside its connections."""

HOPELESS: Final = 3.0
"""A tail so many times too long is no hiccup."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How long each run lasts."""

    warmup_ms: int
    duration_ms: int
    tries: int
    """How often a number of streams may just fail before it is too high: a machine hiccups."""
    precision: float


FULL: Final = Plan(1_000, 4_000, 2, PRECISION)
QUICK: Final = Plan(300, 1_000, 1, 0.25)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every run shares."""

    plan: Plan
    cores: Cores
    yardsticks: Path | None
    say: Callable[[str], None]
    """Progress, for whoever waits."""

    async def load(self, name: str, load: Load) -> Measured:
        """Start this contestant anew, and load it."""
        timed = replace(
            load,
            warmup_ms=self.plan.warmup_ms,
            duration_ms=100 if load.idle else self.plan.duration_ms,
            core=self.cores.load,
        )
        async with contestant(name, load.bots, self.yardsticks, self.cores) as target:
            measured = await run(target, timed)
        self.say(
            f"    {load.streams} x {load.readers}: {measured.delivered_per_s:.0f}/s, p99 "
            f"{measured.latency_us.p99 / 1000:.2f} ms, CPU {measured.server_share:.2f}, lag p99 "
            f"{measured.lag_us.p99 / 1000:.2f} ms {measured.faults()}"
        )
        return measured


class Take(Protocol):
    """Measures one row of one contestant once; `near` is what an earlier repeat came to, or 0."""

    def __call__(self, bench: Bench, name: str, near: float) -> Awaitable[Values]:
        """Return the figures."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row."""

    name: str
    title: str
    unit: str
    """The name of the figure that is compared."""
    contestants: tuple[str, ...]
    take: Take
    reach: float = 0.0
    """What the relay shall reach, and what it must; 0: nothing is asked of it."""
    floor: float = 0.0
    is_more_better: bool = False


def faults_of(measured: Measured) -> Values:
    """Return what must be 0 in every run."""
    return {
        "lost": float(measured.lost),
        "repeated": float(measured.repeated),
        "disordered": float(measured.disordered),
        "corrupt": float(measured.corrupt + measured.foreign + measured.unknown_acks),
        "errors": float(measured.errors),
    }


async def saturated(bench: Bench, name: str, near: float) -> Values:  # noqa: ARG001 - see `Take`
    """64 streams, each with a WebSocket and a reader, as fast as they are acknowledged."""
    one = await bench.load(name, Load(64, interval_us=0, window=16))
    return {
        "chunks/s": one.delivered_per_s,
        "p99 ms": one.latency_us.p99 / 1000,
        "CPU us": one.chunk_us,
        **faults_of(one),
    }


async def fan_out(bench: Bench, name: str, near: float) -> Values:  # noqa: ARG001 - see `Take`
    """One stream of 100 chunks a second, a thousand readers."""
    one = await bench.load(name, Load(1, readers=1_000, interval_us=10_000))
    return {
        "p99 ms": one.latency_us.p99 / 1000,
        "p50 ms": one.latency_us.p50 / 1000,
        "CPU us": one.chunk_us,
        **faults_of(one),
    }


async def ten(bench: Bench, name: str, near: float) -> Values:  # noqa: ARG001 - see `Take`
    """Ten streams at 35 ms."""
    one = await bench.load(name, Load(10))
    return {
        "p50 ms": one.latency_us.p50 / 1000,
        "p99 ms": one.latency_us.p99 / 1000,
        "CPU us": one.chunk_us,
        **faults_of(one),
    }


async def idle(bench: Bench, name: str, near: float) -> Values:  # noqa: ARG001 - see `Take`
    """Readers of one stream that says nothing."""
    readers = 2_000
    one = await bench.load(name, Load(1, readers=readers + 1, idle=True))
    return {"KiB": (one.pss_kb_readers - one.pss_kb_streams) / readers, **faults_of(one)}


async def sdk(bench: Bench, name: str, near: float) -> Values:  # noqa: ARG001 - see `Take`
    """A bot of the Python SDK that writes as fast as it may, on the generator's core."""
    cost = await sdk_cost(bench.plan.duration_ms * 8, bench.cores)
    return {"CPU us": cost.cpu_us, "chunks/s": cost.chunks_per_s}


async def own_sockets(bench: Bench, name: str, near: float) -> Values:
    """The most streams at 35 ms, each with a WebSocket of its own."""
    return await _most_streams(bench, name, near, 1)


async def shared_sockets(bench: Bench, name: str, near: float) -> Values:
    """The same with 50 streams on each WebSocket."""
    return await _most_streams(bench, name, near, 50)


async def _most_streams(bench: Bench, name: str, near: float, per_socket: int) -> Values:
    start = near or await _guess(bench, name)
    loads = lambda count: Load(count, per_socket=per_socket)  # noqa: E731
    return await _most(bench, name, start, "streams", loads, STREAM_P99_US)


async def most_readers(bench: Bench, name: str, near: float) -> Values:
    """The most readers of one stream of 100 chunks a second."""
    loads = lambda count: Load(1, readers=count, interval_us=10_000)  # noqa: E731
    return await _most(bench, name, near or 1_000.0, "readers", loads, READER_P99_US)


async def _guess(bench: Bench, name: str) -> float:
    """Return how many streams a server may carry, by what it carries when it is saturated."""
    one = await bench.load(name, Load(64, interval_us=0))
    return min(GUESS_MAX, max(10.0, 0.6 * one.delivered_per_s * 0.035))


async def _most(
    bench: Bench,
    name: str,
    start: float,
    what: str,
    loads: Callable[[int], Load],
    p99_us: float,
) -> Values:
    """Return the highest number that this server carries, with what that run measured."""
    runs: dict[int, Measured] = {}

    async def is_carried(count: int) -> bool:
        load = loads(count)
        _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
        if load.bots + load.streams * load.readers > files - SPARE_FILES:
            bench.say(f"    {count} {what} are more than a process may open (ulimit -n {files})")
            return False
        for _ in range(bench.plan.tries):
            one = await bench.load(name, load)
            if is_carried_by(one, load, p99_us):
                runs[count] = one
                return True
            if one.latency_us.p99 > HOPELESS * p99_us:
                break
        return False

    found = await highest(is_carried, start, bench.plan.precision)
    if found not in runs:
        return {what: 0.0}
    best = runs[found]
    return {
        what: float(found),
        "p99 ms": best.latency_us.p99 / 1000,
        "CPU us": best.chunk_us,
        **faults_of(best),
    }


def is_carried_by(one: Measured, load: Load, p99_us: float) -> bool:
    """Whether a run was without a fault, in time, and not the generator's own doing."""
    is_all_sent = one.sent_per_s > 0.98 * load.streams * 1e6 / load.interval_us
    is_in_time = one.latency_us.p99 < p99_us and one.lag_us.p99 < LAG_US
    return one.is_whole and is_all_sent and is_in_time


async def highest(carries: Callable[[int], Awaitable[bool]], start: float, precision: float) -> int:
    """Return the highest number that is carried, to within `precision` of it; 0 where none is.

    Looks near `start` first, in steps that double, then between the last two.
    """
    low, high, step = 0, 0, max(precision * 2, 0.12)
    number = max(1, round(start))
    while not high or high - low > max(1, precision * low):
        if await carries(number):
            low = number
            number = (low + high) // 2 if high else max(low + 1, round(low * (1 + step)))
        elif number == 1:
            return 0
        else:
            high = number
            number = (low + high) // 2 if low else max(1, min(high - 1, round(high / (1 + step))))
        step = min(1.0, step * 2)
    return low


ALL: Final = (
    "relay",
    "relay-compiled",
    "relay-asgi",
    "naive",
    "py-naive",
    "node-naive",
    "nchan",
    "ceiling",
)
SHARING: Final = tuple(name for name in ALL if name != "nchan")
"""Nchan has one channel on each WebSocket."""

ROWS: Final = (
    Row(
        "saturated",
        "saturated, 64 streams, window 16",
        "chunks/s",
        (*ALL, "relay-redis", "two-nodes"),
        saturated,
        reach=160_000,
        floor=100_000,
        is_more_better=True,
    ),
    Row(
        "own",
        "streams at 35 ms, p99 < 50 ms, own WebSocket each",
        "streams",
        ALL,
        own_sockets,
        reach=1_900,
        floor=1_300,
        is_more_better=True,
    ),
    Row(
        "shared",
        "the same, 50 streams on each WebSocket",
        "streams",
        SHARING,
        shared_sockets,
        reach=2_900,
        floor=2_200,
        is_more_better=True,
    ),
    Row("fanout", "100 chunks/s to 1,000 readers", "p99 ms", ALL, fan_out, reach=7, floor=15),
    Row(
        "readers",
        "readers at 100 chunks/s, p99 < 100 ms",
        "readers",
        ALL,
        most_readers,
        reach=4_300,
        floor=3_000,
        is_more_better=True,
    ),
    Row("ten", "10 streams at 35 ms", "p50 ms", (*ALL, "relay-redis", "two-nodes"), ten),
    Row("idle", "memory of an idle reader", "KiB", ALL, idle, reach=12, floor=20),
    Row("sdk", "CPU of the Python SDK for a chunk", "CPU us", ("sdk",), sdk),
)
