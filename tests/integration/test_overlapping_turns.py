from __future__ import annotations

import asyncio
from itertools import zip_longest

import pytest

from tests.support.bots import (
    V2_0,
    V2_4_0,
    VERSIONS,
    LegacyBot,
    Version,
    in_order,
    legacy_bot,
    raw_bot,
    stream_of,
)
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.server import RelayServer

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
DOGS = tuple(f"dog{number} " for number in range(40))
CATS = tuple(f"cat{number} " for number in range(40))


async def interleave(bot: LegacyBot, dogs: int = 0, cats: int = 1) -> None:
    """Answer two questions at once with the counters of one connection, as the SDK does."""
    first = await bot.begin(await bot.command(dogs))
    half = len(DOGS) // 2
    await bot.stream(first, in_order(DOGS[:half]))
    second = await bot.begin(await bot.command(cats))
    for dog, cat in zip_longest(DOGS[half:], CATS):
        for ledger, content in ((second, cat), (first, dog)):
            if content is not None:
                await bot.put(ledger, bot.number(ledger, content), 0)
    await bot.finish(first)
    await bot.finish(second)


@every_version
async def test_two_turns_of_one_conversation_never_mix(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """The user asks again before the answer ends: each answer holds its own text, all of it.

    Their summaries hold and count both turns' text, so they are ignored, and the trace says why.
    """
    body = question(relay.bot().user_id)
    async with legacy_bot(relay, version) as bot, glasses.ask(body) as dogs:
        await bot.command(0)
        async with glasses.ask(body) as cats:
            await bot.command(1)
            _, first, second = await asyncio.gather(interleave(bot), dogs.read(), cats.read())
    assert_finished(first)
    assert_finished(second)
    assert first.text == "".join(DOGS)
    assert second.text == "".join(CATS)
    for answer in (first, second):
        row = relay.trace(answer.stream_id)
        assert row["missing_sequences"] == []
        assert row["sdk_chunk_count"] == row["sse_chunk_count"] == 40
        noted = {event["type"]: event["data"] for event in row["events"]}
        assert noted["numbered_by_arrival"] == {"reason": "overlapping streams"}


async def test_turns_without_an_id_are_told_apart_by_the_order_of_their_starts(
    relay: RelayServer, glasses: Glasses
) -> None:
    """2.0.x: whichever turn speaks first, `stream_start` has said which question it answers."""
    body = question(relay.bot().user_id)
    async with legacy_bot(relay, V2_0) as bot, glasses.ask(body) as dogs:
        first = await bot.begin(await bot.command(0))
        async with glasses.ask(body) as cats:
            second = await bot.begin(await bot.command(1))
            await bot.stream(second, in_order(CATS))
            await bot.stream(first, in_order(DOGS))
            await bot.finish(second)
            await bot.finish(first)
            await asyncio.gather(dogs.read(), cats.read())
    assert (dogs.text, cats.text) == ("".join(DOGS), "".join(CATS))


@pytest.mark.parametrize("version", VERSIONS[1:], ids=lambda version: version.name)
async def test_late_chunks_of_one_turn_never_leak_into_the_next(
    relay: RelayServer, glasses: Glasses, version: Version
) -> None:
    """A chunk, an end and a summary behind the end of turn 1 leave turn 2 as it is."""
    body = question(relay.bot().user_id)
    async with legacy_bot(relay, version) as bot:
        async with glasses.ask(body) as answer:
            old = await bot.begin(await bot.command(0))
            await bot.stream(old, in_order(["one"]))
            await bot.finish(old)
            await answer.read()
        async with glasses.ask(body) as answer:
            new = await bot.begin(await bot.command(1))
            await bot.stream(new, in_order(["two "]))
            await bot.say(
                {
                    "type": "stream_chunk",
                    "content": "LATE",
                    "sequence": 1,
                    "session_id": old.stream_id,
                }
            )
            await bot.say({"type": "stream_end", "session_id": old.stream_id})
            await bot.summarise(old)
            await bot.put(new, bot.number(new, "whole"), 1)
            await bot.finish(new)
            await answer.read()
    assert_finished(answer)
    assert answer.text == "two whole"


async def test_a_late_chunk_is_kept_in_the_trace_of_its_own_turn(
    relay: RelayServer, glasses: Glasses
) -> None:
    """It was never shown, so it is missing; it did come, so the trace says that it was late."""
    async with legacy_bot(relay, V2_4_0) as bot:
        async with glasses.ask(question(relay.bot().user_id)) as answer:
            ledger = await bot.begin(await bot.command())
            await bot.stream(ledger, in_order(["a", "b"]))
            await bot.say({"type": "stream_end", "session_id": ledger.stream_id})
            await answer.read()
        assert_finished(answer)
        late = bot.number(ledger, "c")
        await bot.put(ledger, late, 2)
        await bot.until_silent()
        acks = bot.cable.messages("chunk_received")
    assert answer.text == "ab"
    assert acks[-1]["sequence"] == 2
    row = relay.trace(answer.stream_id, until=lambda row: row["missing_sequences"] == [2])
    assert row["status"] == "anomaly"
    assert row["anomaly"]["arrived_late"] == [[2, 2]]
    assert (row["sdk_chunk_count"], row["sse_chunk_count"]) == (3, 2)


async def test_turns_of_protocol_2_overlap_without_any_loss_of_trust(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Sequences belong to streams there, so both answers are whole and both traces clean."""
    body = question(relay.bot().user_id)
    async with raw_bot(relay) as bot, glasses.ask(body) as dogs:
        first = stream_of(await bot.command(0))
        async with glasses.ask(body) as cats:
            second = stream_of(await bot.command(1))
            for sequence in reversed(range(40)):
                await bot.chunk(first, sequence, DOGS[sequence])
                await bot.chunk(second, sequence, CATS[sequence])
            await bot.end(second, CATS)
            await bot.end(first, DOGS)
            await asyncio.gather(dogs.read(), cats.read())
    assert (dogs.text, cats.text) == ("".join(DOGS), "".join(CATS))
    for answer in (dogs, cats):
        assert_finished(answer)
        assert relay.trace(answer.stream_id)["status"] == "completed"
