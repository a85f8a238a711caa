"""Reading a node's streams: from any position, by whom, and for how long."""

from __future__ import annotations

import asyncio
import gc
from functools import partial

import pytest

from relay.broker.memory import MemoryLog
from relay.errors import BrokerUnavailable, PositionGone, UnknownStream
from relay.node.expired import Expired
from relay.protocol.events import Position
from tests.support.brokers import DelayedLog
from tests.support.node import KEY, World, settle_down

TEXTS = ["a", "b", "c"]


# --- reading ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(5))
async def test_a_reader_resumes_behind_any_position(world: World, after: int) -> None:
    """The rest of the stream: the same bytes under the same ids as a reader got live."""
    bot = await world.bot()
    view = await world.ask()
    live = await world.read(view.stream_id)
    for sequence in range(3):
        await bot.chunks(view.stream_id, TEXTS, sequence)
        await live.read()
    await bot.end(view.stream_id, TEXTS)
    await live.read_all()
    frames = [batch.data for batch in live.batches]
    assert f"id: {view.epoch}.1\n".encode() in frames[0]
    resumed = await world.read(view.stream_id, after=Position(view.epoch, after))
    assert resumed.subscription.finished is (after == 4)
    await resumed.read_all()
    assert resumed.data == b"".join(frames[after:])


async def test_a_position_beyond_the_log_is_gone(world: World) -> None:
    """It was never given out by this log: an explicit error, never silently another place."""
    bot = await world.bot()
    view = await world.ask()
    await bot.chunks(view.stream_id, TEXTS)
    with pytest.raises(PositionGone):
        await world.read(view.stream_id, after=Position(view.epoch, 4))
    await world.read(view.stream_id, after=Position(view.epoch, 3))


@pytest.mark.parametrize("offset", [0, 1, 9])
async def test_a_position_of_another_log_starts_over(world: World, offset: int) -> None:
    """The old log is lost, so everything is read once more, and the reader is told so."""
    bot = await world.bot()
    view = await world.ask()
    await bot.chunks(view.stream_id, TEXTS)
    again = await world.read(view.stream_id, after=Position("other", offset))
    assert again.subscription.reset
    assert [entry.offset for entry in (await again.subscription.next()).entries] == [1, 2, 3]
    assert not (await world.read(view.stream_id)).subscription.reset


async def test_a_stream_is_read_by_the_key_that_opened_it(world: World) -> None:
    """Another key is told no more than for a stream that never was; a ticket names no key."""
    await world.bot()
    stream = (await world.ask()).stream_id
    for stream_id, key in ((stream, KEY + 1), ("nowhere", KEY), ("nowhere", None)):
        with pytest.raises(UnknownStream) as caught:
            await world.read(stream_id, key=key)
        assert caught.value.stream_id == stream_id
    await world.read(stream, key=KEY)
    await world.read(stream, key=None)


async def test_a_stranger_does_not_delay_the_end_of_a_stream(world: World) -> None:
    """Being refused is not reading: the grace goes on."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await world.advance(29.0)
    with pytest.raises(UnknownStream):
        await world.read(stream, key=KEY + 1)
    await world.advance(1.1)
    assert len(bot.closed) == 1


# --- finding ------------------------------------------------------------------------------


async def test_a_conversation_is_found_by_its_newest_stream(world: World) -> None:
    """A stream by its own id at any time."""
    await world.bot()
    first = (await world.ask("talk")).stream_id
    second = (await world.ask("talk")).stream_id
    other = (await world.ask("other")).stream_id
    find = world.node.find_stream
    for session_id, stream_id in (("talk", second), (first, first), ("other", other)):
        found = await find(access_key_id=KEY, bot_id=None, session_id=session_id)
        assert found == stream_id
        assert await find(access_key_id=KEY, bot_id=1, session_id=session_id) == stream_id


async def test_a_conversation_is_a_matter_of_its_key(world: World) -> None:
    """Two keys may use one name for two conversations; neither finds the other's."""
    await world.bot()
    mine = (await world.ask("talk", key=1)).stream_id
    theirs = (await world.ask("talk", key=2)).stream_id
    find = world.node.find_stream
    assert await find(access_key_id=1, bot_id=None, session_id="talk") == mine
    assert await find(access_key_id=2, bot_id=None, session_id="talk") == theirs
    for key, session_id, bot_id in ((1, theirs, None), (3, "talk", None), (1, "talk", 2)):
        with pytest.raises(UnknownStream):
            await find(access_key_id=key, bot_id=bot_id, session_id=session_id)


# --- expiring -----------------------------------------------------------------------------


async def test_a_finished_stream_stays_readable_for_its_retention(world: World) -> None:
    """Then its log is dropped, readers are told that it is gone, and the conversation forgotten."""
    bot = await world.bot()
    view = await world.ask("talk")
    stream = view.stream_id
    reader = await world.read(stream)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    await reader.read_all()
    await world.rows()
    await world.advance(299.9)
    assert await (await world.read(stream)).read_all() == "abc"
    waiting = asyncio.ensure_future(reader.subscription.next())
    await world.advance(0.2)
    with pytest.raises(UnknownStream):
        await waiting
    inner = world.log.inner if isinstance(world.log, DelayedLog) else world.log
    assert isinstance(inner, MemoryLog)
    assert len(inner) == 0
    for key in (KEY, None):
        with pytest.raises(PositionGone):
            await world.read(stream, key=key)
    with pytest.raises(UnknownStream):
        await world.read(stream, key=KEY + 1)
    with pytest.raises(UnknownStream):
        await world.node.find_stream(access_key_id=KEY, bot_id=None, session_id="talk")
    assert bot.closed[-1].outcome == "completed"


async def test_a_newer_turn_of_a_conversation_survives_the_older_one(world: World) -> None:
    """Forgetting the old stream does not forget the conversation."""
    bot = await world.bot()
    first = (await world.ask("talk")).stream_id
    await bot.end(first, [])
    await (await world.read(first)).read_all()
    await world.rows()
    await world.advance(200.0)
    second = (await world.ask("talk")).stream_id
    await bot.end(second, [])
    await world.advance(101.0)
    find = world.node.find_stream
    assert await find(access_key_id=KEY, bot_id=None, session_id="talk") == second
    with pytest.raises(PositionGone):
        await world.read(first)


async def test_so_many_expired_streams_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest becomes unknown: 410 is a courtesy and no reason to fill the memory."""
    monkeypatch.setattr("relay.node.registry.Expired", partial(Expired, 2))
    world = World()
    streams = [(await world.ask(bot_id=None)).stream_id for _ in range(3)]
    await world.advance(31.0)
    await world.rows()
    await world.advance(301.0)
    with pytest.raises(UnknownStream):
        await world.read(streams[0])
    for stream in streams[1:]:
        with pytest.raises(PositionGone):
            await world.read(stream)


async def test_a_failing_trace_store_does_not_touch_delivery(world: World) -> None:
    """Rows are lost and counted; the device and the bot notice nothing."""
    world.store.error = OSError("disk full")
    world.tracer.start()
    bot = await world.bot()
    for number in range(3):
        stream = (await world.ask(f"{number}")).stream_id
        reader = await world.read(stream)
        await bot.chunks(stream, TEXTS)
        await bot.end(stream, TEXTS)
        assert await reader.read_all() == "abc"
        await settle_down()
    assert [closed.outcome for closed in bot.closed] == ["completed"] * 3
    assert (world.tracer.lost, await world.rows()) == (3, {})


async def test_a_drop_that_fails_disturbs_nobody() -> None:
    """The broker may clean up by itself."""

    class Stubborn(DelayedLog):
        async def drop(self, stream_id: str) -> None:
            raise BrokerUnavailable("no")

    world = World(Stubborn(MemoryLog()))
    stream = (await world.ask(bot_id=None)).stream_id
    await (await world.read(stream)).read_all()
    await world.rows()
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    await world.advance(301.0)
    gc.collect()
    with pytest.raises(PositionGone):
        await world.read(stream)
    assert unhandled == []
