"""How a bot is refused, fenced, cut off, cancelled and stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from relay_sdk import (
    Bot,
    Command,
    ConnectionTimes,
    Fenced,
    Rejected,
    Unauthorized,
    UsageError,
)
from relay_sdk.testing import FakeRelay as DecidingRelay
from tests.support.fake_cable import FakeRelay
from tests.support.quick_bot import make_bot, serve


async def test_an_unknown_token_is_final() -> None:
    """`unauthorized` is raised where the program waits, and nothing is tried again."""
    async with FakeRelay(refusal="unauthorized") as relay:
        bot = make_bot(relay)
        with pytest.raises(Unauthorized, match="relay bot add"):
            await serve(bot)
        assert relay.attempts == 1


async def test_a_proxy_that_answers_401_is_final_too() -> None:
    """The upgrade itself may be refused."""
    async with FakeRelay(status=HTTPStatus.UNAUTHORIZED) as relay:
        bot = make_bot(relay)
        with pytest.raises(Unauthorized):
            await serve(bot)


async def test_a_fenced_bot_does_not_come_back() -> None:
    """Two processes share one token: the older one stops and says so."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        serving = asyncio.create_task(serve(bot))
        connection = await relay.connection()
        await connection.connected()
        await connection.disconnect("fenced", reconnect=False)
        with pytest.raises(Fenced, match="one process per token"):
            await serving
        assert relay.attempts == 1


async def test_a_refused_subscription_is_final() -> None:
    """For example a `bot_id` that is not the token's."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        serving = asyncio.create_task(serve(bot))
        connection = await relay.connection()
        identifier = connection.identifier
        await connection.frame({"identifier": identifier, "type": "reject_subscription"})
        with pytest.raises(Rejected, match="bot_id"):
            await serving


async def test_a_relay_of_protocol_1_is_refused_with_the_reason() -> None:
    """Without credit and outcomes there is nothing that the SDK could promise."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        serving = asyncio.create_task(serve(bot))
        connection = await relay.connection()
        await connection.connected(protocol=1)
        with pytest.raises(Rejected, match="protocol 1"):
            await serving


async def test_a_restarting_relay_is_connected_to_again() -> None:
    """`disconnect` with `reconnect` true is a break like any other."""
    async with FakeRelay() as relay, make_bot(relay):
        connection = await relay.connection()
        await connection.connected()
        await connection.disconnect("server_restart", reconnect=True)
        await relay.connection()


async def test_a_silent_connection_is_given_up() -> None:
    """Without a frame for three pings the connection is dead, whatever TCP believes."""
    async with FakeRelay() as relay:
        times = ConnectionTimes(stale_s=0.3, first_delay_s=0.01, close_timeout_s=0.2)
        async with Bot(relay.url, "t", times=times):
            connection = await relay.connection()
            await connection.connected()
            await relay.connection()


async def test_stopping_waits_for_answers_that_run() -> None:
    """`async with` ends after the last answer is closed; new questions are turned away."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        finish = asyncio.Event()

        @bot.on_command
        async def answer(command: Command) -> str:
            await finish.wait()
            return "done"

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await bot.connected()
            stopping = asyncio.create_task(bot.stop(grace_s=3600))
            await asyncio.sleep(0)
            await connection.ask("s2", "too late")
            refused = await connection.next()
            assert (refused["type"], refused["session_id"]) == ("stream_error", "s2")
            await connection.close_stream("s2", 0, "failed")
            finish.set()
            assert await connection.take_answer("s1") == "done"
            await stopping


async def test_stopping_without_grace_tells_the_device() -> None:
    """A handler that is cut short by `stop` fails its answer before the connection closes."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)

        started = asyncio.Event()

        @bot.on_command
        async def answer(command: Command) -> str:
            started.set()
            await asyncio.Event().wait()
            return "never"

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await connection.ask("s1", "hi")  # a repeated command is one command
            await started.wait()
            await bot.stop(grace_s=0.0)
            assert (await connection.next())["type"] == "stream_error"
            assert connection.is_quiet()


async def test_in_a_thread_a_bot_leaves_the_signals_of_the_program_alone() -> None:
    """Only the main thread may handle signals (`signal.signal`); a bot runs in others, too."""
    ours = signal.getsignal(signal.SIGTERM)
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        running = asyncio.create_task(asyncio.to_thread(bot.run))
        connection = await relay.connection()
        await connection.connected()
        assert signal.getsignal(signal.SIGTERM) is ours
        await connection.disconnect("fenced", reconnect=False)
        with pytest.raises(Fenced):
            await running


async def test_a_handler_may_stop_its_bot() -> None:
    """It neither waits for itself nor cancels itself, also where two do it at once."""
    async with DecidingRelay() as relay, Bot(relay.url, relay.token) as bot:

        @bot.on_command
        async def answer(command: Command) -> None:
            async with bot.reply(command) as reply:
                await reply.write("Bye.")
            await bot.stop(grace_s=0.05)

        async with asyncio.timeout(5):
            both = await asyncio.gather(relay.ask("Stop."), relay.ask("Stop."))
            with pytest.raises(asyncio.CancelledError):
                await bot.serve()
        assert [one.text for one in both] == ["Bye."] * 2


async def test_a_reply_outside_of_its_handler_is_a_mistake_that_is_explained() -> None:
    """The message says what to do."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        with pytest.raises(UsageError, match="handler"):
            bot.reply(Command("nowhere", "hi"))
        with pytest.raises(UsageError, match="not running"):
            await bot.connected()


async def test_the_token_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """Not even in the debug log of the WebSocket library."""
    caplog.set_level(logging.DEBUG)
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await bot.connected()
            connection.cut()
            await relay.connection()
    sdk = [record for record in caplog.records if record.name.startswith("relay_sdk")]
    assert sdk
    assert not any("secret-token" in record.getMessage() for record in sdk)


async def test_a_cancelled_command_cancels_its_handler() -> None:
    """The handler sees CancelledError, its `finally` runs, and nothing is sent any more."""
    async with FakeRelay() as relay:
        bot = make_bot(relay)
        cancelled = asyncio.Event()

        @bot.on_command
        async def answer(command: Command) -> AsyncIterator[str]:
            yield "a"
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        async with bot:
            connection = await relay.connection()
            await connection.connected()
            await connection.ask("s1", "hi")
            await connection.chunks(1)
            cancel = {"type": "cancel_command", "session_id": "s1", "reason": "device_gone"}
            await connection.send(cancel)
            await cancelled.wait()
            await connection.close_stream("s1", 1, "cancelled")
        assert connection.is_quiet()
