"""A bot that comes back to a node where its old connection is half open, and was elsewhere."""

from __future__ import annotations

import pytest

from relay.wire.bot import Connected, OpenStreamState
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
