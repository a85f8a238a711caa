"""Readers that stall, and peers that vanish without a word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack

from tests.faults.figures import delays_ms, percentile, resident_bytes
from tests.faults.raw import RawBot, chunk, raw_bot, stalled_reader, unplugged
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import Ledger, Stage, metric
from tests.support.server import RelayServer

EVICTED_S = 10.0
FREED_S = 25.0
SLOW = 20
MIB = 2**20
OTHERS_MS = 50.0
BESIDE_S = 6.0
"""How long the others are looked at without slow readers: about as long as these stay."""
READERS = "relay_device_streams"
BOTS = "relay_bot_connections"


async def _until(relay: RelayServer, name: str, holds: Callable[[float], bool]) -> float:
    """Return how long it took until a metric is so, in seconds; infinite after a minute."""
    began = time.monotonic()
    while time.monotonic() < began + 60:
        if holds(await metric(relay, name)):
            return time.monotonic() - began
        await asyncio.sleep(0.1)
    return float("inf")


async def slow(stage: Stage, size: Size) -> Measured:
    """Twenty devices ask and read nothing, beside two that read; before them the same alone."""
    measured = Measured()
    relay = await stage.relay(bots=2)
    ledger = await stage.ledger()
    await stage.bots(ledger.url)
    await _two_answers(stage, ledger)
    began = time.monotonic()
    alone = await _p99_ms(ledger, measured, began, began + BESIDE_S)
    url = await _two_answers(stage, ledger)
    assert relay.process is not None
    with ExitStack() as stalled:
        before = resident_bytes(relay.process.pid)
        struck = time.monotonic()
        for _ in range(SLOW):
            stalled.enter_context(stalled_reader(relay.port, url))
        there = await _until(relay, READERS, lambda readers: readers >= SLOW + 1)
        measured.need(there < 60, "the slow readers never were readers")
        most = 0
        began = time.monotonic()
        while await metric(relay, READERS) > 2 and time.monotonic() < began + 60:
            most = max(most, resident_bytes(relay.process.pid))
            await asyncio.sleep(0.1)
        # They begin to stall as soon as the buffers are full: the first half second or so.
        evicted = time.monotonic() - began
        beside = await _p99_ms(ledger, measured, struck, began + evicted)
    measured.need(evicted < 60, "slow readers were never let go")
    measured.within("evicted after", evicted, EVICTED_S)
    measured.within("memory of each", (most - before) / SLOW / MIB, 1.0, "MB")
    measured.figures.append(
        f"others' hop p99 {alone:.1f} ms without them, {beside:.1f} ms beside them "
        f"({beside / alone:.1f} times)"
    )
    measured.within("others slower by", beside - alone, OTHERS_MS, "ms")
    return measured


async def _two_answers(stage: Stage, ledger: Ledger) -> str:
    """Have two answers begun, six and twelve seconds long; returns the address of the first."""
    # 2.4 MB: far more than the kernel takes for a reader.
    (stream_id,) = await ledger.ask(stage.users[:1], chunks=300, pause_ms=20.0, size=8_000)
    await ledger.ask(stage.users[1:], chunks=600, pause_ms=20.0)
    await ledger.until(each=1)
    urls: dict[str, str] = await ledger.call("urls")
    return urls[stream_id]


async def _p99_ms(ledger: Ledger, measured: Measured, since: float, until: float) -> float:
    """Let all end, and return how long their chunks took within a span."""
    await ledger.until(ended=True)
    delays = delays_ms(await ledger.call("timeline"), since, until)
    measured.judged(await ledger.judge())
    return percentile(delays, 99)


async def half_open_reader(stage: Stage, size: Size) -> Measured:
    """The device's packets, and those to it, are dropped in mid-answer and in silence."""
    measured = Measured()
    relay = await stage.relay(bots=1)
    freed = []
    for pause_s in size.of((0.02, 60.0), (60.0,)):
        async with raw_bot(relay.url, stage.seed.bots[0].token) as bot:
            ledger = await stage.ledger()
            (stream_id,) = await ledger.ask(stage.users[:1], readers=0)
            await bot.asked()
            url = (await ledger.call("urls"))[stream_id]
            with stalled_reader(relay.port, url) as reader:
                await _until(relay, READERS, lambda readers: readers == 1)
                writing = asyncio.create_task(_write(bot, stream_id, pause_s))
                with unplugged(reader.getsockname()[1]):
                    freed.append(await _until(relay, READERS, lambda readers: readers == 0))
                writing.cancel()
            await bot.say({"type": "stream_error", "session_id": stream_id})
    measured.need(max(freed) < 60, "a half-open reader was never let go")
    measured.within("freed after at most", max(freed), FREED_S)
    return measured


async def _write(bot: RawBot, stream_id: str, pause_s: float) -> None:
    for sequence in range(100_000):
        await bot.say(chunk(stream_id, sequence, "text"))
        await asyncio.sleep(pause_s)


async def half_open_bot(stage: Stage, size: Size) -> Measured:
    """The bot's packets are dropped in mid-answer: no FIN and no RST will ever come."""
    measured = Measured()
    relay = await stage.relay(bots=1)
    ledger = await stage.ledger()
    async with raw_bot(relay.url, stage.seed.bots[0].token) as bot:
        (stream_id,) = await ledger.ask(stage.users[:1])
        await bot.asked()
        await bot.say(*(chunk(stream_id, n, "x") for n in range(3)))
        await bot.message("ack", next_sequence=3)
        port = bot.socket.local_address[1]
        with unplugged(port):
            began = time.monotonic()
            freed = await _until(relay, BOTS, lambda bots: bots == 0)
            await ledger.until(ended=True, timeout_s=90)
            ended = time.monotonic() - began
    measured.need(freed < 60, "a half-open bot was never let go")
    measured.within("freed after", freed, FREED_S)
    # Grace and a second from when the relay has noticed.
    measured.within("device's end after", ended, freed + 9)
    (stream,) = await ledger.call("timeline")
    measured.need(stream["outcomes"] == ["bot_gone"], f"the end says {stream['outcomes']}")
    return measured


SCENARIOS = [
    Scenario(
        "slow-reader",
        "slow reader",
        "20 devices with a receive buffer of 4 KB that read nothing",
        "evicted <= 10 s, < 1 MB each; others delayed by <= 50 ms",
        slow,
    ),
    Scenario(
        "half-open-reader",
        "half-open reader",
        "iptables DROP of all packets of its port, in mid-answer and in silence",
        "freed <= 25 s",
        half_open_reader,
        needs=("iptables",),
    ),
    Scenario(
        "half-open-bot",
        "half-open bot",
        "iptables DROP of all packets of its port",
        "freed <= 25 s; the device gets an end within grace + 1 s of that",
        half_open_bot,
        needs=("iptables",),
    ),
]
