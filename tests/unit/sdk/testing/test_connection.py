"""The fake relay as another client sees it: JSON by hand, over `websockets`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from relay_sdk.testing import FakeRelay
from relay_sdk.testing import connection as under_test

IDENTIFIER = '{"channel":"BotChannel", "protocol":2}'


def client(relay: FakeRelay, **options: Any) -> connect:
    """A bot that is not the SDK's."""
    headers = {"Authorization": f"Bearer {relay.token}"}
    url = relay.url.replace("http", "ws") + "/cable"
    return connect(url, additional_headers=headers, **options)


async def frame(socket: ClientConnection) -> Any:
    """The next frame."""
    return json.loads(await socket.recv())


async def say(socket: ClientConnection, payload: object, identifier: str = IDENTIFIER) -> None:
    """Send one message of the subscription."""
    data = json.dumps(payload)
    await socket.send(json.dumps({"command": "message", "identifier": identifier, "data": data}))


async def subscribe(socket: ClientConnection, identifier: str = IDENTIFIER) -> None:
    """Ask for the subscription."""
    assert await frame(socket) == {"type": "welcome"}
    await socket.send(json.dumps({"command": "subscribe", "identifier": identifier}))


@pytest.mark.parametrize("offered", [None, ["actioncable-v1-json", "actioncable-unsupported"]])
async def test_a_bot_is_welcomed_greeted_and_confirmed(offered: Any) -> None:
    """In the order of the real relay, whether it offers the sub-protocol or not."""
    async with FakeRelay() as relay, client(relay, subprotocols=offered) as socket:
        assert socket.subprotocol == (offered and "actioncable-v1-json")
        await subscribe(socket)
        greeting = await frame(socket)
        assert greeting["identifier"] == IDENTIFIER
        assert greeting["message"]["type"] == "connected"
        assert greeting["message"]["protocol"] == 2
        assert greeting["message"]["streams"] == []
        expected = {"identifier": IDENTIFIER, "type": "confirm_subscription"}
        assert await frame(socket) == expected
        await socket.send(json.dumps({"command": "subscribe", "identifier": IDENTIFIER}))
        assert await frame(socket) == expected


@pytest.mark.parametrize("identifier", ['{"channel":"BotChannel"}', '{"channel":"Other"}'])
async def test_another_channel_or_protocol_is_rejected(identifier: str) -> None:
    """The fake relay is for bots of protocol 2."""
    async with FakeRelay() as relay, client(relay) as socket:
        await subscribe(socket, identifier)
        rejected = {"identifier": identifier, "type": "reject_subscription"}
        assert await frame(socket) == rejected


async def test_what_is_wrong_is_refused_with_the_relays_own_codes() -> None:
    """A frame that is none, a verb that is none, a stream that is none."""
    async with FakeRelay() as relay, client(relay) as socket:
        await subscribe(socket)
        await frame(socket)
        await frame(socket)
        await socket.send("no JSON")
        assert (await frame(socket))["message"]["code"] == "malformed_json"
        await say(socket, {"type": "dance"})
        assert (await frame(socket))["message"]["code"] == "unknown_action"
        chunk = {"type": "stream_chunk", "session_id": "s1", "sequence": 0, "content": "a"}
        await say(socket, chunk)
        assert (await frame(socket))["message"]["code"] == "unknown_stream"
        await say(socket, {"type": "stream_resume", "session_id": "s1", "resume": "forged"})
        assert (await frame(socket))["message"]["code"] == "unknown_stream"
        await say(socket, {"action": "ping"})
        assert (await frame(socket))["message"]["type"] == "pong"


async def test_a_live_connection_is_pinged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that is told nothing for three pings would reconnect."""
    monkeypatch.setattr(under_test, "PING_S", 0.01)
    async with FakeRelay() as relay, client(relay) as socket:
        assert await frame(socket) == {"type": "welcome"}
        assert (await frame(socket))["type"] == "ping"


async def test_a_bot_that_unsubscribes_is_gone() -> None:
    """The next question waits for another one."""
    async with FakeRelay(patience_s=0.02) as relay, client(relay) as socket:
        await subscribe(socket)
        await relay.connected()
        await socket.send(json.dumps({"command": "unsubscribe", "identifier": IDENTIFIER}))
        await say(socket, {"action": "ping"})
        assert [await frame(socket) for _ in range(3)][-1]["message"]["code"] == "not_subscribed"
        with pytest.raises(Exception, match="no bot has connected"):
            await relay.connected()


async def test_a_fenced_connection_is_not_heard_any_more() -> None:
    """Its last frames may have been under way when the newer one came."""
    async with FakeRelay() as relay, client(relay) as older, client(relay) as newer:
        await subscribe(older)
        await relay.connected()
        async with relay.asking("hi") as question:
            await subscribe(newer)
            chunk = {"type": "stream_chunk", "session_id": question.stream_id, "sequence": 0}
            with pytest.raises(ConnectionClosed):
                await _talk(older, {**chunk, "content": "from the older one"})
            await say(newer, {**chunk, "content": "a"})
            end = {"type": "stream_end", "session_id": question.stream_id, "total_chunks": 1}
            await say(newer, end)
            async with asyncio.timeout(10):
                assert (await question.answer()).text == "a"


async def test_a_hang_up_is_told_before_the_stream_is_closed() -> None:
    """`cancel_command`, then `stream_closed`, as docs/protocol.md has it."""
    async with FakeRelay() as relay, client(relay) as socket:
        await subscribe(socket)
        async with relay.asking("hi"):
            pass
        said = [(await frame(socket)).get("message", {}).get("type") for _ in range(5)]
        assert said[2:] == ["execute_command", "cancel_command", "stream_closed"]


async def test_a_restarted_relay_lists_no_stream_and_knows_its_voucher() -> None:
    """The bot then shows what came with the command, and the stream is open again."""
    async with FakeRelay() as relay, client(relay) as socket:
        await subscribe(socket)
        async with relay.asking("hi"):
            command = [await frame(socket) for _ in range(3)][-1]["message"]
            relay.restart()
            async with client(relay) as again:
                await subscribe(again)
                assert (await frame(again))["message"]["streams"] == []
                await frame(again)
                stream_id = command["metadata"]["session_id"]
                chunk = {"type": "stream_chunk", "session_id": stream_id, "sequence": 0}
                await say(again, {**chunk, "content": "a"})
                assert (await frame(again))["message"]["code"] == "unknown_stream"
                resume = {"type": "stream_resume", "session_id": stream_id}
                await say(again, {**resume, "resume": command["resume"]})
                acked = (await frame(again))["message"]
                assert (acked["type"], acked["next_sequence"]) == ("ack", 0)


async def _talk(socket: ClientConnection, payload: object) -> None:
    while True:
        await say(socket, payload)
        received = await frame(socket)
        if received.get("type") == "disconnect":
            assert received == {"type": "disconnect", "reason": "fenced", "reconnect": False}
            await say(socket, payload)
            await socket.recv()
