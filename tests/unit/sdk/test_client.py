from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from relay.protocol.sending import SenderLimits
from relay.protocol.texthash import content_hash
from relay_sdk import (
    Bot,
    Command,
    ReplyClosed,
    ReplyOutcome,
)
from tests.support.fake_cable import FakeRelay
from tests.support.quick_bot import HASTY, QUICK, make_bot


async def test_a_command_becomes_an_answer() -> None:
    """Chunks are numbered from 0, and the end says how many there were and what their hash is."""
    relay = FakeRelay()
    async with relay:
        bot = make_bot(relay)
        outcomes: list[ReplyOutcome] = []

        @bot.on_command
        async def answer(command: Command) -> None:
            async with bot.reply(command) as reply:
                await reply.write(f"You said {command.text}: ")
                await reply.write("🦞")
            outcomes.append(await reply.closed())

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            assert await connection.chunks(2) == [(0, "You said hi: "), (1, "🦞")]
            await connection.ack("s1", 2)
            assert await connection.next() == {
                "type": "stream_end",
                "session_id": "s1",
                "total_chunks": 2,
                "content_hash": content_hash("You said hi: 🦞"),
            }
            await connection.close_stream("s1", 2)
    assert outcomes == [ReplyOutcome("completed", 2, ())]
    assert outcomes[0].whole


async def test_the_bot_introduces_itself_as_the_protocol_says() -> None:
    """Path /cable, the token in a header, the sub-protocol, and an identifier with protocol 2."""
    async with FakeRelay() as relay:
        bot = Bot(relay.url, "secret-token", bot_id="7", name="lobster", version="3.1", times=QUICK)
        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await bot.connected()
            assert connection.path == "/cable"
            assert connection.authorization == "Bearer secret-token"
            assert connection.subprotocol == "actioncable-v1-json"
            assert json.loads(connection.identifier) == {
                "channel": "BotChannel",
                "bot_id": "7",
                "protocol": 2,
                "sdk": "lobster/3.1",
            }


async def test_several_commands_run_at_once_each_with_its_own_sequence() -> None:
    """A slow answer does not hold up another one, and neither counts the other's chunks."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        slow = asyncio.Event()

        @bot.on_command
        async def answer(command: Command) -> AsyncIterator[str]:
            yield f"{command.text} begins"
            if command.text == "slow":
                await slow.wait()
            yield f"{command.text} ends"

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "slow")
            assert await connection.chunks(1) == [(0, "slow begins")]
            await connection.ask("s2", "fast")
            assert await connection.take_answer("s2") == "fast beginsfast ends"
            slow.set()
            assert await connection.chunks(1) == [(1, "slow ends")]
            await connection.ack("s1", 2)
            assert (await connection.next())["total_chunks"] == 2
            await connection.close_stream("s1", 2)


async def test_after_a_cut_exactly_what_is_not_stored_is_sent_again() -> None:
    """The relay says that it has 0 and 2; 1 and 3 come again, then the rest."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        go_on = asyncio.Event()

        @bot.on_command
        async def answer(command: Command) -> AsyncIterator[str]:
            for text in "abcd":
                yield text
            await go_on.wait()
            yield "e"

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await connection.chunks(4)
            connection.cut()
            connection = await relay.connection()
            await connection.connected(
                {
                    "session_id": "s1",
                    "epoch": "e1",
                    "status": "active",
                    "next_sequence": 1,
                    "received": [[2, 2]],
                    "credit": 100,
                }
            )
            assert await connection.chunks(2) == [(1, "b"), (3, "d")]
            go_on.set()
            assert await connection.chunks(1) == [(4, "e")]
            await connection.ack("s1", 5)
            end = await connection.next()
            assert end["content_hash"] == content_hash("abcde")
            await connection.close_stream("s1", 5)


async def test_what_is_written_while_there_is_no_connection_is_sent_later() -> None:
    """The handler does not notice the break."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        broken = asyncio.Event()

        @bot.on_command
        async def answer(command: Command) -> str:
            await broken.wait()
            return "all of it"

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await bot.connected()
            connection.cut()
            connection = await relay.connection()  # subscribed, not greeted: not yet connected
            broken.set()
            await asyncio.sleep(0)
            state = {"epoch": "e", "status": "pending", "next_sequence": 0, "received": []}
            await connection.connected({"session_id": "s1", **state, "credit": 9})
            assert await connection.chunks(1) == [(0, "all of it")]
            await connection.ack("s1", 1)
            await connection.next()
            await connection.close_stream("s1", 1)


async def test_a_stream_that_ended_while_the_bot_was_away_has_its_outcome() -> None:
    """`connected` lists it as closed, and `closed()` returns that."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        outcome: asyncio.Future[ReplyOutcome] = asyncio.get_running_loop().create_future()

        @bot.on_command
        async def answer(command: Command) -> None:
            async with bot.reply(command) as reply:
                await reply.write("a")
            outcome.set_result(await reply.closed())

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await connection.chunks(1)
            connection.cut()
            connection = await relay.connection()
            closed = {"status": "closed", "outcome": "bot_gone", "total_chunks": 1}
            await connection.connected({"session_id": "s1", **closed, "missing": [[0, 0]]})
            assert await outcome == ReplyOutcome("bot_gone", 1, ((0, 0),))


async def test_a_stream_that_the_relay_does_not_know_any_more_is_lost() -> None:
    """A relay that restarted without its memory lists nothing."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        errors: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        @bot.on_command
        async def answer(command: Command) -> None:
            async with bot.reply(command) as reply:
                await reply.write("a")
                assert (await reply.closed()).outcome == "lost"
                try:
                    await reply.write("b")
                except ReplyClosed as error:
                    errors.set_result(error.outcome)
                    raise

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await connection.chunks(1)
            connection.cut()
            connection = await relay.connection()
            await connection.connected()
            assert await errors == "lost"


async def test_a_connection_that_stays_away_settles_the_answer_as_lost() -> None:
    """`closed()` never waits for ever: after `give_up_s` without a relay the outcome is known."""
    relay = FakeRelay()
    outcome: asyncio.Future[ReplyOutcome] = asyncio.get_running_loop().create_future()
    async with relay:
        bot = make_bot(relay, SenderLimits(ack_timeout_s=3600.0, give_up_s=0.05))

        @bot.on_command
        async def answer(command: Command) -> None:
            async with bot.reply(command) as reply:
                await reply.write("a")
                outcome.set_result(await reply.closed())

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await connection.chunks(1)
            connection.cut()
            assert await outcome == ReplyOutcome("lost", 1, ((0, 0),))


async def test_a_question_of_a_process_that_is_gone_fails_at_once() -> None:
    """The relay holds a stream that this process knows nothing of: its device need not wait."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        async with bot:
            connection = await relay.connection()
            state = {"epoch": "e", "status": "active", "next_sequence": 3, "received": []}
            await connection.connected({"session_id": "old", **state, "credit": 9})
            message = await connection.next()
            assert (message["type"], message["session_id"]) == ("stream_error", "old")


async def test_missing_chunks_are_sent_again_when_the_relay_asks() -> None:
    """`missing` is answered at once, with exactly those."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)

        @bot.on_command
        async def answer(command: Command) -> AsyncIterator[str]:
            for text in "abc":
                yield text

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await connection.chunks(3)
            await connection.send({"type": "missing", "session_id": "s1", "ranges": [[1, 1]]})
            assert await connection.chunks(1) == [(1, "b")]
            await connection.ack("s1", 3)
            await connection.next()
            await connection.close_stream("s1", 3)


async def test_the_end_does_not_wait_for_ever_for_an_ack() -> None:
    """Without any ACK chunks are sent again and the end follows, after the limit."""
    async with FakeRelay() as relay:
        bot = make_bot(relay, HASTY)

        @bot.on_command
        async def answer(command: Command) -> str:
            return "a"

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            kinds: list[str] = []
            while not kinds or kinds[-1] != "stream_end":
                kinds.append((await connection.next())["type"])
            assert kinds[0] == "stream_chunk"
            assert set(kinds) == {"stream_chunk", "stream_end"}
            await connection.close_stream("s1", 1)


async def test_a_write_waits_for_credit() -> None:
    """With credit 2 the third write goes on only after an ACK."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        written: list[str] = []

        @bot.on_command
        async def answer(command: Command) -> None:
            async with bot.reply(command) as reply:
                for text in "abcd":
                    await reply.write(text)
                    written.append(text)

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi", credit=2)
            await connection.chunks(2)
            assert written == ["a", "b"]
            await connection.ack("s1", 1, credit=2)
            assert await connection.chunks(1) == [(2, "c")]
            assert written == ["a", "b", "c"]
            await connection.ack("s1", 3, credit=2)
            assert await connection.chunks(1) == [(3, "d")]
            await connection.ack("s1", 4)
            await connection.next()
            await connection.close_stream("s1", 4)


async def test_a_handler_that_fails_fails_the_answer() -> None:
    """The relay learns the kind of the error, not its text, and the bot lives on."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)

        @bot.on_command
        async def answer(command: Command) -> AsyncIterator[str]:
            yield "so far"
            raise ValueError("key=sk-secret")

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await connection.chunks(1)
            message = await connection.next()
            assert message == {"type": "stream_error", "session_id": "s1", "error": "ValueError"}
            await connection.close_stream("s1", 1, "failed")
            await connection.ask("s2", "again")
            await connection.chunks(1)
            await connection.next()
            await connection.close_stream("s2", 1, "failed")


async def test_a_handler_that_gives_no_answer_fails_the_answer() -> None:
    """Without that the device would wait for the relay's idle limit."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)

        @bot.on_command
        async def answer(command: Command) -> None:
            return None

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            assert (await connection.next())["type"] == "stream_error"
            await connection.close_stream("s1", 0, "failed")
