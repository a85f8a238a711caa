from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from relay_sdk import Bot, Command, ReplyOutcome
from tests.support.bots import (
    V2_3_7,
    V2_3_10,
    V2_4_0,
    Sent,
    Version,
    as_recorded,
    legacy_bot,
    stream_of,
)
from tests.support.glasses import Answer, Glasses, assert_finished, question
from tests.support.incident import Turn, load_incident
from tests.support.server import RelayServer
from tests.support.wire import Wire

TURNS = load_incident()
LEGACY = (V2_3_7, V2_3_10, V2_4_0)


@asynccontextmanager
async def sdk_bot(
    url: str,
    relay: RelayServer,
    number: int,
    write: Callable[[Bot, Command], Awaitable[ReplyOutcome]],
) -> AsyncIterator[asyncio.Queue[ReplyOutcome]]:
    """A bot of the Python SDK; yields what became of each of its answers."""
    bot = Bot(url, relay.bot(number).token)
    outcomes: asyncio.Queue[ReplyOutcome] = asyncio.Queue()

    @bot.on_command
    async def answer(command: Command) -> None:
        await outcomes.put(await write(bot, command))

    async with bot:
        await bot.connected()
        yield outcomes


async def write_turn(bot: Bot, command: Command, turn: Turn, speed: float) -> ReplyOutcome:
    """Answer with a turn of the incident, each chunk at its recorded time."""
    started = time.monotonic()
    at = {frame.sequence: frame.at for frame in turn.frames if frame.sequence is not None}
    async with bot.reply(command) as reply:
        for sequence, content in enumerate(turn.chunks):
            await asyncio.sleep(started + at[sequence] / speed - time.monotonic())
            await reply.write(content)
    return await reply.closed()


async def ask_legacy(
    relay: RelayServer, glasses: Glasses, version: Version, number: int, turn: Turn, speed: float
) -> tuple[Answer, Sent]:
    """Ask a legacy bot that answers at recorded speed."""
    async with (
        legacy_bot(relay, version, number) as bot,
        glasses.ask(question(relay.bot(number).user_id)) as answer,
    ):
        script = as_recorded(turn, numbered=version.numbered, speed=speed)
        ledger, _ = await asyncio.gather(bot.answer(await bot.command(), script), answer.read())
    return answer, ledger


async def ask_sdk(
    relay: RelayServer, glasses: Glasses, number: int, turn: Turn, speed: float
) -> tuple[Answer, ReplyOutcome]:
    """Ask a bot of the SDK that answers at recorded speed."""

    async def write(bot: Bot, command: Command) -> ReplyOutcome:
        return await write_turn(bot, command, turn, speed)

    async with (
        sdk_bot(relay.url, relay, number, write) as outcomes,
        glasses.ask(question(relay.bot(number).user_id)) as answer,
    ):
        await answer.read()
        return answer, await outcomes.get()


@pytest.mark.parametrize(
    ("turn", "speed"),
    [(TURNS[0], 10), (TURNS[1], 1)],
    ids=["3 chunks, ten times as fast", "60 chunks"],
)
async def test_all_60_of_60_at_recorded_speed(
    relay: RelayServer, glasses: Glasses, turn: Turn, speed: float
) -> None:
    """Three legacy versions and the SDK at once: every text whole, every piece soon there."""
    asked = asyncio.create_task(ask_sdk(relay, glasses, 3, turn, speed))
    legacy = await asyncio.gather(
        *(ask_legacy(relay, glasses, version, n, turn, speed) for n, version in enumerate(LEGACY))
    )
    answer, outcome = await asked
    assert (outcome.outcome, outcome.missing) == ("completed", ())
    for shown in (answer, *(answer for answer, _ in legacy)):
        assert_finished(shown)
        assert "".join(shown.pieces) == turn.text
        row = relay.trace(shown.stream_id)
        assert (row["status"], row["missing_sequences"]) == ("completed", [])
    for shown, ledger in legacy:
        assert shown.pieces == list(turn.chunks)
        row = relay.trace(shown.stream_id)
        # The reference's own figure was a median of 160 ms; this one is measured in the relay.
        assert row["delivery_delay_p50"] < 50
        first = 1000 * (ledger.first_at - shown.asked_at + turn.frames[0].at / speed)
        assert row["first_chunk_delay"] == pytest.approx(first, abs=150)
        last = 1000 * (ledger.end_at - ledger.last_at)
        assert row["last_chunk_delay"] == pytest.approx(last, abs=60)


async def test_the_sdk_loses_nothing_over_a_network_that_breaks(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Its connection is reset five times within the 60 chunks: 60 of 60, once each."""
    turn = TURNS[1]
    async with Wire(relay.port, "http") as proxy:

        async def write(bot: Bot, command: Command) -> ReplyOutcome:
            async with bot.reply(command) as reply:
                for sequence, content in enumerate(turn.chunks):
                    await reply.write(content)
                    if sequence % 12 == 6:
                        proxy.cut()
                        await bot.connected()
            return await reply.closed()

        async with (
            sdk_bot(proxy.url, relay, 0, write) as outcomes,
            glasses.ask(question(relay.bot(0).user_id)) as answer,
        ):
            await answer.read()
            outcome = await outcomes.get()
    assert_finished(answer)
    assert answer.text == turn.text
    assert outcome.outcome == "completed"
    assert proxy.connections > 1
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["missing_sequences"]) == ("completed", [])


async def test_a_second_question_never_waits_for_the_first_answer(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The user asks again: the bot hears of it at once and the second answer overtakes."""
    body = question(relay.bot().user_id)
    async with legacy_bot(relay, V2_4_0) as bot, glasses.ask(body) as first:
        slow = await bot.begin(await bot.command(0))
        async with glasses.ask(body) as second:
            command = await bot.command(1)
            quick = await bot.begin(command)
            await bot.put(quick, bot.number(quick, "quick"), 0)
            await bot.finish(quick)
            await second.read()
            assert not first.ended
        await bot.put(slow, bot.number(slow, "slow"), 0)
        await bot.finish(slow)
        await first.read()
    assert stream_of(command) == second.stream_id
    assert (first.text, second.text) == ("slow", "quick")
