"""What the streams of a node are made of."""

from __future__ import annotations

from relay.broker.base import settle
from tests.support.node import World


async def test_readers_keep_their_places_when_their_stream_is_adopted_again(world: World) -> None:
    """It came back to this node: what they were handed counts as handed over."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream)
    await bot.chunks(stream, ["a", "b"], 0)
    await reader.read()
    streams = world.node._streams  # noqa: SLF001 - only another node could make it do this
    before = readership_of(world, stream)
    adopted = streams.adopt(await settle(world.log.claim(stream)))
    assert adopted.readership is readership_of(world, stream) is before
    assert (adopted.audience.readers, adopted.audience.delivered) == (1, 1)


def readership_of(world: World, stream: str) -> object:
    """The readers' side of a stream, as the registry has it."""
    kept = world.node._registry.kept(stream)  # noqa: SLF001
    assert kept is not None
    return kept.readership
