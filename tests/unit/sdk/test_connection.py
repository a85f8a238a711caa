from __future__ import annotations

import asyncio
import logging
import socket
from http import HTTPStatus

import pytest

from relay.wire.bot_messages import Connected, Outbound
from relay.wire.jsontext import JsonValue
from relay_sdk.connection import Connection, ConnectionTimes, cable_url
from relay_sdk.errors import UsageError
from tests.support.fake_cable import FakeRelay

IDENTIFIER = '{"channel":"BotChannel","protocol":2}'


class Recorder:
    """Notes what the connection says."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.connected = asyncio.Event()
        self.lost = asyncio.Event()

    def on_message(self, message: Outbound) -> None:
        self.events.append(type(message).__name__)
        if isinstance(message, Connected):
            self.connected.set()

    def on_lost(self) -> None:
        self.events.append("lost")
        self.lost.set()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/cable"),
        ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/cable"),
        ("https://relay.example/cable", "wss://relay.example/cable"),
        ("wss://relay.example/below/cable/", "wss://relay.example/below/cable"),
        ("ws://relay.example/below?x=1", "ws://relay.example/below/cable?x=1"),
    ],
)
def test_a_relay_is_named_by_its_plain_url(url: str, expected: str) -> None:
    """The scheme becomes WebSocket's and /cable is added where it is missing."""
    assert cable_url(url) == expected


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://relay", "http://", "relay.example"])
def test_a_url_that_cannot_be_a_relay_is_refused_at_once(url: str) -> None:
    """The mistake is told where it was made, not as an endless reconnect."""
    with pytest.raises(UsageError, match="must look like"):
        Connection(url, "t", IDENTIFIER, Recorder())


@pytest.mark.parametrize("token", ["secret\n", "sec\nret", "sécret", "секрет"])
def test_a_token_that_cannot_be_a_header_is_refused_at_once(token: str) -> None:
    """It would never be accepted, and it is quoted neither here nor in a log."""
    with pytest.raises(UsageError, match="on one line") as refused:
        Connection("http://relay", token, IDENTIFIER, Recorder())
    assert token not in str(refused.value)


async def test_a_relay_that_is_down_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning, which Python prints without any set-up; the attempts after it are silent."""
    caplog.set_level(logging.INFO, "relay_sdk")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    times = ConnectionTimes(first_delay_s=0.001, delay_max_s=0.001)
    four_attempts = [0.0] * 4
    connection = Connection(
        f"http://127.0.0.1:{port}",
        "t",
        IDENTIFIER,
        Recorder(),
        times=times,
        jitter=four_attempts.pop,
    )
    with pytest.raises(IndexError):
        await connection.run()
    told = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [f"127.0.0.1:{port}" in one.getMessage() for one in told] == [True]


@pytest.mark.parametrize(
    ("is_busy", "told"),
    [(True, ["0.00", "0.02", "0.02", "0.02"]), (False, ["0.00", "0.02", "0.04", "0.04"])],
)
async def test_a_bot_with_an_answer_tries_more_often(
    caplog: pytest.LogCaptureFixture, is_busy: bool, told: list[str]
) -> None:
    """The relay gives its answer up after 8 s; a bot that has none may take its time."""
    caplog.set_level(logging.INFO, "relay_sdk")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    connection = Connection(
        f"http://127.0.0.1:{port}",
        "t",
        IDENTIFIER,
        Recorder(),
        times=ConnectionTimes(first_delay_s=0.01, delay_max_s=0.04, busy_delay_max_s=0.02),
        jitter=[0.0, 0.0, 0.0, 0.0].pop,
        is_busy=lambda: is_busy,
    )
    with pytest.raises(IndexError):
        await connection.run()
    delays = [one.getMessage() for one in caplog.records if "again in" in one.getMessage()]
    assert [delay.split()[-2] for delay in delays] == told


@pytest.mark.parametrize(
    ("header", "told"), [("5", "5.00"), ("", "0.00"), ("Fri, 31 Dec 1999 23:59:59 GMT", "0.00")]
)
async def test_a_bot_that_is_one_too_many_comes_back_when_it_is_told_to(
    caplog: pytest.LogCaptureFixture, header: str, told: str
) -> None:
    """By `Retry-After` in seconds, as the relay has it; else by its own delays."""
    caplog.set_level(logging.INFO, "relay_sdk")
    waits: list[str] = []
    async with FakeRelay(status=HTTPStatus.TOO_MANY_REQUESTS, retry_after=header) as relay:
        connection = Connection(relay.url, "t", IDENTIFIER, Recorder(), jitter=lambda: 0.0)
        running = asyncio.create_task(connection.run())
        async with asyncio.timeout(5):
            while not waits:
                await asyncio.sleep(0.001)
                said = [one.getMessage() for one in caplog.records]
                waits = [line.split()[-2] for line in said if "again in" in line]
        running.cancel()
        await asyncio.wait([running])
    assert waits[0] == told


def test_a_connection_shows_no_secret() -> None:
    """Neither the token nor a password in the URL appears in its repr."""
    connection = Connection("http://u:password@relay:1", "secret-token", IDENTIFIER, Recorder())
    assert repr(connection) == "Connection(relay:1)"


async def test_what_is_sent_in_one_go_arrives_in_that_order() -> None:
    """One write path: a burst keeps its order on the wire."""
    async with FakeRelay() as relay:
        recorder = Recorder()
        connection = Connection(relay.url, "t", IDENTIFIER, recorder)
        running = asyncio.create_task(connection.run())
        bot = await relay.connection()
        await bot.connected()
        await recorder.connected.wait()
        burst: list[dict[str, JsonValue]] = [{"action": "ping", "n": n} for n in range(200)]
        for message in burst:
            connection.send(message)
        await connection.flushed()
        assert [await bot.next() for _ in burst] == burst
        running.cancel()


async def test_nothing_is_queued_while_there_is_no_connection() -> None:
    """Only the senders know what a relay that comes back still needs."""
    async with FakeRelay() as relay:
        recorder = Recorder()
        times = ConnectionTimes(first_delay_s=0.01)
        connection = Connection(relay.url, "t", IDENTIFIER, recorder, times=times)
        connection.send({"action": "too early"})
        running = asyncio.create_task(connection.run())
        bot = await relay.connection()
        connection.send({"action": "before the greeting"})
        await bot.connected()
        await recorder.connected.wait()
        assert bot.received == []
        bot.cut()
        await recorder.lost.wait()
        connection.send({"action": "while it is down"})
        bot = await relay.connection()
        recorder.connected.clear()
        await bot.connected()
        await recorder.connected.wait()
        connection.send({"action": "ping"})
        assert await bot.next() == {"action": "ping"}
        assert relay.attempts == 2
        running.cancel()


async def test_a_newer_relay_may_say_things_that_this_sdk_does_not_know() -> None:
    """Unknown messages, odd ones and other identifiers are ignored; the connection lives on."""
    async with FakeRelay() as relay:
        recorder = Recorder()
        connection = Connection(relay.url, "t", IDENTIFIER, recorder)
        running = asyncio.create_task(connection.run())
        bot = await relay.connection()
        await bot.send({"type": "ack", "session_id": 5, "next_sequence": "x"})
        await bot.send({"type": "news"})
        await bot.frame({"identifier": "another", "message": {"type": "pong"}})
        await bot.frame({"type": "ping", "message": 1})
        await bot.send({"type": "pong"})
        await bot.connected()
        await recorder.connected.wait()
        assert recorder.events == ["Pong", "Connected"]
        running.cancel()


async def test_a_relay_that_accepts_and_closes_is_not_hammered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The delay starts anew only after a confirmed subscription, not after an open socket."""
    caplog.set_level("INFO", "relay_sdk")
    async with FakeRelay() as relay:
        times = ConnectionTimes(first_delay_s=0.01)
        connection = Connection(
            relay.url, "t", IDENTIFIER, Recorder(), times=times, jitter=lambda: 0.0
        )
        running = asyncio.create_task(connection.run())
        for confirm in (False, False, False, True):
            bot = await relay.connection()
            await bot.connected(confirm=confirm)
            bot.cut()
        await relay.connection()
        delays = [
            record.args[1]
            for record in caplog.records
            if "again in" in record.msg and isinstance(record.args, tuple)
        ]
        assert delays == [0.0, 0.02, 0.04, 0.0]
        running.cancel()
