"""A bot that comes back to a node where its old connection is half open, and was elsewhere."""

from __future__ import annotations

import asyncio

import pytest

from relay.wire.bot import Connected, OpenStreamState
from tests.support.node import settle_down
from tests.support.several import TEXTS, WHOLE, Nodes, ask, asked, reader_on


def stored(connected: Connected) -> list[tuple[str, int]]:
    """What a bot was told of its streams: up to where they are stored."""
    return [
        (state.stream_id, state.next_sequence)
        for state in connected.streams
        if isinstance(state, OpenStreamState)
    ]


async def test_a_greeting_says_what_another_node_has_stored_meanwhile(nodes: Nodes) -> None:
    """Nobody told this node that the stream was claimed: it finds out before it greets."""
    here, there = nodes.start("a"), nodes.start("b")
    old = await here.bot()
    stream = await ask(here)
    await old.chunks(stream, TEXTS, 0)
    nodes.shared.deaf = True
    between = await there.bot()
    await between.chunks(stream, TEXTS, 1, 2)
    back = await here.bot()
    assert [stored(greeting) for greeting in back.heard(Connected)] == [[(stream, 3)]]
    await back.chunks(stream, TEXTS, 3)
    await back.end(stream, TEXTS)
    assert await reader_on(here, stream) == WHOLE


async def test_a_greeting_lists_no_stream_as_open_that_ended_at_another_node(nodes: Nodes) -> None:
    """Nothing of it is asked for any more: how it ended is told."""
    here, there = nodes.start("a"), nodes.start("b")
    old = await here.bot()
    stream = await ask(here)
    await old.chunks(stream, TEXTS, 0)
    nodes.shared.deaf = True
    between = await there.bot()
    await between.chunks(stream, TEXTS, 1, 2, 3)
    await between.end(stream, TEXTS)
    back = await here.bot()
    assert [stored(greeting) for greeting in back.heard(Connected)] == [[]]
    assert [(one.stream_id, one.outcome) for one in back.closed] == [(stream, "completed")]


@pytest.mark.parametrize("protocol", [1, 2])
async def test_a_bot_that_was_asked_at_another_node_is_not_asked_again(
    nodes: Nodes, protocol: int
) -> None:
    """The node that asked knows nothing of it: a legacy bot would answer twice."""
    here, there = nodes.start("a"), nodes.start("b")
    nodes.shared.deaf = True
    between = await there.bot(protocol=protocol)
    stream = await ask(here)
    assert asked(between) == [stream]
    await between.chunks(stream, TEXTS, 0)
    back = await here.bot(protocol=protocol)
    await here.advance(1.0)
    assert asked(back) == []


async def test_of_two_connections_that_come_at_once_the_newer_one_has_every_stream(
    nodes: Nodes,
) -> None:
    """The older one claimed what the newer one then found here already, and was closed over it."""
    here, there = nodes.start("a"), nodes.start("b")
    old = await here.bot()
    streams = [await ask(here) for _ in range(3)]
    for stream in streams:
        await old.chunks(stream, TEXTS, 0)
    nodes.shared.kill("a")
    for lead in range(1, 30):
        older = asyncio.create_task(there.bot())
        for _ in range(lead):
            await asyncio.sleep(0)
        newer = await there.bot()
        await older
        await settle_down()
        assert sorted(stored(newer.connected)) == sorted((stream, 1) for stream in streams), lead
        for stream in streams:
            kept = there.node.stream_of(1, stream)
            assert kept is not None
            assert kept.link is newer.link, lead
        there = nodes.start(f"b{lead}")
        nodes.shared.kill(f"b{lead - 1}" if lead > 1 else "b")
