from __future__ import annotations

import asyncio

import pytest

from relay.protocol.events import Abort, Chunk, End
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
