"""What a bot had said when a write failed: nothing of it is dropped, and nothing comes twice."""

from __future__ import annotations

import asyncio

import pytest

from relay.protocol.events import Chunk, End, Summary
from relay.protocol.texthash import content_hash
from relay.wire.bot import Connected
from tests.support.brokers import DelayedLog
from tests.support.node import World, settle_down

TEXTS = ["a", "b", "c", "d"]


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("failure", ["before", "after", "late"])
async def test_a_legacy_bot_is_told_nothing_and_loses_nothing(
    far: World, far_log: DelayedLog, failure: str, numbered: bool
) -> None:
    """It cannot send again: what its write may not have stored is offered again, and once."""
    bot = await far.bot(protocol=1)
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    for place, text in enumerate(TEXTS):
        if place == 1:
            far_log.fail_next = failure
        await bot.say(stream, Chunk(text, place if numbered else None))
    await bot.say(stream, End())
    await bot.say(stream, Summary("abcd", 4, content_hash("abcd")))
    assert await reader.read_all() == "abcd"
    assert len(bot.heard(Connected)) == 1
    assert bot.acks == ([0, 1, 2, 3] if numbered else [None] * 4)
    row = await far.row(stream)
    assert (row.status, row.missing_sequences, row.repaired_by) == ("completed", [], None)


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_what_waits_behind_a_write_that_fails_waits_for_the_next_owner(
    far: World, far_log: DelayedLog, failure: str
) -> None:
    """Several messages of a legacy bot were on their way, an early chunk and the end among them."""
    bot = await far.bot(protocol=1)
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    far_log.held = True
    messages = (Chunk("a", 0), Chunk("c", 2), Chunk("b", 1), Chunk("d", 3), End())
    saying = [asyncio.ensure_future(bot.say(stream, message)) for message in messages]
    await settle_down()
    far_log.held, far_log.fail_next = False, failure
    far_log.step()
    await asyncio.gather(*saying)
    await settle_down()
    await far.advance(0.2)
    assert await reader.read_all() == "abcd"
    assert bot.acks == [0, 2, 1, 3]
    assert reader.end.outcome == "completed"


async def test_a_stop_whose_own_write_fails_is_not_forgotten(
    far: World, far_log: DelayedLog
) -> None:
    """The device is gone, the bot was told to cancel: the stream must not run on."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    (await far.read(stream)).subscription.close()
    await far.advance(29.9)
    far_log.fail_next = "before"
    await far.advance(0.2)
    assert [closed.outcome for closed in bot.closed] == ["cancelled"]
