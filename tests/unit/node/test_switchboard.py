"""Which connection speaks for which bot, and which streams it answers."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker.base import Letter, settle
from relay.broker.memory import MemoryLog, MemoryMailbox
from relay.errors import BrokerUnavailable
from relay.node.switchboard import CLOSED_MAX
from relay.protocol.events import Chunk, End
from relay.settings import Settings
from relay.wire.bot import Acked, Closed, Command, Connected, OpenStreamState
from relay.wire.jsontext import dumps
from tests.support.brokers import DelayedLog, DelayedMailbox
from tests.support.node import World, settle_down

TEXTS = ["a", "b", "c", "d"]


async def test_a_bot_learns_who_it_is_before_it_is_asked(world: World) -> None:
    """`connected` is the first message, with the level of durability and the window."""
    bot = await world.bot()
    await world.ask()
    assert [type(message) for message in bot.told] == [Connected, Command]
    assert bot.connected == Connected(1, bot.link.connection_id, 2, "memory", 1024, ())


async def test_connections_have_ids_of_their_own(world: World) -> None:
    """The second one of the same bot too."""
    ids = {(await world.bot(bot_id)).connected.connection_id for bot_id in (1, 1, 2)}
    assert len(ids) == 3


async def test_a_bot_that_comes_back_is_told_what_is_stored(world: World) -> None:
    """Per stream: where it stands, what is early, and the credit; and how others ended."""
    bot = await world.bot()
    begun, ending, over = [(await world.ask(name)).stream_id for name in "abc"]
    await bot.chunks(begun, TEXTS, 0, 2, 3)
    await bot.chunks(ending, TEXTS, 0)
    await bot.say(ending, End(4))
    await bot.chunks(over, TEXTS)
    await bot.end(over, TEXTS)
    bot.link.detach()
    again = await world.bot()
    epoch = (await world.read(begun)).subscription.view.epoch
    states = {state.stream_id: state for state in again.connected.streams}
    assert list(states) == [begun, ending, over]
    held = states[begun]
    assert isinstance(held, OpenStreamState)
    assert held == OpenStreamState(begun, epoch, "active", 1, ((2, 3),), held.credit)
    end = states[ending]
    assert isinstance(end, OpenStreamState)
    assert (end.status, end.next_sequence) == ("ending", 1)
    assert states[over] == Closed(over, "completed", 4, ())


async def test_a_legacy_bot_is_told_of_no_streams(world: World) -> None:
    """Its protocol has no such field."""
    bot = await world.bot(protocol=1)
    await world.ask()
    bot.link.detach()
    assert (await world.bot(protocol=1)).connected.streams == ()


async def test_only_its_own_streams_are_told_to_a_bot(world: World) -> None:
    """Neither open nor closed ones of another."""
    other = await world.bot(2)
    await world.ask("open", bot_id=2)
    await other.end((await world.ask("over", bot_id=2)).stream_id, [])
    assert (await world.bot(1)).connected.streams == ()


async def test_a_newer_connection_fences_the_older_one(world: World) -> None:
    """It is closed for good, and the newer one answers its streams."""
    older = await world.bot()
    stream = (await world.ask()).stream_id
    await older.chunks(stream, TEXTS, 0)
    newer = await world.bot()
    assert older.farewells == [("fenced", False)]
    assert newer.farewells == []
    (state,) = newer.connected.streams
    assert isinstance(state, OpenStreamState)
    assert (state.stream_id, state.next_sequence) == (stream, 1)
    await newer.chunks(stream, TEXTS, 1, 2, 3)
    await newer.end(stream, TEXTS)
    assert await (await world.read(stream)).read_all() == "abcd"
    assert newer.acks == [1, 2, 3]
    assert len(newer.closed) == 1
    assert older.acks == [0]


async def test_what_a_fenced_connection_says_changes_nothing(world: World) -> None:
    """Not a chunk, not an end, and not that its socket is closed at last."""
    older = await world.bot()
    stream = (await world.ask()).stream_id
    newer = await world.bot()
    told = list(older.told)
    await older.say(stream, Chunk("spoilt", 0))
    await older.say(stream, End(1))
    older.link.detach()
    await settle_down()
    await world.advance(20.0)
    assert older.told == told
    assert newer.acks == []
    await newer.chunks(stream, TEXTS)
    await newer.end(stream, TEXTS)
    assert await (await world.read(stream)).read_all() == "abcd"
    second = (await world.ask("two")).stream_id
    assert [command.stream_id for command in newer.heard(Command)] == [stream, second]
    assert len(older.heard(Command)) == 1


async def test_an_ack_under_way_goes_to_the_connection_that_speaks(far: World) -> None:
    """The write began on the older connection and is done on the newer: it counts there too."""
    assert isinstance(far.log, DelayedLog)
    older = await far.bot()
    stream = (await far.ask()).stream_id
    far.log.held = True
    sending = asyncio.ensure_future(older.say(stream, Chunk("a", 0)))
    await settle_down()
    newer = await far.bot()
    (state,) = newer.connected.streams
    assert isinstance(state, OpenStreamState)
    assert state.next_sequence == 0, "stated as stored before it was"
    next_one = asyncio.ensure_future(newer.say(stream, Chunk("b", 1)))
    await settle_down()
    far.log.step()
    await settle_down()
    assert older.acks == []
    assert [(ack.sequence, ack.next_sequence) for ack in newer.heard(Acked)] == [(0, 1)]
    for _ in ("lost", "back", "b"):
        far.log.step()
        await settle_down()
    await asyncio.gather(sending, next_one)
    assert [(ack.sequence, ack.next_sequence) for ack in newer.heard(Acked)] == [(0, 1), (1, 2)]


async def test_a_bot_that_is_lost_and_back_in_time_goes_on(world: World) -> None:
    """Its grace is 8 s, and a later absence has a grace of its own."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    await bot.chunks(stream, TEXTS, 0, 1)
    for sequence in (2, 3):
        bot.link.detach()
        await world.advance(7.9)
        bot = await world.bot()
        await bot.chunks(stream, TEXTS, sequence)
    await bot.end(stream, TEXTS)
    reader = await world.read(stream)
    assert await reader.read_all() == "abcd"
    assert reader.end.outcome == "completed"


async def test_a_legacy_stream_that_changed_its_connection_waits_longer_at_its_end(
    world: World,
) -> None:
    """What was on the older connection may be lost, so the guess of its length is worth less."""
    older = await world.bot(protocol=1)
    stream = (await world.ask()).stream_id
    await older.chunks(stream, TEXTS, 0)
    newer = await world.bot(protocol=1)
    await newer.say(stream, End())
    await world.advance(1.9)
    assert world.node.open_streams == 1
    await world.advance(0.2)
    assert world.node.open_streams == 0


async def test_a_bot_that_does_not_come_back_ends_its_streams(world: World) -> None:
    """After its grace, at once for the device, and it is told when it comes after all."""
    bot = await world.bot()
    stream = (await world.ask()).stream_id
    reader = await world.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    bot.link.detach()
    await world.advance(7.9)
    assert world.node.open_streams == 1
    await world.advance(0.2)
    assert await reader.read_all() == "a"
    assert reader.end.outcome == "bot_gone"
    assert reader.end.at == pytest.approx(world.clock.now(), abs=0.11)
    back = await world.bot()
    assert back.connected.streams == (Closed(stream, "bot_gone", 1, ()),)


async def test_how_streams_ended_is_remembered_for_so_long_and_so_many(world: World) -> None:
    """The newest 64, until their retention is over."""
    bot = await world.bot()
    streams = [(await world.ask(f"{n}")).stream_id for n in range(CLOSED_MAX + 2)]
    for stream in streams:
        await bot.end(stream, [])
        await (await world.read(stream)).read_all()
    again = await world.bot()
    assert [state.stream_id for state in again.connected.streams] == streams[2:]
    await world.rows()
    await world.advance(301.0)
    assert (await world.bot()).connected.streams == ()


def slow_world(*, log: DelayedLog | None = None) -> tuple[World, DelayedMailbox]:
    """A world whose mailbox can be held and taken down."""
    mailbox = DelayedMailbox(MemoryMailbox())
    return World(log or MemoryLog(), mailbox), mailbox


@pytest.mark.parametrize("protocol", [1, 2])
async def test_a_question_goes_to_the_newest_connection_before_it_listens(protocol: int) -> None:
    """The mailbox still hands it to the fenced one; there it would be lost for a minute."""
    world, mailbox = slow_world()
    older = await world.bot(protocol=protocol)
    mailbox.released.clear()
    coming = asyncio.ensure_future(world.bot(protocol=protocol))
    await settle_down()
    stream = (await world.ask()).stream_id
    mailbox.released.set()
    newer = await coming
    assert [command.stream_id for command in newer.heard(Command)] == [stream]
    assert older.heard(Command) == []
    await newer.say(stream, Chunk("a", 0))
    assert newer.acks == [0]


async def test_a_question_under_way_when_the_bot_leaves_waits_for_it() -> None:
    """The bot that comes back is asked it then, and told nothing of it before."""
    world = World()
    bot = await world.bot()
    bot.link.detach()
    # The mailbox has not heard yet that nobody listens any more.
    stream = (await world.ask()).stream_id
    assert world.node.open_streams == 1
    back = await world.bot()
    assert back.connected.streams == ()
    assert [command.stream_id for command in back.heard(Command)] == [stream]
    assert world.node.open_streams == 1


async def test_a_question_under_way_when_the_bot_leaves_ends_with_its_grace() -> None:
    """Nobody comes back: the device is told after 8 s, and not after the idle limit."""
    world = World()
    (await world.bot()).link.detach()
    stream = (await world.ask()).stream_id
    await world.advance(8.1)
    reader = await world.read(stream)
    await reader.read_all()
    assert reader.end.outcome == "bot_gone"


async def test_a_connection_that_cannot_listen_is_not_left_behind() -> None:
    """The shell is told, and its streams wait for the next one."""
    world, mailbox = slow_world()
    mailbox.down = True
    with pytest.raises(BrokerUnavailable):
        await world.bot()
    await settle_down()
    mailbox.down = False
    bot = await world.bot()
    assert bot.link.connections == 2
    await world.ask()
    assert len(bot.heard(Command)) == 1


async def test_a_connection_that_meets_a_bug_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever raised, and however early: its bot is not taken for one that is there."""
    world, _ = slow_world()
    older = await world.bot()

    def buggy(reason: str, *, reconnect: bool) -> None:
        raise RuntimeError

    monkeypatch.setattr(older, "close", buggy)
    with pytest.raises(RuntimeError):
        await world.bot()
    assert not world.node._switchboard.links  # noqa: SLF001 - what a metric shows


async def test_a_socket_that_breaks_while_its_bot_is_attached_is_not_left_behind() -> None:
    """Cancelled in the middle: nobody has the link, so nobody else could detach it."""
    world, mailbox = slow_world()
    older = await world.bot()
    stream = (await world.ask()).stream_id
    mailbox.released.clear()
    coming = asyncio.ensure_future(world.bot())
    await settle_down()
    coming.cancel()
    await settle_down()
    mailbox.released.set()
    await world.advance(8.1)
    reader = await world.read(stream)
    await reader.read_all()
    assert reader.end.outcome == "bot_gone"
    assert older.farewells == [("fenced", False)]


async def test_a_stream_that_has_ended_later_is_not_stated_as_open(far: World) -> None:
    """Its end was still being written when the bot's last message was taken."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    await bot.end(stream, [])
    assert (await far.bot()).connected.streams == (Closed(stream, "completed", 0, ()),)


async def test_a_question_of_another_node_is_handed_on(world: World) -> None:
    """The stream is not ours, the bot's connection is."""
    bot = await world.bot()
    letter = Letter(1, "elsewhere", dumps({"type": "execute_command"}))
    assert await settle(world.mailbox.post(letter))
    assert [command.stream_id for command in bot.heard(Command)] == ["elsewhere"]


async def test_settings_reach_the_bot() -> None:
    """Window and credit are those of this relay."""
    world = World(settings=Settings(window=64, credit=16))
    bot = await world.bot()
    await world.ask()
    assert bot.connected.window == 64
    assert [command.credit for command in bot.heard(Command)] == [16]
