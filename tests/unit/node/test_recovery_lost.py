"""A log that is lost while its relay lives: a bot that has every chunk sends all of it again."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker.base import LogSnapshot, Notes, StreamMeta
from relay.errors import BrokerUnavailable, UnknownStream
from relay.node.recovery import RETRY_SECONDS
from relay.protocol.events import Chunk, Position, Stop
from relay.protocol.status import Outcome
from relay.wire.bot import Closed, Command, OpenStreamState
from tests.support.brokers import DelayedLog
from tests.support.node import World, settle_down
from tests.support.several import TEXTS, WHOLE, Nodes, ask, reader_on


async def test_an_answer_whose_log_was_lost_is_sent_again_whole(
    far: World, far_log: DelayedLog
) -> None:
    """Its device starts over in the new log, and knows it."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    await bot.chunks(stream, TEXTS, 0, 1)
    await reader.read()
    old = Position(reader.subscription.view.epoch, 2)
    far_log.inner.drop(stream)
    await bot.chunks(stream, TEXTS, 2)
    await settle_down()
    (state,) = bot.connected.streams
    assert isinstance(state, OpenStreamState)
    assert (state.stream_id, state.next_sequence, state.epoch == old.epoch) == (stream, 0, False)
    with pytest.raises(UnknownStream):
        await reader.read()
    reader.subscription.close()
    back = await far.read(stream, after=old)
    assert back.subscription.reset
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    assert await back.read_all() == "".join(TEXTS)
    assert bot.closed == [Closed(stream, "completed", 4, ())]
    row = await far.row(stream)
    assert (row.status, row.outcome, row.sse_content) == ("completed", "completed", "".join(TEXTS))
    kinds = [event["type"] for event in row.events if isinstance(event, dict)]
    assert kinds.count("reopened") == 1
    assert "request_received" in kinds
    await far.advance(301.0)
    assert far.node.open_streams == 0


async def test_a_device_that_comes_back_first_finds_out(far: World, far_log: DelayedLog) -> None:
    """Its bot thinks for a while and says nothing: then the device's coming back is the sign."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    await bot.chunks(stream, TEXTS, 0, 1)
    old = Position((await far.read(stream)).subscription.view.epoch, 2)
    far_log.inner.drop(stream)
    back = await far.read(stream, after=old)
    assert back.subscription.reset
    assert back.subscription.view.epoch != old.epoch
    (state,) = bot.connected.streams
    assert isinstance(state, OpenStreamState)
    assert (state.next_sequence, state.epoch) == (0, back.subscription.view.epoch)


async def test_a_device_of_a_stream_that_nobody_can_send_again_is_refused(
    far: World, far_log: DelayedLog
) -> None:
    """Its bot speaks protocol 1."""
    bot = await far.bot(protocol=1)
    stream = (await far.ask()).stream_id
    await bot.say(stream, Chunk("one", 0))
    old = Position((await far.read(stream)).subscription.view.epoch, 1)
    far_log.inner.drop(stream)
    with pytest.raises(UnknownStream):
        await far.read(stream, after=old)


async def test_a_stream_that_was_taken_away_from_its_key_is_not_given_back(
    far: World, far_log: DelayedLog
) -> None:
    """It is ended as it was to be ended, though the log was lost behind the write."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    await bot.chunks(stream, TEXTS, 0)
    kept = far.node.stream_of(1, stream)
    assert kept is not None
    far_log.inner.drop(stream)
    kept.readership.withdrawn = True
    kept.receive(Stop(Outcome.CANCELLED, "its key was revoked"), far.clock.now())
    await settle_down()
    assert [(one.stream_id, one.outcome) for one in bot.closed] == [(stream, "cancelled")]
    with pytest.raises(UnknownStream):
        await far.read(stream)


async def test_a_reader_of_the_lost_log_moves_no_deadline_of_the_next(
    far: World, far_log: DelayedLog
) -> None:
    """It leaves later than its log: by then the stream has times of its own."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    reader = await far.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    far_log.inner.drop(stream)
    await bot.chunks(stream, TEXTS, 1)
    await settle_down()
    await bot.chunks(stream, TEXTS, 1)
    await bot.end(stream, TEXTS[:2])
    reader.subscription.close()
    await far.advance(2.1)
    assert bot.closed == [Closed(stream, "incomplete", 2, ((0, 0),))]


async def test_a_question_that_was_not_answered_yet_is_not_asked_twice(
    far: World, far_log: DelayedLog
) -> None:
    """The bot knows it; another connection would be asked, as ever."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    far_log.inner.drop(stream)
    kept = far.node.stream_of(1, stream)
    assert kept is not None
    await kept.keep()
    await settle_down()
    assert len(bot.heard(Command)) == 1
    assert [state.stream_id for state in bot.connected.streams] == [stream]
    back = await far.bot()
    await settle_down()
    assert [command.stream_id for command in back.heard(Command)] == [stream]
    await back.chunks(stream, TEXTS)
    await back.end(stream, TEXTS)
    assert back.closed == [Closed(stream, "completed", 4, ())]


async def test_a_broker_that_fails_while_the_log_is_made_again_is_asked_again(
    far: World, far_log: DelayedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost by that."""
    bot = await far.bot()
    stream = (await far.ask()).stream_id
    await bot.chunks(stream, TEXTS, 0)
    far_log.inner.drop(stream)

    async def away(meta: StreamMeta, notes: Notes) -> LogSnapshot:
        raise BrokerUnavailable("away")

    with monkeypatch.context() as failing:
        failing.setattr(far_log, "create", away)
        sending = asyncio.ensure_future(bot.chunks(stream, TEXTS, 1))
        await settle_down()
    await far.advance(RETRY_SECONDS)
    await sending
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    assert bot.closed == [Closed(stream, "completed", 4, ())]


async def test_a_bot_that_has_just_come_goes_on_in_a_log_that_another_node_made(
    nodes: Nodes,
) -> None:
    """It is here, so what was made there is its own."""
    here, there = nodes.start("a"), nodes.start("b")
    await here.bot()
    stream = await ask(here)
    nodes.shared.deaf = True
    between = await there.bot()
    await between.chunks(stream, TEXTS, 0)
    nodes.shared.lose_everything()
    await between.chunks(stream, TEXTS, 1)
    await settle_down()
    await between.chunks(stream, TEXTS, 0, 1)
    back = await here.bot()
    states = [one for one in back.connected.streams if isinstance(one, OpenStreamState)]
    assert [(state.stream_id, state.next_sequence) for state in states] == [(stream, 2)]
    await back.chunks(stream, TEXTS, 2, 3)
    await back.end(stream, TEXTS)
    assert await reader_on(here, stream) == WHOLE
