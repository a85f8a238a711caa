"""The relay is killed at random points, and started again."""

from __future__ import annotations

import asyncio
import time
from random import Random

from tests.faults.figures import cpu_s, percentile
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Stage

READY_S = 3.0
PAUSE_MS = 20.0
CHUNKS = 300
"""Six seconds of an answer, and longer where it is cut."""


async def _killed(stage: Stage, size: Size, *, forgets: bool, **settings: str) -> Measured:
    measured = Measured()
    relay = await stage.relay(bots=size.bots, **settings)
    ledger = await stage.ledger(seed=size.seed)
    await stage.bots(ledger.url)
    random = Random(size.seed)
    ready: list[float] = []
    kills, last_kill = 0, 0.0
    cpu: list[float] = []
    for _ in range(size.of(5, 1)):
        await ledger.until(bots=len(stage.users))
        await ledger.ask(stage.users, chunks=CHUNKS, pause_ms=PAUSE_MS)
        for _ in range(2):
            await asyncio.sleep(random.uniform(0.5, 2.5))
            relay.kill()
            kills += 1
            began = last_kill = time.monotonic()
            await asyncio.to_thread(relay.start)
            ready.append(time.monotonic() - began)
            assert relay.process is not None
            cpu.append(cpu_s(relay.process.pid))
        await ledger.until(ended=True, timeout_s=90)
        verdict = await ledger.judge(last_kill=last_kill, forgets=forgets)
        measured.judged(verdict)
    measured.figures.append(f"{kills} kills under {len(stage.users)} answers")
    measured.figures.append(f"median {percentile(ready, 50):.2f} s, of it {max(cpu):.1f} s CPU")
    measured.within("ready again after at most", max(ready), READY_S)
    return measured


async def memory(stage: Stage, size: Size) -> Measured:
    """Everything that the relay knew is gone; the bots have it all."""
    return await _killed(stage, size, forgets=True)


async def redis(stage: Stage, size: Size) -> Measured:
    """The logs outlive the relay."""
    server = await stage.redis()
    return await _killed(stage, size, forgets=False, broker_url=server.url)


SCENARIOS = [
    Scenario(
        "relay-killed-memory",
        "relay kill -9 at random points, memory broker",
        "SIGKILL and restart, twice in each answer",
        "0 lost with the SDK's resend; ready in < 3 s",
        memory,
    ),
    Scenario(
        "relay-killed-redis",
        "relay kill -9 at random points, Redis",
        "SIGKILL and restart, twice in each answer",
        "0 ACKed lost; ready in < 3 s",
        redis,
        needs=("redis-server",),
    ),
]
