"""What becomes of a stream as time passes."""

from __future__ import annotations

import gc

import pytest

from relay.errors import PositionGone
from relay.node.lifecycle import ROW_WAIT_SECONDS
from relay.node.stream import NodeStream
from relay.protocol.events import Chunk, End, Summary
from relay.wire.bot import Closed
from tests.support.node import World


@pytest.mark.parametrize("told", [False, True], ids=["its timer is late", "another's was"])
async def test_an_end_is_held_for_what_came_while_the_relay_stood_still(
    world: World, told: bool
) -> None:
    """It waits in the socket when the relay goes on, and the two seconds are over."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    texts = ["a", "b", "c"]
    await bot.chunks(stream, texts, 0, 2)
    await bot.end(stream, texts)
    world.clock.advance(1.99 if told else 12.0)
    if told:
        world.node.loop_lagged(1.9)
    await world.advance(0.9)
    assert bot.closed == []
    await bot.chunks(stream, texts, 1)
    assert bot.closed == [Closed(stream, "completed", 3, ())]


async def test_an_end_is_not_held_for_ever_behind_a_stop(world: World) -> None:
    """A second is enough to read what there is."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await bot.chunks(stream, ["a"], 0)
    await bot.end(stream, ["a", "b"])
    world.clock.advance(12.0)
    await world.advance(1.01)
    assert [(one.outcome, one.missing) for one in bot.closed] == [("incomplete", ((1, 1),))]


async def test_a_log_waits_for_a_tracer_that_is_behind(world: World) -> None:
    """The row is made from it; but not for ever."""
    bot = await world.bot()
    slow, stuck = [(await world.ask(name)).stream_id for name in "ab"]
    for stream in (slow, stuck):
        await bot.end(stream, [])
        await (await world.read(stream)).read_all()
    await world.advance(330.0)
    await world.read(slow)
    assert set(await world.rows()) == {slow, stuck}
    await world.advance(1.0)
    for stream in (slow, stuck):
        with pytest.raises(PositionGone):
            await world.read(stream)


@pytest.mark.parametrize("reads_all", [False, True])
async def test_a_trace_says_when_its_device_left_though_the_bot_ended_in_time(
    world: World, reads_all: bool
) -> None:
    """The reason why the rest was not delivered; who read everything may leave."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream)
    await bot.chunks(stream, ["a"], 0)
    await reader.read()
    await world.advance(0.5)
    if not reads_all:
        reader.subscription.close()
    await world.advance(0.5)
    await bot.chunks(stream, ["a", "b"], 1)
    await bot.end(stream, ["a", "b"])
    if reads_all:
        await reader.read_all()
        reader.subscription.close()
    await world.advance(40.0)
    row = await world.row(stream)
    gone = [e for e in row.events if isinstance(e, dict) and e["type"] == "device_gone"]
    assert [(e["ms"], e["data"]) for e in gone] == (
        [] if reads_all else [(500.0, {"delivered": 1})]
    )


async def test_a_log_does_not_wait_for_a_tracer_that_is_stuck(world: World) -> None:
    """After a minute more it is dropped, and the row is counted as lost."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await bot.end(stream, [])
    await (await world.read(stream)).read_all()
    await world.advance(300.0 + ROW_WAIT_SECONDS - 0.5)
    await world.read(stream)
    await world.advance(1.0)
    with pytest.raises(PositionGone):
        await world.read(stream)
    assert await world.rows() == {}
    assert world.tracer.lost == 1


async def test_a_log_waits_for_a_row_that_is_amended(world: World) -> None:
    """A summary that comes in the last moment is still in the trace, which is made from the log."""
    bot = await world.bot(protocol=1)
    stream = (await world.ask()).stream_id
    await bot.say(stream, Chunk("a", 0))
    await bot.say(stream, End())
    await world.advance(1.0)
    await (await world.read(stream)).read_all()
    assert (await world.row(stream)).status == "completed"
    await bot.say(stream, Summary("b", 1, "x"))
    await world.advance(300.0)
    assert (await world.row(stream)).status == "anomaly"
    assert world.tracer.lost == 0


async def test_what_is_due_of_a_stream_that_is_gone_is_nothing(world: World) -> None:
    """A deadline may outlive its stream."""
    deadlines = world.node._streams._lifecycle._deadlines  # noqa: SLF001  # no other way in
    deadlines.set("nowhere", world.clock.now() + 1.0)
    await world.advance(2.0)
    assert world.node.open_streams == 0


def kept_streams() -> int:
    """How many there are in memory. A weak reference would do, but compiled objects have none."""
    # By type: `isinstance` asks each object, and there are proxies of what is gone.
    return sum(type(one) is NodeStream for one in gc.get_objects())


async def one_life(world: World, protocol: int) -> None:
    """A stream is answered, read, kept for its retention and forgotten."""
    bot = await world.bot(protocol=protocol)
    stream = (await world.ask()).stream_id
    await bot.chunks(stream, ["a", "b"])
    if protocol == 1:
        await bot.say(stream, End())
        await world.advance(1.0)
    else:
        await bot.end(stream, ["a", "b"])
    reader = await world.read(stream)
    assert await reader.read_all() == "ab"
    reader.subscription.close()
    await world.rows()
    assert world.node.stream_of(1, stream) is not None
    await world.advance(330.0)
    assert world.node.stream_of(1, stream) is None


@pytest.mark.parametrize("protocol", [1, 2])
async def test_a_stream_that_is_forgotten_is_freed_at_once(world: World, protocol: int) -> None:
    """With all that was said: a garbage collector that has little to do may come much later."""
    gc.disable()
    try:
        before = kept_streams()
        await one_life(world, protocol)
        assert kept_streams() == before
    finally:
        gc.enable()
