"""The node: opening, reading, finding and expiring streams, and its end."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from relay.broker.base import NO_NOTES, Letter, LogSnapshot, Notes, StreamMeta
from relay.broker.memory import memory_broker
from relay.clock import ManualClock
from relay.errors import BrokerUnavailable, LimitReached
from relay.node.node import Node
from relay.node.tracer import Tracer
from relay.protocol.events import Chunk
from relay.protocol.status import Outcome
from relay.settings import Settings
from relay.wire.bot import Closed, Command
from tests.support.brokers import DelayedLog, LogOver, MailboxOver
from tests.support.node import LINGZHU, Store, World, settle_down

TEXTS = ["a", "b", "c"]


# --- opening ------------------------------------------------------------------------------


async def test_a_question_opens_a_stream_of_its_own(world: World) -> None:
    """The next turn of the conversation too; the bot is told the stream's id."""
    bot = await world.bot()
    first, second = await world.ask(), await world.ask()
    assert first.conversation_id == second.conversation_id == "c"
    assert first.stream_id != second.stream_id
    assert first.epoch != second.epoch
    assert [command.stream_id for command in bot.heard(Command)] == [
        first.stream_id,
        second.stream_id,
    ]


@pytest.mark.parametrize(("bot_id", "outcome"), [(None, "unbound"), (1, "bot_offline")])
async def test_nobody_to_ask_is_an_answer(world: World, bot_id: int | None, outcome: str) -> None:
    """Ended before it is read, in words that the device shows, and with its row."""
    view = await world.ask(bot_id=bot_id)
    reader = await world.read(view.stream_id, LINGZHU)
    await reader.read_all()
    assert reader.end.outcome == outcome
    assert reader.end.at == world.clock.now()
    assert b'"is_finish":true' in reader.data
    row = await world.row(view.stream_id)
    assert (row.bot_id, row.outcome, row.status) == (bot_id, outcome, "anomaly")
    assert [event["type"] for event in row.events if isinstance(event, dict)] == [
        "request_received",
        "stream_end",
    ]


async def test_a_bot_is_online_while_it_is_connected(world: World) -> None:
    """Not for a moment longer."""
    assert not await world.node.is_online(1)
    bot = await world.bot()
    assert await world.node.is_online(1)
    bot.link.detach()
    await settle_down()
    assert not await world.node.is_online(1)


async def test_a_broker_that_makes_no_log_opens_no_stream() -> None:
    """The shell is told; nothing is left behind."""

    class Down(LogOver):
        def create(self, meta: StreamMeta, notes: Notes = NO_NOTES) -> LogSnapshot:
            raise BrokerUnavailable("no")

    world = World(Down())
    with pytest.raises(BrokerUnavailable):
        await world.ask()
    assert world.node.open_streams == 0


async def test_by_default_the_event_loop_keeps_the_time() -> None:
    """And ids are random."""
    node = Node(
        clock=ManualClock(),
        broker=memory_broker(),
        settings=Settings(),
        tracer=Tracer(Store()),
    )
    assert (node.open_streams, node.draining) == (0, False)
    await node.drain()


# --- its end ------------------------------------------------------------------------------


async def test_a_drain_takes_leave_of_everybody(world: World) -> None:
    """Open streams end with a word to the device and to the bot, which may come back later."""
    bot, legacy = await world.bot(1), await world.bot(2, protocol=1)
    over = (await world.ask("over")).stream_id
    await bot.end(over, [])
    streams = [(await world.ask(bot_id=bot_id)).stream_id for bot_id in (1, 2)]
    readers = [await world.read(stream) for stream in streams]
    await bot.chunks(streams[0], TEXTS, 0, 2)
    order: list[str] = []
    bot.close = lambda reason, *, reconnect: order.append(  # type: ignore[method-assign]  # a spy
        f"{reason} {reconnect} {[closed.outcome for closed in bot.closed]}"
    )
    await world.node.drain()
    assert order == ["server_restart True ['completed', 'cancelled']"]
    assert legacy.farewells == [("server_restart", True)]
    assert [await reader.read_all() for reader in readers] == ["ac", ""]
    assert [reader.end.outcome for reader in readers] == ["cancelled", "cancelled"]
    assert world.node.draining
    assert world.node.open_streams == 0
    assert world.timers.armed == []
    rows = await world.rows()
    assert {rows[stream].outcome for stream in streams} == {"cancelled"}
    assert rows[over].outcome == "completed"


async def test_while_it_drains_a_node_takes_no_new_question(world: World) -> None:
    """The caller is told when to come back."""
    await world.bot()
    await world.node.drain()
    with pytest.raises(LimitReached) as caught:
        await world.ask()
    assert caught.value.retry_after_s == 5.0


async def test_a_drain_waits_for_writes_and_for_owners_that_are_rebuilt(
    far: World, far_log: DelayedLog
) -> None:
    """Nothing is left half done: the failed write's stream ends properly too."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    far_log.fail_next = "before"
    sending = asyncio.ensure_future(bot.say(stream, Chunk("a", 0)))
    at_work = far.node.stream_of(1, stream)
    assert at_work is not None
    while not at_work.owner.dead:  # noqa: ASYNC110  # it has no event
        await asyncio.sleep(0)  # to the very moment of the failure
    await far.node.drain()
    await sending
    assert [closed.outcome for closed in bot.closed] == ["cancelled"]
    assert (await far.row(stream)).outcome == "cancelled"


async def test_a_drain_does_not_wait_for_a_broker_that_is_down(
    far: World, far_log: DelayedLog
) -> None:
    """A stream without an owner is left to whoever finds its log."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    far_log.fail_next, far_log.claims_down = "before", 100
    await bot.say(stream, Chunk("a", 0))
    await asyncio.wait_for(far.node.drain(), 5)
    assert bot.farewells == [("server_restart", True)]
    assert bot.closed == []


async def test_answers_of_one_node_never_mix(world: World) -> None:
    """Fifty streams of five bots, interleaved: each device reads its own answer."""
    bots = [await world.bot(bot_id) for bot_id in range(1, 6)]
    views = [await world.ask(f"{n}", bot_id=1 + n % 5) for n in range(50)]
    readers = [await world.read(view.stream_id) for view in views]
    for sequence in range(3):
        for number, view in enumerate(views):
            text = f"{number}.{sequence} "
            await bots[number % 5].say(view.stream_id, Chunk(text, sequence))
    for number, view in enumerate(views):
        texts = [f"{number}.{sequence} " for sequence in range(3)]
        await bots[number % 5].end(view.stream_id, texts)
        assert await readers[number].read_all() == "".join(texts)
    assert replace(bots[0].closed[0], stream_id="") == Closed("", "completed", 3, ())


async def test_a_question_that_cannot_be_handed_over_is_an_answer_at_once() -> None:
    """A mailbox that fails must not leave the device waiting for the idle limit."""

    class Away(MailboxOver):
        def post(self, letter: Letter) -> bool:
            raise BrokerUnavailable("the mailbox is away")

    world = World(mailbox=Away())
    view = await world.ask()
    reader = await world.read(view.stream_id)
    await reader.read_all()
    assert reader.end.outcome is Outcome.LOST
    assert (await world.row(view.stream_id)).outcome == "lost"
