"""Frames that are lost, repeated, overtaken or late, in both directions."""

from __future__ import annotations

from collections import Counter
from random import Random

from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Stage

BOTS = 8
ROUND = 8_000
"""Chunks of one round: the ledger judges and forgets after each."""
STREAM = 200


async def weather(stage: Stage, size: Size) -> Measured:
    """Each round has its own weather, up to 30 % of each."""
    measured = Measured()
    relay = await stage.relay(bots=BOTS, log_level="warning")
    ledger = await stage.ledger(relay, seed=size.seed)
    # Half the weather is lost frames: waiting for the SDK's own 2 s would measure patience.
    await stage.bots(ledger.url, limits={"ack_timeout_s": 0.25, "resend_max_s": 2.0})
    random = Random(size.seed)
    chunks = min(size.chunks, ROUND // 2) if size.short else size.chunks
    done = lost = 0
    ends = Counter[str]()
    did: dict[str, int] = {}
    while done < chunks:
        names = ("dropped", "repeated", "reordered", "delayed")
        chances = {name: random.uniform(0, 0.3) for name in names}
        await ledger.call("weather", weather={**chances, "delay_s": random.choice((0.005, 0.05))})
        streams = max(1, min(ROUND, chunks - done) // (BOTS * STREAM))
        for _ in range(streams):
            await ledger.ask(stage.users, chunks=STREAM, pause_ms=1.0)
        await ledger.until(ended=True, timeout_s=120)
        verdict = await ledger.judge()
        measured.violations += verdict["violations"]
        done += verdict["sent"]
        lost += verdict["lost"]
        ends.update(verdict["outcomes"])
        did = verdict["did"]
    weathered = ", ".join(f"{count:,} {what}" for what, count in sorted(did.items()))
    measured.figures += [
        f"{len(measured.violations)} violations in {done:,} chunks",
        f"{lost} acknowledged and not shown, but named as missing",
        "ends: " + ", ".join(f"{count:,} {end}" for end, count in sorted(ends.items())),
        f"frames: {weathered}",
    ]
    return measured


async def legacy_weather(stage: Stage, size: Size) -> Measured:
    """A legacy bot sends nothing again: what is lost must be named, and nothing else may be."""
    measured = Measured()
    relay = await stage.relay(bots=BOTS)
    ledger = await stage.ledger(relay, seed=size.seed)
    await stage.bots(ledger.url, legacy=True)
    chances = {"dropped": 0.02, "repeated": 0.2, "reordered": 0.2, "delayed": 0.2}
    await ledger.call("weather", weather={**chances, "ends": False})
    for _ in range(size.of(5, 1)):
        await ledger.ask(stage.users, chunks=100, pause_ms=2.0)
        await ledger.until(ended=True, timeout_s=120)
    verdict = await ledger.judge()
    measured.judged(verdict, whole=False)
    measured.figures.append(", ".join(f"{n} {o}" for o, n in sorted(verdict["outcomes"].items())))
    return measured


SCENARIOS = [
    Scenario(
        "weather",
        "drop, duplicate, reorder, delay of chunks and ACKs, 0-30 % each",
        "frame-aware WebSocket proxy in the ledger, seeded; bots of the SDK",
        "0 violations in 3 million chunks (`CHUNKS=3000000`)",
        weather,
    ),
    Scenario(
        "weather-legacy",
        "the same with bots that send nothing again",
        "as above; bots as SDK 2.4.0",
        "every chunk shown or named as missing",
        legacy_weather,
    ),
]
