from __future__ import annotations

import asyncio
import re

import pytest

from tests.support.bots import V2_4_0, in_order, legacy_bot, raw_bot, stream_of
from tests.support.contents import CONTENTS
from tests.support.glasses import Glasses, assert_finished, question
from tests.support.incident import load_incident
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

TURN = load_incident()[1]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """A small window, so that a test can reach its end; short graces."""
    return {"credit": "8", "hangup_grace_seconds": "0.2", "bot_grace_seconds": "5"}


async def test_the_greeting_states_what_was_agreed(relay: RelayServer) -> None:
    """Protocol, durability, window, and no streams for a bot that holds none."""
    async with raw_bot(relay) as bot:
        connected = bot.connected
    assert connected["bot_id"] == relay.bot().bot_id
    assert (connected["protocol"], connected["durability"]) == (2, "memory")
    assert connected["window"] == 1024
    assert [s for s in connected["streams"] if s["status"] != "closed"] == []


async def test_an_answer_arrives_whole_and_the_bot_may_forget_it(
    relay: RelayServer, glasses: Glasses
) -> None:
    """60 of 60, then `stream_closed` with the outcome; the trace knows protocol and SDK."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        closed = await bot.answer(await bot.command(), TURN.chunks)
        await answer.read()
    assert_finished(answer)
    assert answer.pieces == list(TURN.chunks)
    assert (closed["outcome"], closed["total_chunks"], closed["missing"]) == ("completed", 60, [])
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["protocol"], row["sdk_version"]) == ("completed", 2, "raw/1")
    assert row["sdk_chunk_count"] == row["sse_chunk_count"] == row["sdk_total_chunks"] == 60


@pytest.mark.parametrize("kind", CONTENTS)
async def test_no_kind_of_content_is_lost(relay: RelayServer, glasses: Glasses, kind: str) -> None:
    """What the reference lost is content like all other, and the relay closes at once."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        closed = await bot.answer(await bot.command(), CONTENTS[kind])
        await answer.read()
    assert_finished(answer)
    assert answer.text == in_order(CONTENTS[kind]).text
    assert closed["outcome"] == "completed"


async def test_an_ack_is_cumulative_and_names_what_came_early(
    relay: RelayServer, glasses: Glasses
) -> None:
    """0, 1, then 3 and 5: next is 2, [3,3] and [5,5] are stored, and [2,2] is asked for."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        command = await bot.command()
        stream_id = stream_of(command)
        for sequence in (0, 1, 3, 5):
            await bot.chunk(stream_id, sequence, str(sequence))
        ack = await bot.cable.wait_message(
            "ack", session_id=stream_id, next_sequence=2, received=[[3, 3], [5, 5]]
        )
        await bot.cable.wait_message("missing", session_id=stream_id, ranges=[[2, 2]])
        await bot.cable.wait_message("missing", session_id=stream_id, ranges=[[4, 4]])
        await bot.chunk(stream_id, 2, "2")
        await bot.chunk(stream_id, 4, "4")
        await bot.acked(stream_id, 6)
        await bot.end(stream_id, "012345")
        await answer.read()
    assert command["credit"] == 8
    assert 0 < ack["credit"] <= 8
    assert answer.text == "012345"


async def test_a_duplicate_is_acknowledged_again_and_shown_once(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Every frame of the answer comes three times, the end too."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        for sequence in (0, 0, 1, 0, 1, 2, 2, 1):
            await bot.chunk(stream_id, sequence, "abc"[sequence])
        for _ in range(3):
            await bot.end(stream_id, "abc")
        await answer.read()
        await bot.until_silent()
        refused = bot.cable.messages("refused")
    assert_finished(answer)
    assert answer.text == "abc"
    assert refused == []


async def test_what_was_not_stored_is_sent_again_after_a_reconnect(
    relay: RelayServer, glasses: Glasses
) -> None:
    """`connected` names the place; nothing is lost, nothing is shown twice."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        await bot.chunks(stream_id, TURN.chunks[:20], lost=[10, 11])
        await bot.cable.wait_message("ack", next_sequence=10, received=[[12, 19]])
        bot.cable.abort()
        async with raw_bot(relay) as again:
            (held,) = (s for s in again.connected["streams"] if s["session_id"] == stream_id)
            assert (held["status"], held["next_sequence"]) == ("active", 10)
            assert held["received"] == [[12, 19]]
            assert 0 < held["credit"] <= 8
            assert held["epoch"]
            for sequence in (10, 11, *range(20, 60)):
                await again.chunk(stream_id, sequence, TURN.chunks[sequence])
            await again.end(stream_id, TURN.chunks)
            await answer.read()
    assert_finished(answer)
    assert answer.pieces == list(TURN.chunks)
    row = relay.trace(answer.stream_id)
    assert (row["status"], row["missing_sequences"]) == ("completed", [])


async def test_a_stream_that_ended_while_the_bot_was_away_is_told_in_the_greeting(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The bot sent everything and never heard `stream_closed`: the next `connected` says it."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        await bot.chunks(stream_id, "abc")
        await bot.end(stream_id, "abc")
        await bot.cable.wait_message("stream_closed")
        bot.cable.abort()
        await answer.read()
    async with raw_bot(relay) as again:
        (held,) = (s for s in again.connected["streams"] if s["session_id"] == stream_id)
        # It asks again because the answer was lost with the connection.
        await again.end(stream_id, "abc")
        closed = await again.cable.wait_message("stream_closed", session_id=stream_id)
    assert (held["status"], held["outcome"], held["total_chunks"]) == ("closed", "completed", 3)
    assert (closed["outcome"], closed["missing"]) == ("completed", [])


async def test_a_newer_connection_fences_the_older_one(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The older is told to stay away, and nothing that it still says changes anything."""
    async with raw_bot(relay) as older, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await older.command())
        await older.chunk(stream_id, 0, "a")
        await older.acked(stream_id, 1)
        async with raw_bot(relay) as newer:
            farewell = await older.cable.wait(lambda frame: frame.get("type") == "disconnect")
            await older.cable.wait_closed()
            await newer.chunk(stream_id, 1, "b")
            await newer.end(stream_id, "ab")
            await answer.read()
            async with glasses.ask(question(relay.bot().user_id)) as second:
                await newer.answer(await newer.command(), ["one bot answers"])
                await second.read()
    assert (farewell["reason"], farewell["reconnect"]) == ("fenced", False)
    assert answer.text == "ab"
    assert second.text == "one bot answers"


async def test_a_legacy_reconnect_does_not_put_the_bot_offline(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The old socket closes after the new one came: the new one is asked all the same."""
    async with legacy_bot(relay, V2_4_0) as older, legacy_bot(relay, V2_4_0) as newer:
        await older.cable.wait_closed()
        await newer.until_silent()
        async with glasses.ask(question(relay.bot().user_id)) as answer:
            await newer.answer(await newer.command(), in_order(["da"]))
            await answer.read()
    assert answer.text == "da"
    assert older.cable.messages("execute_command") == []


async def test_the_bot_is_told_to_cancel_when_the_glasses_hang_up(
    relay: RelayServer, glasses: Glasses
) -> None:
    """After the grace: `cancel_command`, then `stream_closed`; the trace tells it."""
    async with raw_bot(relay) as bot:
        async with glasses.ask(question(relay.bot().user_id)) as answer:
            stream_id = stream_of(await bot.command())
            await bot.chunk(stream_id, 0, "a")
            await answer.until(lambda answer: answer.text == "a")
        cancel = await bot.cable.wait_message("cancel_command", session_id=stream_id)
        closed = await bot.cable.wait_message("stream_closed", session_id=stream_id)
        async with glasses.ask(question(relay.bot().user_id)) as next_answer:
            await bot.answer(await bot.command(1), ["b"])
            await next_answer.read()
    assert cancel["reason"] == "device_gone"
    assert closed["outcome"] == "cancelled"
    row = relay.trace(stream_id)
    assert (row["status"], row["outcome"]) == ("anomaly", "cancelled")
    assert next_answer.text == "b"


async def device_is_given_up(relay: RelayServer, stream_id: str) -> None:
    """Wait until the relay says that nobody reads this stream and the grace is over."""
    async with asyncio.timeout(10):
        while not re.search(rf"device_gone .*{stream_id}", relay.log):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)


async def test_a_legacy_bot_that_cannot_be_cancelled_talks_on_and_nobody_else_hears_it(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The glasses hang up: its chunks are still acknowledged, and the next answer is its own."""
    async with legacy_bot(relay, V2_4_0) as bot:
        async with glasses.ask(question(relay.bot().user_id)) as answer:
            ledger = await bot.begin(await bot.command())
            await bot.stream(ledger, in_order(["old "]))
            await answer.until(lambda answer: answer.text == "old ")
        await device_is_given_up(relay, ledger.stream_id)
        await bot.put(ledger, bot.number(ledger, "talk"), 1)
        await bot.finish(ledger)
        async with glasses.ask(question(relay.bot().user_id)) as second:
            await bot.answer(await bot.command(1), in_order(["new"]))
            await second.read()
    assert second.text == "new"
    row = relay.trace(ledger.stream_id)
    assert row["sse_content"] == "old "


async def test_a_bot_beyond_its_credit_is_served_until_the_window_is_full(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Credit is a promise, the window is the wall: what lies beyond it is refused."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        await bot.chunk(stream_id, 1024, "far")
        await bot.cable.wait_message("ack", received=[[1024, 1024]])
        await bot.chunk(stream_id, 1025, "too far")
        refused = await bot.cable.wait_message("refused", session_id=stream_id)
        await bot.chunks(stream_id, ["x"] * 1024)
        await bot.acked(stream_id, 1025)
        await bot.end(stream_id, ["x"] * 1024 + ["far"])
        await answer.read()
    assert (refused["code"], refused["sequence"]) == ("out_of_window", 1025)
    assert answer.text == "x" * 1024 + "far"
