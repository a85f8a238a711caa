"""Redis that is stopped, restarted, cut off, or whose answer is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf
from random import Random
from typing import Any

from bench.door import Door
from tests.faults.figures import percentile
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Ledger, Stage

RECOVERY_S = 2.0
Fault = Callable[[], Awaitable[None]]


async def _load(stage: Stage, ledger: Ledger, chunks: int) -> None:
    await ledger.ask(stage.users, chunks=chunks, pause_ms=20.0)
    await ledger.until(share=0.1)


async def _finish(ledger: Ledger, measured: Measured) -> list[dict[str, Any]]:
    await ledger.until(ended=True, timeout_s=300)
    timeline: list[dict[str, Any]] = await ledger.call("timeline")
    verdict = await ledger.judge()
    measured.judged(verdict)
    return timeline


def acks(timeline: list[dict[str, Any]], since: float, until: float) -> list[float]:
    """Return when acknowledgements came in a span of time."""
    return sorted(at for stream in timeline for _, at in stream["acked"] if since < at <= until)


async def stopped(stage: Stage, size: Size) -> Measured:
    """The process stands still; its sockets stay open."""
    measured = Measured()
    redis = await stage.redis()
    await stage.relay(bots=size.bots, broker_url=redis.url)
    ledger = await stage.ledger()
    await stage.bots(ledger.url)
    recovered = []
    too_early = 0
    for seconds in size.of((1.0, 12.0, 60.0), (1.0, 3.0)):
        await ledger.until(bots=len(stage.users))
        await _load(stage, ledger, chunks=size.of(300, 150))
        with redis.paused():
            since = time.monotonic()
            await asyncio.sleep(seconds)
            until = time.monotonic()
        timeline = await _finish(ledger, measured)
        early = _acked_within(timeline, since, until)
        too_early += early
        measured.need(early == 0, f"{early} ACKs while Redis was stopped for {seconds:g} s")
        recovered.append(_recovery_s(timeline, until, 300))
    measured.figures.append(f"{too_early} ACKs while stopped")
    measured.within("first ACK again after at most", max(recovered), RECOVERY_S)
    return measured


def _acked_within(timeline: list[dict[str, Any]], since: float, until: float) -> int:
    """Count what was sent and acknowledged within the span; older ACKs may be on their way."""
    return sum(
        dict(stream["sent"])[sequence] > since and at < until
        for stream in timeline
        for sequence, at in stream["acked"]
    )


def _recovery_s(timeline: list[dict[str, Any]], since: float, span_s: float) -> float:
    """Return how long after `since` the first ACK came; infinite where none did in the span."""
    return next(iter(acks(timeline, since, since + span_s)), inf) - since


async def restarted(stage: Stage, size: Size) -> Measured:
    """The process is killed and started again, with its append-only file."""
    measured = Measured()
    redis = await stage.redis()
    await stage.relay(bots=size.bots, broker_url=redis.url)
    ledger = await stage.ledger()
    await stage.bots(ledger.url)
    recovered = []
    for _ in range(size.of(5, 1)):
        await ledger.until(bots=len(stage.users))
        await _load(stage, ledger, chunks=size.of(200, 100))
        await asyncio.to_thread(redis.kill)
        await asyncio.to_thread(redis.start)
        until = time.monotonic()
        recovered.append(_recovery_s(await _finish(ledger, measured), until, 300))
    measured.within("first ACK again after at most", max(recovered), RECOVERY_S)
    return measured


async def resets(stage: Stage, size: Size) -> Measured:
    """All connections to Redis are reset once a second."""
    measured = Measured()
    redis = await stage.redis()
    async with Door(redis.port) as way:
        await stage.relay(bots=size.bots, broker_url=f"redis://127.0.0.1:{way.port}")
        ledger = await stage.ledger()
        await stage.bots(ledger.url)
        await _load(stage, ledger, chunks=size.of(900, 300))
        cuts = []
        for _ in range(size.of(15, 5)):
            await asyncio.sleep(1.0)
            way.cut()
            cuts.append(time.monotonic())
        timeline = await _finish(ledger, measured)
        took = [_recovery_s(timeline, cut, 60) for cut in cuts]
        measured.figures.append(f"{len(cuts)} resets of all connections")
        measured.within("ACKs again after p99", percentile(took, 99), RECOVERY_S)
    return measured


async def reply_lost(stage: Stage, size: Size) -> Measured:
    """Redis has written, and the connection breaks before it can say so."""
    measured = Measured()
    redis = await stage.redis()
    random = Random(size.seed)
    async with Door(redis.port) as way:
        await stage.relay(bots=4, broker_url=f"redis://127.0.0.1:{way.port}")
        ledger = await stage.ledger()
        await stage.bots(ledger.url)
        rounds = size.of(20, 4)
        for _ in range(rounds):
            await ledger.until(bots=len(stage.users))
            streams = await ledger.ask(stage.users, chunks=60, pause_ms=10.0)
            await asyncio.sleep(random.uniform(0.05, 0.4))
            # A chunk's text is in the request of the script that appends it.
            way.swallow_reply_to(b"[")
            await _finish(ledger, measured)
            measured.violations += await asyncio.to_thread(_entries, redis.command, streams, 60)
    measured.figures += [
        f"{way.swallowed} replies lost in {rounds} rounds",
        f"{len(measured.violations)} entries twice or lost",
    ]
    measured.need(way.swallowed >= rounds // 2, "too few replies were lost to tell anything")
    return measured


def _entries(command: Callable[..., str], streams: list[str], chunks: int) -> list[str]:
    """Each chunk is one entry of its log; the end is one, and the ending another."""
    found = []
    for stream in streams:
        key = _key(command, stream)
        if key is None:
            continue  # dropped already
        length = int(command("XLEN", key).removeprefix(":"))
        if length not in (chunks + 1, chunks + 2):
            found.append(f"{stream}: {length} entries for {chunks} chunks and an end")
    return found


def _key(command: Callable[..., str], stream: str) -> str | None:
    found = command("EVAL", f"return redis.call('KEYS', '*:log:{stream}')[1] or ''", "0")
    return found or None


SCENARIOS = [
    Scenario(
        "redis-reply-lost",
        "Redis' reply lost after the write",
        "TCP proxy: passes an append, and cuts the connection at its reply",
        "one entry for each chunk",
        reply_lost,
        needs=("redis-server",),
    ),
    Scenario(
        "redis-stopped",
        "Redis stopped for 1, 12, 60 s",
        "SIGSTOP, SIGCONT (short: 1, 3 s)",
        "no ACK while stopped; recovery < 2 s; 0 lost",
        stopped,
        needs=("redis-server",),
    ),
    Scenario(
        "redis-restarted",
        "Redis killed and restarted",
        "SIGKILL; append-only file, fsync always",
        "recovery < 2 s; 0 lost",
        restarted,
        needs=("redis-server",),
    ),
    Scenario(
        "redis-resets",
        "connections to Redis reset 1/s",
        "TCP proxy",
        "recovery < 2 s; 0 lost",
        resets,
        needs=("redis-server",),
    ),
]
