"""Two relays that share a Redis and a PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from bench.door import Door
from tests.faults.figures import delays_ms, percentile
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Ledger, Stage
from tests.support.server import RelayServer

HOP_MS = 30.0
EXIT_S = 10.0
TTL_S = 10.0
"""How long after its last sign of life a node counts as alive."""


class Pair:
    """Node A, which reaches Redis by a way that can be cut, and node B."""

    def __init__(self, a: RelayServer, b: RelayServer, way: Door, ledger: Ledger) -> None:
        self.a, self.b, self.way, self.ledger = a, b, way, ledger

    async def bots_at(self, *relays: RelayServer) -> None:
        """Let the connections that bots make from now on come here, and devices to both."""
        ports = [self.a.port, self.b.port]
        await self.ledger.call("relays", ports=ports, bot_ports=[relay.port for relay in relays])


async def _pair(stage: Stage, size: Size, closing: AsyncExitStack) -> Pair:
    redis = await stage.redis()
    _, url = await stage.postgres()
    way = await closing.enter_async_context(Door(redis.port))
    await stage.plant(size.bots, url)
    broker = f"redis://127.0.0.1:{way.port}"
    a = await stage.relay(name="a", database_url=url, broker_url=broker)
    b = await stage.relay(name="b", database_url=url, broker_url=redis.url)
    pair = Pair(a, b, way, await stage.ledger(a, b))
    await pair.bots_at(a)
    return pair


async def hop(stage: Stage, size: Size) -> Measured:
    """Every bot is at A and every device at B."""
    measured = Measured()
    async with AsyncExitStack() as closing:
        pair = await _pair(stage, size, closing)
        await stage.bots(pair.ledger.url)
        await pair.ledger.ask(stage.users, at=1, chunks=size.of(300, 100), pause_ms=35.0)
        await pair.ledger.until(ended=True)
        timeline = await pair.ledger.call("timeline")
        measured.judged(await pair.ledger.judge())
    delays = delays_ms(timeline)
    measured.figures.append(f"p50 {percentile(delays, 50):.1f} ms")
    measured.within("hop p99", percentile(delays, 99), HOP_MS, "ms")
    return measured


async def cut_off(stage: Stage, size: Size) -> Measured:
    """A loses its Redis under load, its devices and bots stay connected; later it has it again."""
    measured = Measured()
    async with AsyncExitStack() as closing:
        pair = await _pair(stage, size, closing)
        ledger = pair.ledger
        await stage.bots(ledger.url)
        for stalls, seconds in size.of(
            ((False, 4), (True, 4), (False, 20), (True, 20)), ((True, 3),)
        ):
            await pair.bots_at(pair.a)
            await ledger.call("abort")
            await ledger.until(bots=size.bots)
            await ledger.ask(stage.users, at=1, readers=2, chunks=200, pause_ms=20.0)
            await ledger.until(share=0.2)
            # Whoever comes anew is sent to B, as by a proxy that asks /readyz.
            await pair.bots_at(pair.b)
            if stalls:
                pair.way.hold()
            else:
                pair.way.lock()
            struck = time.monotonic()
            await asyncio.sleep(seconds)
            pair.way.unlock()
            if stalls:
                pair.way.release()
            healed = time.monotonic()
            await ledger.until(ended=True, timeout_s=120)
            timeline = await ledger.call("timeline")
            last = max(end for stream in timeline for end in stream["ends"])
            verdict = await ledger.judge(slack_s=60.0)
            measured.judged(verdict)
            how = "stalled" if stalls else "cut"
            measured.figures.append(
                f"{how} {seconds} s: all whole {last - struck:.1f} s after, {last - healed:+.1f} s"
            )
    return measured


async def drain(stage: Stage, size: Size) -> Measured:
    """One relay after the other ends and comes back, under load."""
    measured = Measured()
    exits = []
    async with AsyncExitStack() as closing:
        pair = await _pair(stage, size, closing)
        ledger = pair.ledger
        await pair.bots_at(pair.a, pair.b)
        await stage.bots(ledger.url)
        for _ in range(size.of(3, 1)):
            await ledger.until(bots=size.bots)
            await ledger.ask(stage.users, readers=2, chunks=size.of(1_000, 400), pause_ms=25.0)
            for relay, share in ((pair.a, 0.1), (pair.b, 0.5)):
                await ledger.until(share=share, timeout_s=120)
                began = time.monotonic()
                code = await asyncio.to_thread(relay.terminate, 30.0)
                exits.append(time.monotonic() - began)
                measured.need(code == 0, f"a relay ended with {code}")
                await asyncio.to_thread(relay.start)
            await ledger.until(ended=True, timeout_s=120)
            measured.judged(await ledger.judge())
    measured.figures.append(
        f"{len(exits)} exits under {size.bots} answers and {2 * size.bots} devices"
    )
    measured.within("exit after at most", max(exits), EXIT_S)
    return measured


NEEDS = ("redis-server", "postgres", "initdb")

SCENARIOS = [
    Scenario(
        "two-nodes",
        "bot on node A, device on node B",
        "two processes, Redis, PostgreSQL",
        "hop p99 < 30 ms",
        hop,
        needs=NEEDS,
    ),
    Scenario(
        "node-cut-off",
        "A cut from Redis",
        "TCP proxy: reset, or stalled, for 4 and 20 s (short: stalled 3 s); new bots go to B",
        "0 lost",
        cut_off,
        needs=NEEDS,
    ),
    Scenario(
        "rolling-drain",
        "rolling drain",
        "SIGTERM and restart, one after the other, under load",
        "exit <= 10 s; 0 lost",
        drain,
        needs=NEEDS,
    ),
]
