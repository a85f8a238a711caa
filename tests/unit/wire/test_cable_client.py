from __future__ import annotations

import json

import pytest

from relay.protocol.events import RefusalCode
from relay.wire import cable
from relay.wire.cable import CableServer, Perform, Subscribe, Unsubscribe
from relay.wire.cable_client import (
    CableClient,
    Confirmed,
    Disconnect,
    Message,
    Ping,
    Rejected,
    ServerFrame,
    Unknown,
    Welcome,
)

BOT = '{"channel":"BotChannel","protocol":2}'


def test_both_halves_understand_each_other() -> None:
    """A whole subscription, back to back."""
    client, server = CableClient(BOT), CableServer()
    assert client.receive(cable.welcome()) == Welcome()
    assert client.receive(cable.ping(5.5)) == Ping(5)
    assert server.receive(client.subscribe()) == [
        Subscribe(BOT, {"channel": "BotChannel", "protocol": 2})
    ]
    assert client.receive(server.confirm(BOT)) == Confirmed()
    payload = {"type": "stream_chunk", "content": "嘿\ud83e\r\n\0\u2028"}
    assert server.receive(client.perform(payload)) == [Perform(BOT, payload)]
    assert client.receive(cable.message(BOT, {"type": "ack"})) == Message({"type": "ack"})
    assert server.receive(client.unsubscribe()) == [Unsubscribe(BOT)]
    assert client.receive(server.reject(BOT)) == Rejected()


def test_data_is_json_inside_of_a_json_string() -> None:
    """The exact text of a message."""
    assert CableClient("I").perform({"a": "🦞"}) == (
        '{"command":"message","identifier":"I","data":"{\\"a\\":\\"🦞\\"}"}'
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (cable.disconnect("fenced", reconnect=False), Disconnect("fenced", reconnect=False)),
        (cable.disconnect("restart", reconnect=True), Disconnect("restart", reconnect=True)),
        (
            cable.disconnect("rate_limited", reconnect=True, retry_after_s=3),
            Disconnect("rate_limited", reconnect=True, retry_after_s=3.0),
        ),
        ('{"type":"disconnect","retry_after_s":-1}', Disconnect("", reconnect=True)),
        ('{"type":"disconnect","retry_after_s":true}', Disconnect("", reconnect=True)),
        ('{"type":"disconnect","retry_after_s":9%s}' % ("0" * 400), Disconnect("", reconnect=True)),
        ('{"type":"disconnect"}', Disconnect("", reconnect=True)),
        ('{"type":"disconnect","reason":5,"reconnect":0}', Disconnect("", reconnect=True)),
        ('{"type":"ping"}', Ping(None)),
        (b'{"type":"ping","message":true}', Ping(None)),
    ],
)
def test_incomplete_frames_of_the_server_are_read(raw: str | bytes, expected: ServerFrame) -> None:
    """Only an explicit `false` forbids to reconnect."""
    assert CableClient(BOT).receive(raw) == expected


def test_a_refusal_without_a_subscription_reaches_the_client() -> None:
    """It comes as an error frame with an empty identifier."""
    refusal = cable.Refusal(RefusalCode.UNKNOWN_COMMAND, None, "why")
    event = CableClient(BOT).receive(cable.refused(refusal))
    assert isinstance(event, Message)
    assert event.payload["code"] == "unknown_command"


@pytest.mark.parametrize(
    "frame",
    [
        {"identifier": "other", "type": "confirm_subscription"},
        {"identifier": "other", "type": "reject_subscription"},
        {"identifier": "other", "message": {}},
        {"type": "confirm_subscription"},
        {"identifier": BOT, "message": 5},
        {"identifier": BOT},
        {"identifier": BOT, "type": "presence", "message": {}},
        {"type": "error"},
        [],
        5,
    ],
)
def test_a_frame_that_says_nothing_to_this_client_is_unknown(frame: object) -> None:
    """Another subscription's, a novel type, or no object: named, and survived."""
    assert isinstance(CableClient(BOT).receive(json.dumps(frame)), Unknown)


def test_a_frame_that_is_not_json_is_unknown() -> None:
    """A proxy's error page does not end the client."""
    assert isinstance(CableClient(BOT).receive("<html>"), Unknown)
