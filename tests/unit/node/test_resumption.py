"""Streams that a relay lost with its memory."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker.base import LogSnapshot, settle
from relay.broker.memory import MemoryLog
from relay.errors import PositionGone
from relay.node.resumption import WAITING_MAX, Resumption
from relay.node.vouchers import Vouchers
from relay.protocol.events import Entry, EntryKind, Position
from relay.protocol.status import Outcome
from relay.settings import Settings
from relay.wire.bot import Acked, Closed, Refused, Resume
from tests.support.node import META, NOW, World, settle_down

VOUCHERS = Vouchers(b"secret", ttl_s=3600.0)


@pytest.fixture
def resumption() -> Resumption:
    """One that waits for bots until 8 s after `NOW`."""
    return Resumption(log=MemoryLog(), vouchers=VOUCHERS, until=NOW + 8.0)


@pytest.mark.parametrize(
    ("bot_id", "stream_id"), [(2, META.stream_id), (1, "another")], ids=["bot", "stream"]
)
async def test_a_voucher_is_for_one_stream_of_one_bot(
    resumption: Resumption, bot_id: int, stream_id: str
) -> None:
    """Nobody opens the stream of another with it."""
    adopted: list[LogSnapshot] = []
    voucher = resumption.voucher(META)
    assert await resumption.reopen(bot_id, stream_id, voucher, NOW, adopted.append) is None  # type: ignore[arg-type]
    assert adopted == []


async def test_nobody_is_waited_for_once_the_bots_had_their_time(resumption: Resumption) -> None:
    """An unknown stream is then unknown at once."""
    async with asyncio.timeout(5):
        await resumption.wait_for("s", NOW + 8.0)


async def test_only_so_many_streams_are_waited_for(resumption: Resumption) -> None:
    """Made-up ids must not gather."""
    waiting = [asyncio.create_task(resumption.wait_for(str(n), NOW)) for n in range(WAITING_MAX)]
    await settle_down()
    async with asyncio.timeout(5):
        await resumption.wait_for("one more", NOW)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.fixture
def world() -> World:
    """One whose key is known."""
    return World(settings=Settings(secret="secret"))


async def test_a_device_waits_for_the_bot_that_brings_its_stream_back(world: World) -> None:
    """It comes first, and reads from the start of the new log."""
    bot = await world.bot()
    voucher = VOUCHERS.sign(META)
    reading = asyncio.create_task(world.read(META.stream_id, after=Position("old", 3)))
    await settle_down()
    assert not reading.done()
    await bot.link.resume(Resume(META.stream_id, voucher))
    assert isinstance(bot.told[-1], Acked)
    await bot.chunks(META.stream_id, ["a", "b"])
    reader = await reading
    assert reader.subscription.reset
    assert [entry.content for entry in (await reader.subscription.next()).entries] == ["a", "b"]


async def test_a_stream_that_is_known_is_stated_and_not_opened_again(world: World) -> None:
    """A resume that repeats is a no-op, also behind the end."""
    bot = await world.bot()
    view = await world.ask()
    await bot.chunks(view.stream_id, ["a"])
    await bot.link.resume(Resume(view.stream_id, "whatever"))
    stated = bot.told[-1]
    assert isinstance(stated, Acked)
    assert stated.next_sequence == 1
    await bot.end(view.stream_id, ["a"])
    await bot.link.resume(Resume(view.stream_id, "whatever"))
    assert isinstance(bot.told[-1], Closed)


async def test_a_bad_voucher_is_refused(world: World) -> None:
    """The bot is told to stop sending that stream."""
    bot = await world.bot()
    await bot.link.resume(Resume("nowhere", "forged"))
    assert isinstance(bot.told[-1], Refused)


async def test_a_device_that_waited_long_enough_is_told_what_is_known(
    resumption: Resumption,
) -> None:
    """A bot that does not come back in its time is not waited for any longer."""
    async with asyncio.timeout(5):
        await resumption.wait_for("s", NOW + 7.999)


async def test_a_log_that_is_there_after_all_is_taken_over(world: World) -> None:
    """Another node lost the stream and this one finds its log: nothing of it is sent twice."""
    snapshot = await settle(world.log.create(META))
    entry = Entry(1, EntryKind.CHUNK, NOW, "a", 0)
    world.log.append(META.stream_id, snapshot.fence, 1, [entry], [])
    bot = await world.bot()
    await bot.link.resume(Resume(META.stream_id, VOUCHERS.sign(META)))
    stated = bot.told[-1]
    assert isinstance(stated, Acked)
    assert stated.next_sequence == 1
    await bot.chunks(META.stream_id, ["a", "b"], 1)
    await bot.end(META.stream_id, ["a", "b"])
    reader = await world.read(META.stream_id, after=Position(snapshot.epoch, 1))
    assert await reader.read_all() == "b"


async def test_a_log_that_is_over_is_told_so(world: World) -> None:
    """Its owner died between the end and the telling: the bot hears it, and the log expires."""
    snapshot = await settle(world.log.create(META))
    end = Entry(1, EntryKind.END, NOW, total_chunks=0, outcome=Outcome.COMPLETED)
    world.log.append(META.stream_id, snapshot.fence, 1, [end], [])
    bot = await world.bot()
    await bot.link.resume(Resume(META.stream_id, VOUCHERS.sign(META)))
    assert bot.told[-1] == Closed(META.stream_id, "completed", 0, ())
    assert world.node.open_streams == 0
    await world.advance(31.0)
    assert (await world.row(META.stream_id)).outcome == "completed"
    await world.advance(300.0)
    with pytest.raises(PositionGone):
        await world.read(META.stream_id)
