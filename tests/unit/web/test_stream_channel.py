"""RokidStreamChannel: a worker reads its stream, from the beginning and live."""

from __future__ import annotations

import asyncio

import pytest

from relay.web.stream_channel import parse_bot_id
from relay.wire.jsontext import JsonValue
from tests.unit.web.fakes import QUESTION, Served, answer, eventually


def params(session_id: str, **changes: JsonValue) -> dict[str, JsonValue]:
    """What a worker subscribes with."""
    return {
        "channel": "RokidStreamChannel",
        "access_key": "ak_1",
        "bot_id": "1",
        "session_id": session_id,
        **changes,
    }


async def test_a_worker_that_comes_late_reads_from_the_beginning_and_then_live(web: Served) -> None:
    """What was said between the trigger and the subscription belongs to the worker."""
    async with web.bot() as bot, web.cable("?access_key=ak_1") as worker:
        session_id = (await web.trigger())["session_id"]
        await bot.until("execute_command")
        await bot.perform(type="stream_chunk", session_id=session_id, sequence=0, content="early")
        await bot.until("ack")
        await worker.subscribe(**params(session_id))
        connected = await worker.message()
        assert (connected["type"], connected["bot_id"]) == ("connected", "1")
        assert (connected["session_id"], connected["channel"]) == (
            session_id,
            f"rokid_sse_1_{session_id}",
        )
        early = await worker.message()
        assert (early["type"], early["content"], early["sequence"]) == ("stream_chunk", "early", 0)
        await bot.perform(type="stream_chunk", session_id=session_id, sequence=1, content="live")
        assert (await worker.message())["content"] == "live"
        await bot.perform(type="stream_end", session_id=session_id, total_chunks=2)
        assert (await worker.message())["type"] == "stream_end"
        await eventually(lambda: web.readers(session_id) == 0)


async def test_the_messages_bear_the_id_that_the_worker_subscribed_with(web: Served) -> None:
    """A worker that knows only the device's message_id compares it."""
    conversation = str(QUESTION["message_id"])
    async with web.bot() as bot, web.cable("?access_key=ak_1") as worker:
        session_id = (await web.trigger())["session_id"]
        await worker.subscribe(**params(conversation, bot_id=1))
        assert (await worker.message())["session_id"] == conversation
        await bot.until("execute_command")
        await answer(bot, session_id, "x")
        assert (await worker.until("stream_chunk"))["session_id"] == conversation


@pytest.mark.parametrize(
    "changes",
    [
        {"access_key": "wrong"},
        {"access_key": "ak_2"},
        {"access_key": ""},
        {"access_key": None},
        {"bot_id": "2"},
        {"bot_id": "x"},
        {"bot_id": 0},
        {"bot_id": None},
        {"session_id": "unknown"},
        {"session_id": ""},
        {"session_id": 7},
    ],
)
async def test_a_stream_that_is_not_the_workers_is_rejected(
    web: Served, changes: dict[str, JsonValue]
) -> None:
    """Another key, another bot, an unknown stream and a missing field look the same."""
    async with web.bot(), web.cable("?access_key=ak_1") as worker:
        await worker.frame()
        session_id = (await web.trigger())["session_id"]
        await worker.subscribe(**{**params(session_id), **changes})
        assert (await worker.frame())["type"] == "reject_subscription"


async def test_a_worker_may_ask_whether_anybody_is_there(web: Served) -> None:
    """`ping` is answered, in either convention; anything else is refused."""
    async with web.bot(), web.cable("?access_key=ak_1") as worker:
        await worker.subscribe(**params((await web.trigger())["session_id"]))
        await worker.until("connected")
        await worker.perform(action="ping")
        assert (await worker.message())["type"] == "pong"
        await worker.perform(type="pong")
        await worker.perform(action="stream_chunk", content="x")
        assert (await worker.message())["code"] == "unknown_action"


@pytest.mark.parametrize("how", ["unsubscribe", "close", "abort"])
async def test_nothing_of_a_worker_that_left_remains(web: Served, how: str) -> None:
    """Its reader task ends whichever way it leaves."""
    async with web.bot(1):
        session_id = (await web.trigger())["session_id"]
        async with web.cable("?access_key=ak_1") as other:
            await other.frame()
            tasks = len(asyncio.all_tasks())
            async with web.cable("?access_key=ak_1") as worker:
                await worker.subscribe(**params(session_id))
                await worker.until("connected")
                if how == "unsubscribe":
                    before = len(asyncio.all_tasks())
                    await worker.send({"command": "unsubscribe", "identifier": worker.identifier})
                    await eventually(lambda: len(asyncio.all_tasks()) == before - 1)
                elif how == "abort":
                    worker.socket.transport.abort()
            await eventually(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_stream_that_failed_tells_the_worker_in_words(web: Served) -> None:
    """Workers know `stream_error`; the text is the relay's own, never the bot's."""
    async with web.bot() as bot, web.cable("?access_key=ak_1") as worker:
        session_id = (await web.trigger())["session_id"]
        await worker.subscribe(**params(session_id))
        await bot.until("execute_command")
        await bot.perform(type="stream_error", session_id=session_id, error="key=secret")
        failed = await worker.until("stream_error")
    assert "secret" not in str(failed["error"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, 1),
        ("1", 1),
        ("007", 7),
        (0, None),
        ("0", None),
        (-1, None),
        ("-1", None),
        (True, None),
        (1.0, None),
        (None, None),
        ("", None),
        ("1" * 19, None),
        ("\u0663", None),
    ],
)
def test_a_bot_id_is_a_positive_number_or_its_digits(
    given: JsonValue, expected: int | None
) -> None:
    """ASCII digits only, and no more than a 64-bit column holds."""
    assert parse_bot_id(given) == expected
