"""What each caller is answered that has as much as it may, on a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from relay.limits.bucket import BURST_S
from relay.wire.jsontext import JsonValue
from tests.unit.web.fakes import QUESTION, Cable, Served, answer, serving, texts

AUTHORIZATION = {"Authorization": "Bearer ak_1"}
OTHERS = {"Authorization": "Bearer ak_2"}


def value(web: Served, limit: str, kind: str) -> int:
    """What `/metrics` says of a limit."""
    name = f'relay_limited_total{{kind="{kind}",limit="{limit}"}} '
    told = web.node.metrics.render().decode()
    return int(float(told.split(name)[1].split("\n")[0]))


@asynccontextmanager
async def asked(web: Served, key: str = "ak_1") -> AsyncIterator[httpx.Response]:
    """A question whose answer is being read."""
    headers = {"Authorization": f"Bearer {key}"}
    async with web.http.stream("POST", "/sse/rokid", json=QUESTION, headers=headers) as response:
        yield response


async def refused_handshake(web: Served, query: str) -> httpx.Response:
    """The answer to a WebSocket's handshake that is not accepted."""
    with pytest.raises(InvalidStatus) as caught:
        async with web.cable(query):
            pass
    refusal = caught.value.response
    headers = list(refusal.headers.raw_items())
    return httpx.Response(refusal.status_code, headers=headers, content=bytes(refusal.body))


async def test_one_socket_too_many_of_a_bot_is_refused_before_its_upgrade(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """429, when to come back, and why; a closed one makes room, and other bots have their own."""
    async with serving(connections_per_bot=1) as web:
        async with web.bot() as first:
            refusal = await refused_handshake(web, "?sdk_token=token-1")
            async with web.bot(number=2):
                pass
            await first.perform(action="ping")
            assert (await first.until("pong"))["type"] == "pong"
        assert (refusal.status_code, refusal.headers["Retry-After"]) == (429, "5")
        assert refusal.headers["Content-Type"] == "application/json"
        assert refusal.json() == {
            "error": "this bot has as many connections as it may; try again in 5 s",
            "code": "rate_limited",
            "limit": "connections_per_bot",
        }
        assert value(web, "connections_per_bot", "socket") == 1
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []
        await come_back(web, "?sdk_token=token-1")


async def come_back(web: Served, query: str) -> None:
    """Connect once there is room, at most 5 s from now."""
    async with asyncio.timeout(5):
        while True:
            try:
                async with web.cable(query) as cable:
                    assert await cable.frame() == {"type": "welcome"}
                    return
            except InvalidStatus:
                await asyncio.sleep(0.001)


async def test_a_socket_that_was_cut_makes_room() -> None:
    """Its process may have been killed: nobody said goodbye."""
    async with serving(connections_per_bot=1) as web, web.bot() as first:
        first.socket.transport.abort()
        await come_back(web, "?sdk_token=token-1")


async def test_a_wrong_token_takes_the_place_of_no_bot() -> None:
    """Whoever knows none can lock nobody out, and is told what it was told before."""
    async with serving(connections_per_bot=1, connections_per_key=1) as web:
        for _ in range(3):
            async with web.cable("?sdk_token=wrong") as stranger:
                assert (await stranger.frame())["reason"] == "unauthorized"
        async with web.bot():
            pass


async def test_a_full_relay_says_503_to_everybody_until_somebody_leaves() -> None:
    """To a WebSocket and to a reader; a question is answered so that the glasses can show it."""
    async with serving(connections_max=1) as web:
        async with web.bot():
            handshake = await refused_handshake(web, "?sdk_token=token-2")
            poll = await web.http.get("/api/rokid/poll", headers=AUTHORIZATION)
            question = await web.ask()
            health = await web.http.get("/metrics")
        assert [handshake.status_code, poll.status_code, question.status_code] == [503, 503, 200]
        assert {r.headers["Retry-After"] for r in (handshake, poll, question)} == {"5"}
        assert handshake.json()["code"] == poll.json()["code"] == "overloaded"
        assert question.headers["Relay-Error"] == "overloaded"
        assert texts(question.text) == [
            "The service is very busy right now. Please try again in a moment."
        ]
        assert '"message_id":"1740000000000"' in question.text
        assert health.status_code == 200
        await come_back(web, "?sdk_token=token-1")


async def test_one_question_too_many_of_a_key_is_answered_and_others_are_not_touched() -> None:
    """By connections: a second one at the same time, until the first has its answer."""
    async with serving(connections_per_key=1) as web, web.bot() as bot, asked(web) as first:
        refusal = await web.ask()
        assert (refusal.status_code, refusal.headers["Relay-Error"]) == (200, "rate_limited")
        assert refusal.headers["Retry-After"] == "5"
        trigger = await web.http.post("/api/rokid/trigger", json=QUESTION, headers=AUTHORIZATION)
        assert (trigger.status_code, trigger.json()["limit"]) == (429, "connections_per_key")
        async with asked(web, "ak_2") as other:
            assert other.headers["Relay-Stream-Id"]
            for _ in range(2):
                command = await bot.until("execute_command")
                metadata = command["metadata"]
                assert isinstance(metadata, dict)
                await answer(bot, str(metadata["session_id"]), "yes")
            assert "yes" in texts((await other.aread()).decode())
        assert "yes" in texts((await first.aread()).decode())
        assert (await web.trigger_raw()).status_code == 200


async def test_questions_have_a_rate_and_the_answer_says_how_long_to_wait() -> None:
    """Five seconds' worth at once; another key asks on."""
    async with serving(asks_per_key=1) as web:
        for _ in range(int(BURST_S)):
            assert (await web.trigger_raw()).status_code == 200
        refusal = await web.trigger_raw()
        assert (refusal.status_code, refusal.headers["Retry-After"]) == (429, "1")
        assert refusal.json() == {
            "error": "this access key asks faster than it may; try again in 1 s",
            "code": "rate_limited",
            "limit": "asks_per_key",
        }
        assert (await web.trigger_raw(**OTHERS)).status_code == 200
        assert value(web, "asks_per_key", "ask") == 1


async def test_requests_of_an_address_have_a_rate_whoever_sends_them() -> None:
    """Wrong keys and WebSockets count as well: each costs a look into the database."""
    async with serving(requests_per_address=1) as web:
        for number in range(int(BURST_S)):
            wrong = {"Authorization": f"Bearer wrong-{number}"}
            assert (await web.http.get("/api/rokid/poll", headers=wrong)).status_code == 401
        poll = await web.http.get("/api/rokid/poll", headers=AUTHORIZATION)
        handshake = await refused_handshake(web, "?sdk_token=token-1")
        for refusal in (poll, handshake):
            assert (refusal.status_code, refusal.headers["Retry-After"]) == (429, "1")
            assert refusal.json()["limit"] == "requests_per_address"


async def test_a_page_may_read_why_it_is_kept_out() -> None:
    """A ticket's reader is a browser, which shows a page nothing without the header."""
    async with serving(requests_per_address=1) as web:
        for _ in range(int(BURST_S)):
            await web.http.get("/streams/x/events?ticket=wrong")
        refusal = await web.http.get("/streams/x/events?ticket=wrong")
    assert refusal.status_code == 429
    assert refusal.headers["Access-Control-Allow-Origin"] == "*"


async def test_a_question_that_is_kept_out_is_not_waited_for() -> None:
    """Its body may never come: a second, and then the answer goes out without it."""
    async with serving(connections_max=1) as web, web.bot():
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        head = "POST /sse/rokid HTTP/1.1\r\nHost: relay\r\nContent-Length: 100\r\n\r\n"
        writer.write(head.encode())
        said = await asyncio.wait_for(reader.readuntil(b"event: done"), 5)
        assert b"relay-error: overloaded" in said
        writer.close()


# --- what a socket says ---------------------------------------------------------------------


async def say(bot: Cable, count: int, stream_id: str) -> None:
    """Send so many chunks as fast as the socket takes them."""
    for sequence in range(count):
        await bot.perform(
            type="stream_chunk", session_id=stream_id, sequence=sequence, content=f"{sequence} "
        )
    await bot.perform(type="stream_end", session_id=stream_id, total_chunks=count)


async def test_a_bot_above_its_rate_is_slowed_and_loses_nothing() -> None:
    """600 chunks at 100 a second take a second behind the burst; all are read, one line says so."""
    async with serving(messages_per_key=100) as web, web.bot(1) as bot, asked(web) as response:
        metadata = (await bot.until("execute_command"))["metadata"]
        assert isinstance(metadata, dict)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await say(bot, 600, str(metadata["session_id"]))
        shown = "".join(texts((await response.aread()).decode()))
        # What one read of the socket brought may be through at once; the next waits for it all.
        await bot.perform(action="ping")
        await bot.until("pong")
        took = loop.time() - began
        assert shown == "".join(f"{number} " for number in range(600))
        assert took > 0.8
        assert value(web, "messages_per_key", "socket") == 1


@pytest.mark.parametrize(
    "frame",
    [
        {"command": "subscribe", "identifier": "{}"},
        {"command": "explode"},
        {"command": "message", "identifier": "none", "data": "{}"},
    ],
    ids=["subscribe churn", "unknown commands", "not subscribed"],
)
async def test_a_flood_of_what_is_no_streams_message_ends_the_connection(
    frame: dict[str, JsonValue],
) -> None:
    """With a `disconnect` that says when to come back; another bot's answer is not touched."""
    async with serving(commands_per_connection=10) as web, web.bot(number=2) as other:
        async with web.cable("?sdk_token=token-1") as bot:
            raw = json.dumps(frame)
            for _ in range(60):
                await bot.socket.send(raw)
            last: dict[str, JsonValue] = {}
            while last.get("type") != "disconnect":
                last = await bot.frame()
            assert last == {
                "type": "disconnect",
                "reason": "rate_limited",
                "reconnect": True,
                "retry_after_s": 1,
            }
            await bot.closed()
        await other.perform(action="ping")
        await other.until("pong")
        assert value(web, "commands_per_connection", "socket") >= 1


@pytest.mark.parametrize("action", ["ping", "status", "log"])
async def test_a_flood_of_actions_ends_the_connection_too(action: str) -> None:
    """Each of them is answered, so whoever sends them without end costs most."""
    async with serving(commands_per_connection=10) as web, web.bot(1) as bot:
        for _ in range(100):
            await bot.perform(action=action)
        last: dict[str, JsonValue] = {}
        while last.get("type") != "disconnect":
            last = await bot.frame()
        assert last["reason"] == "rate_limited"


async def test_chunks_are_no_commands(web: Served) -> None:
    """However many there are, and whoever they are for: only their number and size count."""
    async with serving(commands_per_connection=1) as limited, limited.bot(1) as bot:
        for sequence in range(200):
            await bot.perform(type="stream_chunk", session_id="x", sequence=sequence, content="y")
        for _ in range(200):
            assert (await bot.until("refused"))["code"] == "unknown_stream"


async def test_every_place_is_given_back_in_the_end() -> None:
    """After all kinds of requests that ended in all kinds of ways, all places are free."""
    async with serving(connections_max=2, connections_per_key=1, connections_per_bot=1) as web:
        for _ in range(5):
            async with web.bot(), asked(web) as response:
                await response.aclose()
            await web.http.post("/sse/rokid", content=b"{", headers=AUTHORIZATION)
            await web.http.get("/api/rokid/poll", headers={"Authorization": "Bearer wrong"})
            await web.http.get("/streams/none/events", headers=AUTHORIZATION)
            await come_back(web, "?sdk_token=token-1")
            await come_back(web, "?access_key=ak_1")
