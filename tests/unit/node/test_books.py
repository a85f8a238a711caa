"""Each stream that has ended is traced and counted."""

from __future__ import annotations

from relay.protocol.events import Chunk
from tests.support.node import World


def counted(world: World) -> float:
    """How many streams the metrics have counted, of all outcomes."""
    lines = world.node.metrics.render().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("relay_streams_total{"))


async def test_a_stream_is_counted_once_and_its_row_is_written_again(world: World) -> None:
    """A late chunk amends the row; the stream is still one stream."""
    bot = await world.bot(protocol=1)
    stream = (await world.ask()).stream_id
    await bot.say(stream, Chunk("a", 0))
    await bot.say(stream, Chunk("c", 2))
    await bot.end(stream, ["a", "b", "c"])
    await world.advance(3.0)
    await (await world.read(stream)).read_all()
    first = await world.row(stream)
    await bot.say(stream, Chunk("b", 1))
    second = await world.row(stream)
    assert (first.sdk_chunk_count, second.sdk_chunk_count) == (2, 3)
    assert counted(world) == 1
