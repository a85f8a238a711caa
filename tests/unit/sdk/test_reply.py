from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from relay.protocol.events import Abort, Chunk, End, Part, PartKind
from relay.protocol.sending import Closed, SenderLimits
from relay_sdk.errors import ReplyClosed, UsageError
from relay_sdk.reply import Reply
from relay_sdk.streams import ReplyOutcome, Streams


class Wire:
    """A reply on stream s1 and what it sent."""

    def __init__(self, credit: int = 10) -> None:
        self.sent: list[Chunk | End | Abort] = []
        limits = SenderLimits(ack_timeout_s=3600.0, give_up_s=7200.0)
        self.streams = Streams(lambda _, message: self.sent.append(message), limits)
        self.reply = Reply(self.streams.open("s1", credit), self.streams)


async def test_leaving_the_block_ends_the_answer() -> None:
    """An empty answer ends at once: nothing is to be waited for."""
    wire = Wire()
    async with wire.reply:
        pass
    assert wire.sent == [End(0, "0")]


async def test_leaving_the_block_by_an_exception_fails_the_answer() -> None:
    """The exception goes on; the relay learns its name and nothing of its text."""
    wire = Wire()

    async def answer() -> None:
        async with wire.reply as reply:
            await reply.write("a")
            raise ValueError("secret")

    with pytest.raises(ValueError, match="secret"):
        await answer()
    assert wire.sent == [Chunk("a", 0), Abort("ValueError")]


async def test_a_failed_answer_is_not_ended_as_well() -> None:
    """`fail` inside of the block is the last word."""
    wire = Wire()
    async with wire.reply as reply:
        await reply.fail("the model is down")
    assert wire.sent == [Abort("the model is down")]


async def test_a_long_error_is_cut() -> None:
    """An error is a line for the trace, and has to fit into a frame."""
    wire = Wire()
    await wire.reply.fail("x" * 100_000)
    assert wire.sent == [Abort("x" * 2_000)]


async def test_a_cancelled_answer_says_nothing_more() -> None:
    """The relay closes it itself; an error would change the outcome."""
    wire = Wire()
    wire.reply.cancelled()
    with pytest.raises(asyncio.CancelledError):
        async with wire.reply:
            raise asyncio.CancelledError
    assert wire.sent == []


async def test_writing_after_the_end_is_explained() -> None:
    """The usual mistake is a write outside of the block."""
    wire = Wire()
    async with wire.reply as reply:
        await reply.write("a")
    with pytest.raises(UsageError, match="async with"):
        await reply.write("b")


@pytest.mark.parametrize("value", [None, 5, b"bytes"])
async def test_what_is_no_text_is_named_and_not_sent(value: Any) -> None:
    """A model's last delta is None; the author is told so, not an attribute that is missing."""
    wire = Wire()
    with pytest.raises(UsageError, match=type(value).__name__):
        await wire.reply.write(value)
    assert wire.sent == []


async def test_a_write_into_a_closed_stream_raises_the_outcome() -> None:
    """The producer learns that nobody reads any more, even while it waits for credit."""
    wire = Wire(credit=1)
    await wire.reply.write("a")
    blocked = asyncio.create_task(wire.reply.write("b"))
    await asyncio.sleep(0)
    wire.streams.receive("s1", Closed("idle", 1, ()))
    with pytest.raises(ReplyClosed, match="idle"):
        await blocked


async def test_closed_returns_the_outcome_to_everybody_who_asks() -> None:
    """Also after the fact, and a waiter that is cancelled takes it from nobody."""
    wire = Wire()
    impatient = asyncio.create_task(wire.reply.closed())
    patient = asyncio.create_task(wire.reply.closed())
    await asyncio.sleep(0)
    impatient.cancel()
    wire.streams.receive("s1", Closed("repaired", 4, ((1, 2),)))
    expected = ReplyOutcome("repaired", 4, ((1, 2),))
    assert await patient == expected
    assert await wire.reply.closed() == expected
    assert wire.reply.outcome == expected
    assert expected.whole


async def test_a_tool_call_takes_its_place_between_the_texts() -> None:
    """It is a chunk like any other: numbered, acknowledged, sent again."""
    wire = Wire()
    async with wire.reply as reply:
        await reply.write("This way. ")
        await reply.navigate("the station", by="foot")
        await reply.write("Good luck!")
    chunks = [message for message in wire.sent if isinstance(message, Chunk)]
    assert [chunk.sequence for chunk in chunks] == [0, 1, 2]
    part = chunks[1].part
    assert part is not None
    assert part.kind is PartKind.TOOL_CALL
    assert json.loads(part.body) == {
        "command": "take_navigation",
        "action": "open",
        "poi_name": "the station",
        "navi_type": "1",
    }


async def test_each_tool_has_a_method() -> None:
    """And what they send is what `tool_call` sends with the same fields."""
    wire, plain = Wire(), Wire()
    await wire.reply.take_photo()
    await wire.reply.create_event("tea", start="2026-03-01 16:00:00", end="2026-03-01 17:00:00")
    await wire.reply.leave_agent()
    await plain.reply.tool_call("take_photo")
    await plain.reply.tool_call(
        "control_calendar",
        action="create",
        title="tea",
        start_time="2026-03-01 16:00:00",
        end_time="2026-03-01 17:00:00",
    )
    await plain.reply.tool_call("notify_agent_off")
    assert wire.sent == plain.sent
    assert len(wire.sent) == 3


async def test_a_tool_call_that_the_relay_would_refuse_is_explained_at_once() -> None:
    """The field is named, nothing is sent, and the answer goes on."""
    wire = Wire()
    with pytest.raises(UsageError, match="speed"):
        await wire.reply.tool_call("take_photo", speed="fast")
    with pytest.raises(UsageError, match="navi_type"):
        await wire.reply.tool_call("take_navigation", navi_type="9")
    assert wire.sent == []


async def test_suggestions_are_a_part_of_their_own() -> None:
    """One to three, none of them blank or long."""
    wire = Wire()
    await wire.reply.follow_up("And tomorrow?", "Thanks")
    (message,) = wire.sent
    assert isinstance(message, Chunk)
    assert message.part == Part(PartKind.FOLLOW_UP, '["And tomorrow?","Thanks"]')
    for bad in ((), ("a", "b", "c", "d"), (" ",), ("x" * 101,)):
        with pytest.raises(UsageError, match="follow_up"):
            await wire.reply.follow_up(*bad)
    assert len(wire.sent) == 1


async def test_what_is_shown_of_a_failure_is_apart_from_what_is_traced() -> None:
    """The first is for the person who asked, the second for the operator."""
    wire = Wire()
    await wire.reply.fail("upstream 502", shown="The model is away. Please ask again.")
    assert wire.sent == [Abort("upstream 502", "The model is away. Please ask again.")]
