"""A write that fails: the owner is dropped and rebuilt, and nothing is lost or repeated."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker.base import LogSnapshot
from relay.errors import Fenced, UnknownStream
from relay.node.recovery import RETRY_SECONDS
from relay.protocol.events import Abort, Chunk, End
from relay.wire.bot import Closed, Connected, Missing, OpenStreamState
from tests.support.brokers import DelayedLog, LogOver
from tests.support.node import Bot, World, settle_down

TEXTS = ["a", "b", "c", "d"]


def resume(bot: Bot, stream_id: str) -> list[int]:
    """Return what a protocol-2 bot sends again, by the newest `connected`."""
    (state,) = (one for one in bot.connected.streams if one.stream_id == stream_id)
    if isinstance(state, Closed):
        return []
    early = {s for first, last in state.received for s in range(first, last + 1)}
    return [s for s in range(state.next_sequence, len(TEXTS)) if s not in early]


@pytest.mark.parametrize("failure", ["before", "after", "late"])
@pytest.mark.parametrize("at", range(4))
async def test_nothing_is_lost_or_repeated_by_a_write_that_fails(
    far: World, far_log: DelayedLog, failure: str, at: int
) -> None:
    """Whichever write it was, and whether it happened: the bot hears and resends."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    for sequence in range(4):
        if sequence == at:
            far_log.fail_next = failure
        await bot.say(stream, Chunk(TEXTS[sequence], sequence))
    await settle_down()
    first, again = bot.heard(Connected)
    assert first.connection_id == again.connection_id
    (state,) = again.streams
    assert isinstance(state, OpenStreamState)
    assert state.next_sequence == at + (failure == "after")
    await bot.chunks(stream, TEXTS, *resume(bot, stream))
    await bot.end(stream, TEXTS)
    assert await reader.read_all() == "abcd"
    assert reader.sequences == [0, 1, 2, 3]
    assert reader.end.outcome == "completed"
    assert [closed.outcome for closed in bot.closed] == ["completed"]


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_an_early_chunk_whose_write_failed_is_acknowledged_only_if_it_is_there(
    far: World, far_log: DelayedLog, failure: str
) -> None:
    """The state says so too."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    far_log.fail_next = failure
    await bot.say(stream, Chunk("c", 2))
    await settle_down()
    assert bot.acks == ([2] if failure == "after" else [])
    assert resume(bot, stream) == ([0, 1, 3] if failure == "after" else [0, 1, 2, 3])


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_an_end_whose_write_failed_is_told_once_it_is_true(
    far: World, far_log: DelayedLog, failure: str
) -> None:
    """If it did happen, the rebuilt owner finds it; else it is offered to that owner again."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    await bot.chunks(stream, TEXTS)
    far_log.fail_next = failure
    await bot.end(stream, TEXTS)
    await settle_down()
    assert bot.closed == [Closed(stream, "completed", 4, ())]
    assert await reader.read_all() == "abcd"
    row = await far.row(stream)
    assert (row.outcome, row.status, row.sse_chunk_count) == ("completed", "completed", 4)
    await far.advance(301.0)
    assert len(far_log.inner) == 0


async def test_what_the_old_owner_had_under_way_is_void(far: World, far_log: DelayedLog) -> None:
    """A write that lands after the takeover is fenced: it cannot come between."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    far_log.fail_next = "late"
    await bot.say(stream, Chunk("a", 0))
    await settle_down()
    await bot.chunks(stream, TEXTS, 0)
    with pytest.raises(Fenced):
        far_log.land()
    assert [fence for fence, *_ in far_log.appends] == [1, 2]
    assert [entry.sequence for entry in far_log.inner.read(stream, 0, 10)] == [0]


async def test_all_streams_are_stated_again_and_not_only_the_one(
    far: World, far_log: DelayedLog
) -> None:
    """By the protocol a stream that `connected` does not list is unknown to the relay."""
    bot = await far.bot()
    streams = [(await far.ask(name)).stream_id for name in "abc"]
    far_log.fail_next = "before"
    await bot.say(streams[1], Chunk("a", 0))
    await settle_down()
    assert [state.stream_id for state in bot.connected.streams] == streams


async def test_a_broker_that_is_down_is_asked_again(far: World, far_log: DelayedLog) -> None:
    """What arrives meanwhile waits, its sender too, and is taken when the owner is there."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    far_log.fail_next, far_log.claims_down = "before", 3
    await bot.chunks(stream, TEXTS, 1)
    await settle_down()
    sending = asyncio.ensure_future(bot.chunks(stream, TEXTS, 1, 2, 3))
    await far.advance(2 * RETRY_SECONDS - 0.01)
    assert not sending.done()
    assert bot.acks == [0]
    await far.advance(0.02 + RETRY_SECONDS)
    await sending
    await bot.end(stream, TEXTS)
    assert await reader.read_all() == "abcd"
    assert reader.end.outcome == "completed"


@pytest.mark.parametrize("ends_meanwhile", [True, False])
async def test_a_broker_that_was_down_for_long_leaves_the_bot_its_time(
    ends_meanwhile: bool, far: World, far_log: DelayedLog
) -> None:
    """What its first write lost is not given up before the bot could send it again."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    far_log.fail_next, far_log.claims_down = "before", 40
    await bot.chunks(stream, TEXTS, 1)
    await settle_down()
    saying = [asyncio.ensure_future(bot.chunks(stream, TEXTS, 2, 3))]
    if ends_meanwhile:
        saying.append(asyncio.ensure_future(bot.end(stream, TEXTS)))
    await far.advance(40 * RETRY_SECONDS + 1.0)
    await asyncio.gather(*saying)
    assert bot.acks == [0, 2, 3]
    await bot.chunks(stream, TEXTS, 1)
    if not ends_meanwhile:
        await bot.end(stream, TEXTS)
    assert await reader.read_all() == "abcd"
    assert reader.end.outcome == "completed"


async def test_an_owner_that_fails_again_is_rebuilt_again(far: World, far_log: DelayedLog) -> None:
    """What waited for the first one waits for the next."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    far_log.fail_next, far_log.claims_down = "before", 1
    await bot.chunks(stream, TEXTS, 0)
    await settle_down()
    sending = asyncio.ensure_future(bot.chunks(stream, TEXTS, 0))
    await settle_down()
    far_log.fail_next = "after"
    await far.advance(2 * RETRY_SECONDS)
    await sending
    await bot.chunks(stream, TEXTS, *resume(bot, stream))
    await bot.end(stream, TEXTS)
    assert await reader.read_all() == "abcd"


class Outrun(LogOver):
    """A log whose second owner is outrun by somebody else's claim."""

    claims = 0

    def claim(self, stream_id: str, epoch: str | None = None) -> LogSnapshot:
        self.claims += 1
        snapshot = super().claim(stream_id, epoch)
        if self.claims == 2:
            super().claim(stream_id)
        return snapshot


async def test_an_owner_that_is_refused_while_it_takes_over_is_rebuilt_again() -> None:
    """A newer owner came in between: the one after that goes on."""
    log = Outrun()
    world = World(log)
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream)
    log.claim(stream)
    await bot.say(stream, Chunk("a", 0))
    await bot.chunks(stream, TEXTS)
    await settle_down()
    assert log.claims == 3
    await bot.chunks(stream, TEXTS, *resume(bot, stream))
    await bot.end(stream, TEXTS)
    assert await reader.read_all() == "abcd"
    assert reader.sequences == [0, 1, 2, 3]


async def test_a_stop_waits_for_the_next_owner_too(far: World, far_log: DelayedLog) -> None:
    """The device hung up while there was none: the bot was told to cancel, so the end must come."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    (await far.read(stream)).subscription.close()
    far_log.fail_next, far_log.claims_down = "before", 100
    await bot.say(stream, Chunk("a", 0))
    await far.advance(31.0)
    assert bot.closed == []
    far_log.claims_down = 0
    await far.advance(RETRY_SECONDS)
    assert [closed.outcome for closed in bot.closed] == ["cancelled"]


async def test_a_bot_that_left_while_there_was_no_owner_has_its_grace(
    far: World, far_log: DelayedLog
) -> None:
    """It began when the bot left, and not with the owner that was rebuilt later."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    far_log.fail_next, far_log.claims_down = "before", 1
    await bot.say(stream, Chunk("a", 0))
    await settle_down()
    bot.link.detach()
    left_at = far.clock.now()
    await far.advance(RETRY_SECONDS + 8.1)
    await reader.read_all()
    assert reader.end.outcome == "bot_gone"
    assert reader.end.at == pytest.approx(left_at + 8.0, abs=0.01)


@pytest.mark.parametrize("protocol", [1, 2])
async def test_a_rebuilt_owner_asks_for_what_is_missing_where_it_can(
    far: World, far_log: DelayedLog, protocol: int
) -> None:
    """A protocol-2 bot at once; a legacy bot never."""
    bot = await far.bot(protocol=protocol)
    stream = (await far.ask()).stream_id
    far_log.fail_next = "before"
    await bot.chunks(stream, TEXTS, 0)
    await settle_down()
    await bot.chunks(stream, TEXTS, 2)
    expected = [Missing(stream, ((0, 1),))] if protocol == 2 else []
    assert bot.heard(Missing) == expected


async def test_an_end_that_fails_while_the_bot_is_away_is_tried_again(
    far: World, far_log: DelayedLog
) -> None:
    """At once: the grace began when the bot left, and a new owner does not begin it anew."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    bot.link.detach()
    left_at = far.clock.now()
    await settle_down()
    far_log.fail_next = "before"
    await far.advance(8.1)
    await reader.read_all()
    assert reader.end.outcome == "bot_gone"
    assert reader.end.at == pytest.approx(left_at + 8.0, abs=0.01)


async def test_a_rebuilt_owner_still_numbers_overlapping_streams_by_arrival(
    far: World, far_log: DelayedLog
) -> None:
    """The bot's counter runs through both of its streams, and no entry says so."""
    bot = await far.bot(protocol=1)
    first = (await far.ask("one")).stream_id
    second = (await far.ask("two")).stream_id
    await bot.say(first, Chunk("a", 0))
    far_log.fail_next = "before"
    await bot.say(first, Chunk("b", 1))
    await settle_down()
    await bot.say(second, Chunk("A", 2))
    await bot.say(first, Chunk("c", 3))
    await bot.say(first, End())
    reader = await far.read(first)
    assert await reader.read_all() == "abc"
    assert reader.sequences == [0, 1, 2]


async def test_a_log_that_is_gone_ends_the_stream_as_lost(far: World, far_log: DelayedLog) -> None:
    """The bot and the trace are told, what waits is released, and the stream expires."""
    bot = await far.bot(protocol=1)
    stream = (await far.ask()).stream_id
    await bot.chunks(stream, TEXTS, 0, 1)
    far_log.inner.drop(stream)
    far_log.claims_down = 1
    await bot.chunks(stream, TEXTS, 2)
    await settle_down()
    sending = asyncio.ensure_future(bot.chunks(stream, TEXTS, 3))
    await far.advance(RETRY_SECONDS)
    await sending
    assert bot.closed == [Closed(stream, "lost", 3, ())]
    await bot.end(stream, TEXTS)
    assert bot.closed == [Closed(stream, "lost", 3, ())]
    await bot.say(stream, Abort("never mind"))
    await far.advance(31.0)
    row = await far.row(stream)
    assert (row.outcome, row.status, row.sdk_chunk_count) == ("lost", "anomaly", 3)
    assert (row.sdk_content, row.sse_chunk_count) == ("", 0)
    assert far.node.open_streams == 0
    await far.advance(300.0)
    assert (await far.bot()).connected.streams == ()


async def test_a_log_that_went_back_ends_the_stream_of_a_legacy_bot_as_lost(
    far: World, far_log: DelayedLog
) -> None:
    """Its reader has seen what is gone: what came next would be at offsets that it has read."""
    bot = await far.bot(protocol=1)
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    for sequence in range(3):
        await bot.say(stream, Chunk(TEXTS[sequence], sequence))
    await reader.read()
    far_log.roll_back(stream, 2)
    await bot.say(stream, Chunk(TEXTS[3], 3))
    await settle_down()
    assert far.node.open_streams == 0
    with pytest.raises(UnknownStream):
        await reader.read()
    reader.subscription.close()
    await far.advance(31.0)
    row = await far.row(stream)
    assert (row.outcome, row.status) == ("lost", "anomaly")


async def test_a_log_that_went_back_is_made_whole_by_a_bot_that_sends_again(
    far: World, far_log: DelayedLog
) -> None:
    """Of the same chunks the same entries are made, so a reader that has them misses none."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    for sequence in range(3):
        await bot.say(stream, Chunk(TEXTS[sequence], sequence))
    await reader.read()
    far_log.roll_back(stream, 2)
    await bot.say(stream, Chunk(TEXTS[3], 3))
    await settle_down()
    assert resume(bot, stream) == [1, 2, 3]
    await far.advance(1.0)
    await bot.chunks(stream, TEXTS, 1, 2, 3)
    await bot.end(stream, TEXTS)
    await reader.read_all()
    assert (reader.sequences, reader.end.outcome) == ([0, 1, 2, 3], "completed")
    # What has come anew was acknowledged then: the log has lost what it was said of before.
    points = [point[:3] for point in (await far.row(stream)).timeline if isinstance(point, list)]
    assert points == [[0, 0.0, 0.0], *([sequence, 1000.0, 1000.0] for sequence in (1, 2, 3))]


async def test_deadlines_are_those_of_the_log(far: World, far_log: DelayedLog) -> None:
    """A takeover does not postpone the end of the barrier."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    await bot.say(stream, End(4))
    ended_at = far.clock.now()
    await far.advance(1.5)
    far_log.fail_next = "before"
    await bot.chunks(stream, TEXTS, 2)
    await far.advance(0.6)
    await reader.read_all()
    assert reader.end.outcome == "incomplete"
    assert reader.end.at == pytest.approx(ended_at + 2.0, abs=0.001)
