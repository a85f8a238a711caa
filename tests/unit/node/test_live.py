"""What an operator is told of open streams, equal to what the test did."""

from __future__ import annotations

from relay.admin.live import LiveStream
from relay.admin.ports import LiveView
from relay.node.live import NodeLive
from relay.protocol.events import Chunk, End
from relay.settings import Settings
from tests.support.ledger import STEP_MS, TEXTS, Play
from tests.support.node import KEY, NOW, World


def looking_at(world: World) -> LiveView:
    """An operator's view of this world's node."""
    return world.node.live


def only(world: World) -> LiveStream:
    """The one stream that is open."""
    (stream,) = looking_at(world).live_streams()
    return stream


async def test_a_running_stream_is_told_with_all_that_is_known_of_it(world: World) -> None:
    """Three came in order and two early; one is missing, and the device was handed two."""
    play = await Play.begin(world)
    await play.send(0, 1)
    await play.send(2, 4, 5, read=False)
    stream = only(world)
    kept = world.node.stream_of(1, play.stream_id)
    assert kept is not None
    assert stream == LiveStream(
        stream_id=play.stream_id,
        trace_id=kept.record.meta.trace_id,
        message_id="c",
        agent_id="agent",
        user_id="user",
        bot_id=1,
        access_key_id=KEY,
        sdk_version="test/1",
        protocol=2,
        status="active",
        opened_at=NOW,
        age_s=(5 * STEP_MS) / 1000,
        received=5,
        delivered=2,
        stored=3,
        held=2,
        missing=1,
        readers=1,
        bot_connected=True,
    )
    assert stream.trace_id.startswith("trace_")


async def test_a_stream_is_pending_until_its_first_chunk(world: World) -> None:
    """Asked, and nothing came yet."""
    play = await Play.begin(world)
    stream = only(world)
    assert (stream.stream_id, stream.status) == (play.stream_id, "pending")
    assert (stream.received, stream.stored, stream.missing) == (0, 0, 0)


async def test_the_tail_is_missing_once_the_end_has_told_of_it(world: World) -> None:
    """Of eight that the end states, the last two have not come: the stream is ending."""
    play = await Play.begin(world)
    await play.send(*range(6))
    assert only(world).missing == 0
    await play.end(End(8))
    stream = only(world)
    assert (stream.status, stream.received, stream.missing) == ("ending", 6, 2)


async def test_a_chunk_that_was_given_up_is_missing_to_the_end() -> None:
    """The gap was shown, the chunks behind it too, and still one is not here."""
    world = World(settings=Settings(gap_seconds=1.0))
    play = await Play.begin(world, protocol=1)
    await play.send(0)
    await play.bot.say(play.stream_id, Chunk(TEXTS[2], 2))
    assert (only(world).held, only(world).stored) == (1, 1)
    await world.advance(1.0)
    stream = only(world)
    assert (stream.held, stream.missing, stream.received) == (0, 1, 2)


async def test_a_stream_is_told_until_it_ends(world: World) -> None:
    """It is open while a device reads it, and is not any more once its end is written."""
    play = await Play.begin(world)
    await play.send(*range(8))
    assert only(world).delivered == 8
    await play.end(End(8))
    assert looking_at(world).live_streams() == []


async def test_streams_come_oldest_first(world: World) -> None:
    """In the order in which they were asked for."""
    await world.bot()
    asked = []
    for conversation in "cab":
        asked.append((await world.ask(conversation)).stream_id)
        await world.advance(1.0)
    told = looking_at(world).live_streams()
    assert [stream.stream_id for stream in told] == asked
    assert [stream.age_s for stream in told] == [3.0, 2.0, 1.0]


async def test_a_bot_that_is_gone_and_a_device_that_is_gone_are_told(world: World) -> None:
    """Both leave; the stream waits for them, and the bot is online no more."""
    play = await Play.begin(world)
    await world.bot(2)
    await play.send(0)
    assert looking_at(world).online_bots() == {1, 2}
    play.bot.link.detach()
    play.reader.subscription.close()
    stream = only(world)
    assert (stream.bot_connected, stream.readers) == (False, 0)
    assert looking_at(world).online_bots() == {2}


async def test_a_clock_that_was_set_back_makes_no_age_below_zero(world: World) -> None:
    """Nobody is asked to read a negative age."""
    await world.bot()
    await world.ask()
    node = world.node
    view = NodeLive(node._registry, node._switchboard, lambda: NOW - 5.0)  # noqa: SLF001
    assert [stream.age_s for stream in view.live_streams()] == [0.0]
