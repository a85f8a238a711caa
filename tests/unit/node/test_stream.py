"""One stream on a node: when it is given up, when it is traced, and what its readers see."""

from __future__ import annotations

import asyncio

import pytest

from relay.devices.base import DeviceProtocol
from relay.protocol.events import End
from relay.wire.bot import Cancel
from tests.support.brokers import DelayedLog
from tests.support.node import LINGZHU, PLAIN, World

TEXTS = ["a", "b", "c"]


@pytest.mark.parametrize(("device", "grace_s"), [(LINGZHU, 2.0), (PLAIN, 30.0)])
async def test_a_bot_is_told_to_cancel_once_the_grace_of_its_device_is_over(
    world: World, device: DeviceProtocol, grace_s: float
) -> None:
    """2 s where the device cannot come back, 30 s where it can; then the stream ends."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream, device)
    await bot.chunks(stream, TEXTS, 0)
    await reader.read()
    reader.subscription.close()
    await world.advance(grace_s - 0.1)
    assert bot.heard(Cancel) == []
    await world.advance(0.2)
    assert bot.heard(Cancel) == [Cancel(stream, "device_gone")]
    assert [closed.outcome for closed in bot.closed] == ["cancelled"]
    row = await world.row(stream)
    assert (row.outcome, row.sse_chunk_count, row.missing_sequences) == ("cancelled", 1, [])
    assert "device_gone" in [event["type"] for event in row.events if isinstance(event, dict)]


async def test_a_device_that_never_came_has_the_longer_grace(world: World) -> None:
    """Nobody knows yet what kind it is."""
    bot = await world.bot()
    await world.ask()
    await world.advance(29.9)
    assert bot.heard(Cancel) == []
    await world.advance(0.2)
    assert len(bot.heard(Cancel)) == 1


async def test_a_device_that_comes_back_in_time_goes_on(world: World) -> None:
    """Nobody is told anything, and it reads from where it stopped."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    first = await world.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    await first.read()
    first.subscription.close()
    await world.advance(29.0)
    second = await world.read(stream)
    await world.advance(20.0)
    await bot.chunks(stream, TEXTS, 1, 2)
    await bot.end(stream, TEXTS)
    assert await second.read_all() == "abc"
    assert bot.heard(Cancel) == []


async def test_a_legacy_bot_goes_on_to_its_end(world: World) -> None:
    """It cannot be cancelled: the answer is kept, and the trace says that nobody got it."""
    bot = await world.bot(protocol=1)
    stream = (await world.ask()).stream_id
    reader = await world.read(stream, LINGZHU)
    await bot.chunks(stream, TEXTS, 0)
    await reader.read()
    reader.subscription.close()
    await world.advance(5.0)
    assert bot.heard(Cancel) == []
    await bot.chunks(stream, TEXTS, 1, 2)
    await bot.say(stream, End())
    await world.advance(0.2)
    assert world.node.open_streams == 0
    row = await world.row(stream)
    assert (row.outcome, row.status) == ("completed", "anomaly")
    assert (row.sse_chunk_count, row.missing_sequences) == (1, [1, 2])
    assert row.loss_hop == "relay_to_device"
    assert row.anomaly == {
        "type": "delivery_loss",
        "never_delivered": [[1, 2]],
        "total_is_known": False,
    }


async def test_a_bot_that_is_away_is_not_told_to_cancel(world: World) -> None:
    """Its own grace ends the stream."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    (await world.read(stream, LINGZHU)).subscription.close()
    bot.link.detach()
    await world.advance(8.1)
    assert (await world.row(stream)).outcome == "bot_gone"


async def test_one_of_two_devices_may_leave(world: World) -> None:
    """The stream goes on for the other, and its end is delivered."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    leaves, stays = await world.read(stream, LINGZHU), await world.read(stream)
    leaves.subscription.close()
    await world.advance(50.0)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    assert await stays.read_all() == "abc"


async def test_a_trace_waits_until_the_device_has_read_to_the_end(world: World) -> None:
    """The row would say that chunks were lost which are about to be delivered."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    await world.advance(5.0)
    assert await world.rows() == {}
    await reader.read_all()
    assert (await world.row(stream)).sse_chunk_count == 3


async def test_a_trace_does_not_wait_for_a_device_that_left(world: World) -> None:
    """After its grace the row says what it did not get."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream, LINGZHU)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    reader.subscription.close()
    await world.advance(1.9)
    assert await world.rows() == {}
    await world.advance(0.2)
    assert (await world.row(stream)).missing_sequences == [0, 1, 2]


async def test_a_device_that_comes_after_all_corrects_the_trace(world: World) -> None:
    """What was given up as never delivered was, before the log went."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    await world.advance(40.0)
    assert (await world.row(stream)).missing_sequences == list(range(len(TEXTS)))
    await (await world.read(stream)).read_all()
    row = await world.row(stream)
    assert (row.status, row.missing_sequences) == ("completed", [])


async def test_a_trace_waits_for_a_device_that_comes_just_in_time(world: World) -> None:
    """The grace of the one that left is over while the other one reads."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    first = await world.read(stream, LINGZHU)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    first.subscription.close()
    await world.advance(1.9)
    second = await world.read(stream, LINGZHU)
    await world.advance(1.0)
    assert await world.rows() == {}
    await second.read_all()
    assert (await world.row(stream)).missing_sequences == []


async def test_a_trace_does_not_wait_longer_than_the_log_is_kept(world: World) -> None:
    """A device that hangs and never reads is no reason to keep it."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await world.read(stream)
    await bot.end(stream, [])
    await world.advance(300.1)
    assert (await world.row(stream)).outcome == "completed"


async def test_a_second_reader_starts_at_the_first_entry(world: World) -> None:
    """Whenever it comes: before, during or after the stream, it reads all of it."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    early = await world.read(stream)
    await bot.chunks(stream, TEXTS, 0, 1)
    during = await world.read(stream)
    await during.read()
    await bot.chunks(stream, TEXTS, 2)
    await bot.end(stream, TEXTS)
    late = await world.read(stream)
    readers = (early, during, late)
    assert [await reader.read_all() for reader in readers] == ["abc"] * 3
    assert early.data == during.data == late.data


async def test_two_kinds_of_devices_read_the_same_stream(world: World) -> None:
    """Each in its own protocol, and of each kind all read the same bytes."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    readers = [await world.read(stream, device) for device in (PLAIN, LINGZHU, LINGZHU)]
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    plain, first, second = [(await reader.read_all(), reader.data)[1] for reader in readers]
    assert first == second != plain
    assert b'"is_finish":true' in first


async def test_a_held_stream_end_is_not_overtaken(world: World) -> None:
    """The last chunk arrives behind the end: the device gets it first."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream)
    await bot.chunks(stream, TEXTS, 0, 1)
    await bot.end(stream, TEXTS)
    await world.advance(1.9)
    await bot.chunks(stream, TEXTS, 2)
    assert await reader.read_all() == "abc"
    assert reader.end.outcome == "completed"


async def test_a_stream_is_given_up_after_a_silence_and_not_after_a_while(world: World) -> None:
    """60 s without a chunk; a bot that says something every 59 s may take its time."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream)
    for sequence in range(3):
        await world.advance(59.0)
        await bot.chunks(stream, TEXTS, sequence)
    await world.advance(59.9)
    assert world.node.open_streams == 1
    await world.advance(0.2)
    await reader.read_all()
    assert reader.end.outcome == "idle"


async def test_a_deadline_that_passes_during_a_write_waits_for_it(
    far: World, far_log: DelayedLog
) -> None:
    """The timer's end is written behind the chunk that was on its way."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    far_log.held = True
    sending = asyncio.ensure_future(bot.chunks(stream, TEXTS, 0))
    await far.advance(60.1)
    assert bot.acks == []
    far_log.held = False
    far_log.step()
    await sending
    assert bot.acks == [0]
    assert await reader.read_all() == "a"
    assert reader.end.outcome == "idle"


async def test_nothing_happens_to_a_stream_of_another_bot(world: World) -> None:
    """`stream_of` is how a bot reaches its streams, and only those."""
    view = await world.ask(bot_id=None)
    assert world.node.stream_of(1, view.stream_id) is None
    assert world.node.stream_of(1, "nowhere") is None
