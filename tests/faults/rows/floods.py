"""Everything at once: one bot's chunks, two bots of one id, a thousand bots after a restart."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.faults.content import read_question
from tests.faults.figures import percentile, resident_bytes
from tests.faults.raw import RawBot, chunk, end, frame_of, masked, raw_bot
from tests.faults.scenario import Measured, Scenario, Size
from tests.faults.stage import ROOT, Stage
from tests.support.server import RelayServer, environment

CHUNKS = 10_000
ACKED_S = 0.6
GROWTH_MIB = 30.0
CLOSED_S = 0.1
STORM = 1_000
TRIES = 5
WINDOW_S = 10.0
MIB = 2**20


async def burst(stage: Stage, size: Size) -> Measured:
    """Ten thousand chunks in one write, far beyond what the bot was granted."""
    measured = Measured()
    relay = await stage.relay(bots=1)
    ledger = await stage.ledger()
    took, grown = [], []
    for _ in range(size.of(5, 2)):
        async with raw_bot(relay.url, stage.seed.bots[0].token) as bot:
            (stream_id,) = await ledger.ask(stage.users, readers=0)
            await bot.asked()
            frames = masked([frame_of(chunk(stream_id, n, f"chunk {n} ")) for n in range(CHUNKS)])
            assert relay.process is not None
            before = resident_bytes(relay.process.pid)
            began = time.monotonic()
            wire: socket.socket = bot.socket.transport.get_extra_info("socket")
            own = socket.socket(fileno=socket.dup(wire.fileno()))
            own.setblocking(True)
            await asyncio.to_thread(own.sendall, frames)
            own.close()
            await bot.message("ack", session_id=stream_id, next_sequence=CHUNKS)
            took.append(time.monotonic() - began)
            grown.append((resident_bytes(relay.process.pid) - before) / MIB)
            await bot.say(end(stream_id, CHUNKS))
            _, closed = await bot.message("stream_closed", session_id=stream_id)
            measured.need(closed["outcome"] == "completed", f"it ended as {closed}")
            refused = [told for _, told in bot.messages if told.get("type") == "refused"]
            measured.need(not refused, f"{len(refused)} chunks were refused: {refused[:1]}")
    measured.figures.append(f"{CHUNKS:,} chunks in one write, {len(took)} times, all stored")
    measured.within("all ACKed in", percentile(took, 50), ACKED_S)
    measured.within("memory +", max(grown), GROWTH_MIB, "MB")
    return measured


async def two_bots(stage: Stage, size: Size) -> Measured:
    """A second process with the same token comes while the first one answers."""
    measured = Measured()
    await stage.relay(bots=1)
    ledger = await stage.ledger()
    token = stage.seed.bots[0].token
    closed: list[float] = []
    for _ in range(size.of(20, 5)):
        async with raw_bot(ledger.url, token) as first:
            (stream_id,) = await ledger.ask(stage.users, chunks=20)
            answer = read_question((await first.asked())["params"]["message"])
            await first.say(*(chunk(stream_id, n, answer.piece(n)) for n in range(10)))
            await first.message("ack", session_id=stream_id, next_sequence=10)
            async with raw_bot(ledger.url, token) as second:
                at, greeting = await second.message("connected")
                # The loser still speaks: nothing of it may change anything.
                with suppress(ConnectionClosed):
                    await first.say(chunk(stream_id, 10, "from the loser"))
                await first.until(lambda: first.closed_at > 0)
                closed.append(first.closed_at - at)
                goodbyes = [one for _, one in first.messages if one.get("type") == "disconnect"]
                reasons = [(one.get("reason"), one.get("reconnect")) for one in goodbyes]
                measured.need(reasons == [("fenced", False)], f"the loser was told {reasons}")
                # What has ended is told again and again: a word about it may be lost.
                held = [one for one in greeting["streams"] if one["status"] != "closed"]
                told = [(one["status"], one["next_sequence"]) for one in held]
                measured.need(told == [("active", 10)], f"the winner was told {greeting}")
                await second.say(*(chunk(stream_id, n, answer.piece(n)) for n in range(10, 20)))
                await second.say(end(stream_id, 20))
                await second.message("stream_closed", session_id=stream_id)
            await ledger.until(ended=True)
            verdict = await ledger.judge()
            measured.judged(verdict)
    measured.figures.append(f"one owner in {len(closed)} of {len(closed)} rounds")
    measured.within("the loser closed after at most", max(closed), CLOSED_S)
    return measured


async def duplicate_resume(stage: Stage, size: Size) -> Measured:
    """After a restart a bot comes twice at once, and each says everything; so do two devices."""
    measured = Measured()
    relay = await stage.relay(bots=1)
    ledger = await stage.ledger()
    token = stage.seed.bots[0].token
    rounds = size.of(5, 1)
    for _ in range(rounds):
        async with raw_bot(ledger.url, token) as first:
            (stream_id,) = await ledger.ask(stage.users, chunks=30, readers=2)
            command = await first.asked()
            answer = read_question(command["params"]["message"])
            chunks = [chunk(stream_id, n, answer.piece(n)) for n in range(30)]
            await first.say(*chunks[:15])
            await ledger.until(share=0.5)
        relay.kill()
        await asyncio.to_thread(relay.start)
        resume = {"type": "stream_resume", "session_id": stream_id, "resume": command["resume"]}
        said = [resume, resume, *chunks, end(stream_id, 30)]
        outcomes = await asyncio.gather(*(_resume(ledger.url, token, said) for _ in range(2)))
        measured.need("completed" in outcomes, f"the two were told {outcomes}")
        await ledger.until(ended=True)
        measured.judged(await ledger.judge())
    measured.figures.append(f"{rounds} rounds, each text once at both devices")
    return measured


async def _resume(url: str, token: str, said: Sequence[dict[str, object]]) -> str:
    """Resume and say all; returns the outcome, or why there was none."""
    try:
        async with raw_bot(url, token) as bot:
            await bot.say(*said)
            return await _outcome(bot)
    except (OSError, TimeoutError, WebSocketException) as error:
        # The loser of the two is thrown out at any point.
        return type(error).__name__


async def _outcome(bot: RawBot) -> str:
    def known() -> list[str]:
        return [
            str(one["outcome"]) for _, one in bot.messages if one.get("type") == "stream_closed"
        ]

    await bot.until(lambda: bool(known()) or bot.closed_at > 0)
    return known()[0] if known() else "closed"


async def storm(stage: Stage, size: Size) -> Measured:
    """The relay is killed, stays away, and comes back to a thousand bots."""
    measured = Measured()
    bots = size.of(STORM, 300)
    relay = await stage.relay(bots=bots, log_level="warning")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.crowd",
        cwd=ROOT,
        env={**environment(), "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk_py'}"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        tokens = [bot.token for bot in stage.seed.bots]
        process.stdin.write(json.dumps({"url": relay.url, "tokens": tokens}).encode() + b"\n")
        async with asyncio.timeout(120):
            assert await process.stdout.readline() == b"all\n"
        relay.kill()
        await asyncio.sleep(size.of(8, 3))
        await asyncio.to_thread(relay.start)
        ready = time.monotonic()
        async with asyncio.timeout(120):
            assert await process.stdout.readline() == b"all\n"
        everyone = time.monotonic() - ready
        process.stdin.write(b"\n")
        tried: list[list[tuple[float, str]]] = json.loads(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()
    worst = max(_most_within(one, WINDOW_S) for one in tried)
    measured.figures.append(f"{bots:,} bots back {everyone:.1f} s after the relay was ready")
    if worst > TRIES:
        history = next(one for one in tried if _most_within(one, WINDOW_S) == worst)
        told = ", ".join(f"{what} {at - history[0][0]:.2f}" for at, what in history)
        measured.violations.append(f"a bot tried {worst} times in {WINDOW_S:g} s: {told}")
    measured.within("most tries of a bot in 10 s", worst, TRIES, "")
    _healthy(relay, measured)
    return measured


def _healthy(relay: RelayServer, measured: Measured) -> None:
    measured.need(relay.process is not None and relay.process.poll() is None, "the relay has ended")


def _most_within(tried: list[tuple[float, str]], span: float) -> int:
    broke = next((n for n, (_, what) in enumerate(tried) if what == "lost"), len(tried))
    moments = [at for at, what in tried[broke:] if what != "lost"]
    return max((sum(first <= at < first + span for at in moments) for first in moments), default=0)


SCENARIOS = [
    Scenario(
        "burst",
        "10,000 chunks in 3 ms",
        "one pre-built sendall, by a client that ignores its credit",
        "all ACKed < 600 ms, + < 30 MB",
        burst,
    ),
    Scenario(
        "two-bots-one-id",
        "two bots, one id",
        "two sockets; the older one goes on talking",
        "one owner, the loser closed <= 100 ms",
        two_bots,
    ),
    Scenario(
        "duplicate-resume",
        "duplicate resume",
        "after kill -9, two sockets resume the same stream at once, twice each; two devices",
        "each text once",
        duplicate_resume,
    ),
    Scenario(
        "storm",
        "1,000 bots after a restart",
        "kill, 8 s, restart; connections of the SDK (short: 300 bots, 3 s)",
        "no bot > 5 tries in 10 s",
        storm,
    ),
]
