from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from relay.demo.bots import NotConnected, Pace, Part, open_bot
from relay.demo.ledger import Ledger
from relay.demo.scenarios import Speaker, Step
from relay.protocol.events import Chunk, End, Summary
from tests.support.fake_cable import FakeConnection, FakeRelay

FAST = Pace(speed=1000.0, skip_s=0.0)
STEPS = (Step(0.1, Chunk("a", 0)), Step(0.2, Chunk("b", 1)), Step(0.3, End(2, "c21")))


def part(relay: FakeRelay, steps: Sequence[Step] = STEPS) -> Part:
    """The part of a bot whose question was asked just now."""
    ledger = Ledger(("a", "b"), 2.0, asked_at=time.monotonic())
    return Part(relay.url, "token", steps, FAST, ledger)


async def play(speaker: Speaker, of: Part) -> None:
    """Be on the stage until everything is said."""
    async with open_bot(speaker, of):
        pass


async def greet(connection: FakeConnection, protocol: int) -> None:
    """Do what a relay does with a new bot, and ask it something."""
    await connection.connected(protocol=protocol)
    await connection.ask("s-1", "hello?", trace_id="trace_1")


def test_a_step_is_due_at_its_recorded_time() -> None:
    """Sooner at a higher speed, and without the silence that is skipped; never before it."""
    assert Pace(1.0, 0.0).due(Step(3.0, End()), 100.0) == 103.0
    assert Pace(2.0, 1.0).due(Step(3.0, End()), 100.0) == 101.0
    assert Pace(1.0, 5.0).due(Step(3.0, End()), 100.0) == 100.0


async def test_a_legacy_bot_speaks_protocol_1_and_notes_each_ack() -> None:
    """Its frames leave in the order of its script, two ends and a summary included."""
    steps = [STEPS[1], STEPS[0], Step(0.3, End()), Step(0.3, End())]
    steps.append(Step(0.3, Summary("ab", 2, "c21")))
    async with FakeRelay() as relay, asyncio.TaskGroup() as tasks:
        of = part(relay, steps)
        tasks.create_task(play(Speaker.LEGACY, of))
        connection = await relay.connection()
        assert "protocol" not in connection.identifier
        await greet(connection, 1)
        said = [await connection.next() for _ in steps]
        for sequence in (1, 0):
            await connection.send(
                {"type": "chunk_received", "sequence": sequence, "session_id": "s-1"}
            )
    assert [message["type"] for message in said[2:]] == ["stream_end"] * 2 + ["stream_summary"]
    assert [message["sequence"] for message in said[:2]] == [1, 0]
    assert set(of.ledger.acked) == {0, 1}
    assert of.ledger.trace_id == "trace_1"


async def test_a_deaf_bot_notes_what_it_is_asked_for_and_does_not_send_it() -> None:
    """It speaks protocol 2 and states its count."""
    steps = (STEPS[0], STEPS[2])
    async with FakeRelay() as relay, asyncio.TaskGroup() as tasks:
        of = part(relay, steps)
        tasks.create_task(play(Speaker.DEAF, of))
        connection = await relay.connection()
        await greet(connection, 2)
        said = [await connection.next() for _ in steps]
        await connection.send({"type": "missing", "session_id": "s-1", "ranges": [[1, 1]]})
        await connection.ack("s-1", 1)
    assert said[1]["total_chunks"] == 2
    assert connection.is_quiet()
    assert of.ledger.asked_again == {1}
    assert set(of.ledger.acked) == {0}


async def test_the_sdk_bot_writes_the_same_chunks_and_knows_what_is_stored() -> None:
    """Numbered by the SDK as the script numbers them."""
    async with FakeRelay() as relay, asyncio.TaskGroup() as tasks:
        of = part(relay)
        tasks.create_task(play(Speaker.SDK, of))
        connection = await relay.connection()
        await greet(connection, 2)
        assert await connection.take_answer("s-1") == "ab"
    assert set(of.ledger.sent) == set(of.ledger.acked) == {0, 1}
    assert of.ledger.ended_at is not None


async def test_a_bot_that_nobody_asked_says_so() -> None:
    """It would wait for ever."""
    async with FakeRelay() as relay:
        playing = asyncio.create_task(play(Speaker.LEGACY, part(relay)))
        await (await relay.connection()).connected(protocol=1)
        with pytest.raises(NotConnected):
            await playing
