"""Several nodes, one broker: who owns a stream, and who only follows it."""

from __future__ import annotations

import pytest

from relay.errors import BrokerUnavailable
from relay.node.streams import CUT_OFF_S
from relay.protocol.events import Chunk, Stop
from relay.protocol.status import Outcome
from relay.wire.bot import Cancel, Closed, Command, OpenStreamState
from tests.support.node import LINGZHU, Bot
from tests.support.several import TEXTS, WHOLE, Nodes, ask, open_at, reader_on


async def test_a_bot_answers_a_device_of_another_node(nodes: Nodes) -> None:
    """Chunks go to the bot's node, the device reads them on its own, and the row knows both."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    assert [command.stream_id for command in bot.heard(Command)] == [stream]
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    assert await reader.read_all() == WHOLE
    assert reader.sequences == [0, 1, 2, 3]
    assert bot.closed == [Closed(stream, "completed", 4, ())]
    await here.advance(0.0)
    row = await there.row(stream)
    assert (row.status, row.outcome, row.missing_sequences) == ("completed", "completed", [])
    assert (row.sdk_chunk_count, row.sse_chunk_count, row.sse_content) == (4, 4, WHOLE)
    assert all(point[2] is not None and point[3] is not None for point in points(row.timeline))
    assert await here.rows() == {stream: row}


def points(timeline: object) -> list[list[float | None]]:
    """The timeline's points."""
    assert isinstance(timeline, list)
    return timeline


async def test_a_bot_that_comes_back_to_another_node_goes_on_there(nodes: Nodes) -> None:
    """Its node died: the next one claims the stream, says what is stored, and takes the rest."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0, 1)
    nodes.shared.kill("b")
    back = await elsewhere.bot()
    assert [
        (state.stream_id, state.next_sequence)
        for state in back.connected.streams
        if isinstance(state, OpenStreamState)
    ] == [(stream, 2)]
    await back.chunks(stream, TEXTS, 1, 2, 3)
    await back.end(stream, TEXTS)
    assert await reader.read_all() == WHOLE
    await here.advance(0.0)
    row = await elsewhere.row(stream)
    assert (row.status, row.sse_content, row.sdk_version) == ("completed", WHOLE, "test/1")
    assert "taken_over" in [event["type"] for event in row.events if isinstance(event, dict)]


async def test_a_node_that_wakes_up_late_is_refused_and_lets_go(nodes: Nodes) -> None:
    """What its bot's old connection still says changes nothing; that connection is closed."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    old = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await old.chunks(stream, TEXTS, 0)
    new = await elsewhere.bot()
    assert old.farewells == [("fenced", False)]
    await old.say(stream, Chunk("not this", 1))
    await here.advance(0.0)
    assert old.acks == [0]
    await new.chunks(stream, TEXTS, 1, 2, 3)
    await new.end(stream, TEXTS)
    assert await reader.read_all() == WHOLE
    await there.advance(9.0)
    row = await elsewhere.row(stream)
    assert row.status == "completed"
    assert await there.rows() == {stream: row}


async def test_what_a_dead_node_leaves_behind_ends_honestly(nodes: Nodes) -> None:
    """Its bot never comes back: another node takes the stream, waits for it, and ends it."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0, 1)
    nodes.shared.kill("b")
    await here.advance(1.0 + 8.0 + CUT_OFF_S - 0.1)
    await reader.read()
    assert not reader.subscription.finished, "it may only be cut off, and its bots be with it"
    await here.advance(0.2)
    assert await reader.read_all() == "one two "
    assert reader.end.outcome is Outcome.BOT_GONE
    await here.advance(0.0)
    row = await here.row(stream)
    assert (row.outcome, row.status, row.sdk_chunk_count) == ("bot_gone", "anomaly", 2)


async def test_an_orphan_whose_bot_is_here_goes_on_at_once(nodes: Nodes) -> None:
    """The bot had moved, but the stream was not claimed then: the broker was away."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    nodes.shared.bots.clear()  # nobody can tell which streams the bot has open
    back = await elsewhere.bot()
    assert open_at(back) == []
    nodes.shared.kill("b")
    nodes.shared.kill("a")
    await elsewhere.advance(1.1)
    assert open_at(back) == [stream]
    await back.chunks(stream, TEXTS, 1, 2, 3)
    await back.end(stream, TEXTS)
    assert await reader_on(elsewhere, stream) == WHOLE
    reader.subscription.close()


async def test_a_reader_that_died_with_its_node_is_missed(nodes: Nodes) -> None:
    """Nobody said farewell; the owner asks again, and then the bot is told to stop."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    await here.read(stream, LINGZHU)
    await here.advance(0.0)
    await bot.chunks(stream, TEXTS, 0)
    nodes.shared.kill("a")
    await there.advance(4.0)
    assert bot.heard(Cancel) == []
    await there.advance(4.0)
    assert [cancel.stream_id for cancel in bot.heard(Cancel)] == [stream]


async def test_a_stream_that_has_ended_is_let_go_where_another_node_claims_it(
    nodes: Nodes,
) -> None:
    """Its bot answers it no more, so nothing keeps it here: it has one row and one owner."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await here.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    await nodes.shared.node("b").claim(stream)
    reader = await there.read(stream)
    assert await reader.read_all() == WHOLE
    await here.advance(301.0)
    assert await here.rows() == {}


async def test_a_claim_of_a_stream_that_has_ended_is_noticed_though_its_hint_was_lost(
    nodes: Nodes,
) -> None:
    """Nothing is written to it any more, and nobody reads it here: who reads it there counts."""
    here, _ = nodes.start("a"), nodes.start("b")
    bot = await here.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    nodes.shared.deaf = True
    await nodes.shared.node("b").claim(stream)
    await here.advance(4.9)
    assert here.node.stream_of(1, stream) is not None
    await here.advance(0.2)
    assert here.node.stream_of(1, stream) is None


async def test_nobody_waits_for_a_stream_that_was_let_go(nodes: Nodes) -> None:
    """Whoever still had something to say of it here goes on: it is another node's to hear."""
    here, _ = nodes.start("a"), nodes.start("b")
    bot = await here.bot()
    stream = await ask(here)
    kept = here.node.stream_of(1, stream)
    assert kept is not None
    bot.link.detach()
    await nodes.shared.node("b").claim(stream)
    await here.advance(0.0)
    assert here.node.stream_of(1, stream) is None
    assert kept.receive(Stop(Outcome.LOST, "not asked"), here.clock.now()) is None


@pytest.mark.parametrize("knows_of_the_claim", [True, False])
async def test_a_reader_is_found_though_its_hint_was_lost(
    nodes: Nodes, *, knows_of_the_claim: bool
) -> None:
    """Else its bot would be told to stop as soon as the grace is over, and the trace a loss."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    nodes.shared.deaf = not knows_of_the_claim
    stream = await ask(here)
    nodes.shared.deaf = True
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    await reader.read()
    await there.advance(40.0)
    assert bot.heard(Cancel) == []
    await bot.chunks(stream, TEXTS)
    await bot.end(stream, TEXTS)
    assert await reader.read_all() == WHOLE
    await there.advance(6.0)
    row = await there.row(stream)
    assert (row.status, row.sse_content) == ("completed", WHOLE)


async def test_a_device_that_hangs_up_elsewhere_stops_the_bot(nodes: Nodes) -> None:
    """The glasses cannot come back: after the short grace the bot is told, on its own node."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream, LINGZHU)
    await bot.chunks(stream, TEXTS, 0)
    await reader.read()
    reader.subscription.close()
    await here.advance(1.9)
    assert bot.heard(Cancel) == []
    await here.advance(0.3)
    assert [cancel.stream_id for cancel in bot.heard(Cancel)] == [stream]
    row = await there.row(stream)
    assert (row.outcome, row.sse_content) == ("cancelled", "one ")


async def test_a_node_that_drains_hands_its_streams_over(nodes: Nodes) -> None:
    """The bot is told to come back, finds another node, and no stream is cancelled."""
    here, there, elsewhere = nodes.start("a"), nodes.start("b"), nodes.start("c")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0, 1)
    await there.node.hand_over()
    assert bot.farewells == [("server_restart", True)]
    bot.link.detach()
    back = await elsewhere.bot()
    await there.node.drain()
    await back.chunks(stream, TEXTS, 2, 3)
    await back.end(stream, TEXTS)
    assert await reader.read_all() == WHOLE
    assert bot.closed == []
    await here.advance(0.0)
    assert (await elsewhere.row(stream)).status == "completed"


async def test_a_node_that_left_leaves_its_streams_at_once(nodes: Nodes) -> None:
    """Also those whose bot has not come back yet: they wait on another node."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    stream = await ask(here)
    reader = await here.read(stream)
    await bot.chunks(stream, TEXTS, 0)
    await there.node.hand_over()
    bot.link.detach()
    await there.node.drain()
    await here.advance(1.1)
    back = await here.bot()
    assert open_at(back) == [stream]
    await back.chunks(stream, TEXTS, 1, 2, 3)
    await back.end(stream, TEXTS)
    assert await reader.read_all() == WHOLE


async def test_letters_that_wait_for_a_claim_keep_their_order(nodes: Nodes) -> None:
    """The bot is asked in the order in which the devices asked."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    streams = [(await here.ask(f"c{number}")).stream_id for number in range(5)]
    await here.advance(0.0)
    assert [command.stream_id for command in bot.heard(Command)] == streams


async def test_a_broker_that_is_away_while_a_bot_connects_costs_the_bot_nothing(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is connected; what it has open elsewhere is claimed when that node is gone."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await here.bot()
    stream = await ask(here)
    await bot.chunks(stream, TEXTS, 0)

    async def away(bot_id: int) -> list[str]:
        raise BrokerUnavailable("away")

    monkeypatch.setattr(there.log, "streams_of", away)
    assert isinstance(await there.bot(), Bot)


async def test_a_stream_whose_row_was_not_written_is_an_orphan_too(nodes: Nodes) -> None:
    """It had ended when its node died, and the trace is written all the same: once."""
    here, there = nodes.start("a"), nodes.start("b")
    bot = await there.bot()
    written, unwritten = await ask(here), await ask(here)
    for stream in (written, unwritten):
        await bot.chunks(stream, TEXTS)
        await bot.end(stream, TEXTS)
        if stream is written:
            assert await reader_on(here, stream) == WHOLE
            await here.advance(0.0)
            assert list(await there.rows()) == [written]
            await there.advance(0.0)
    assert await reader_on(here, unwritten) == WHOLE
    nodes.shared.kill("b")
    nodes.store.rows.clear()
    await here.advance(1.1)
    rows = await here.rows()
    assert list(rows) == [unwritten]
    assert (rows[unwritten].status, rows[unwritten].sse_content) == ("completed", WHOLE)
