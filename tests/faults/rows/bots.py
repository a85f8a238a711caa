"""Bots that lose their connection, or their life."""

from __future__ import annotations

import asyncio
import time
from random import Random

from tests.faults.figures import percentile
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Stage

RESUME_S = 0.5
GRACE_S = 8.0
"""RELAY_BOT_GRACE_SECONDS, by default."""


async def reconnects(stage: Stage, size: Size) -> Measured:
    """Connections are aborted at random points, up to 20 times in each stream."""
    measured = Measured()
    await stage.relay(bots=size.bots)
    ledger = await stage.ledger(seed=size.seed)
    await stage.bots(ledger.url)
    random = Random(size.seed)
    aborted = 0
    opened_before = len(await ledger.call("lines"))
    cuts: list[float] = []
    for times in size.of((1, 5, 20), (5,)):
        chunks = 60 + times * 40
        await ledger.ask(stage.users, chunks=chunks, pause_ms=15.0)
        for _ in range(times):
            await asyncio.sleep(random.uniform(0.2, 0.6))
            cuts.append(time.monotonic())
            aborted += await ledger.call("abort")
        await ledger.until(ended=True, timeout_s=90)
    opened = (await ledger.call("lines"))[opened_before:]
    # From the cut to the relay's `connected` of the connection that came next.
    resumed = [
        connected - max(cut for cut in cuts if cut <= at)
        for _, at, connected in opened
        if connected and any(cut <= at for cut in cuts)
    ]
    verdict = await ledger.judge()
    measured.judged(verdict)
    measured.figures.append(f"{aborted} connections aborted")
    measured.need(resumed, "nobody came back")
    measured.within("resume p99", percentile(resumed, 99), RESUME_S)
    return measured


async def killed(stage: Stage, size: Size) -> Measured:
    """The bots' process is killed in mid-answer."""
    measured = Measured()
    await stage.relay(bots=size.bots)
    ledger = await stage.ledger()
    bots = await stage.bots(ledger.url)
    await ledger.ask(stage.users, chunks=200, pause_ms=20.0)
    await ledger.until(share=0.2)
    at = time.monotonic()
    bots.kill()
    await ledger.until(ended=True, timeout_s=GRACE_S + 20)
    timeline = await ledger.call("timeline")
    took = [end - at for stream in timeline for end in stream["ends"]]
    measured.judged(await ledger.judge(), whole=False)
    outcomes = {outcome for stream in timeline for outcome in stream["outcomes"]}
    measured.need(outcomes == {"bot_gone"}, f"the ends say {outcomes}")
    measured.need(min(took) >= GRACE_S - 0.2, f"given up after {min(took):.2f} s already")
    measured.within("device's end after", max(took), GRACE_S + 1)
    return measured


SCENARIOS = [
    Scenario(
        "bot-reconnects",
        "bot reconnects 1-20 times in a stream",
        "the ledger's proxy aborts the transport",
        "resume p99 < 500 ms; 0 lost, 0 twice",
        reconnects,
    ),
    Scenario(
        "bot-killed",
        "bot killed",
        "SIGKILL",
        "the device gets an end within grace (8 s) + 1 s",
        killed,
    ),
]
