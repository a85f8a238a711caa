"""Whatever a socket of `/cable` brings: frames of ActionCable, and a bot's payloads in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from relay.wire import cable, jsontext
from relay.wire.bot import PayloadRefused, StreamMessage, decode
from relay.wire.cable import SUBSCRIPTIONS_MAX, CableServer
from relay.wire.chunk_frame import read_chunk
from relay.wire.jsontext import JsonValue
from tests.fuzz.pieces import text
from tests.fuzz.target import Target

IDENTIFIER: Final = '{"channel":"BotChannel","protocol":2}'

_BETWEEN_FRAMES: Final = b"\x1e"


def check(data: bytes) -> None:
    """Each frame is taken or refused by a typed event, and each answer is one object of JSON."""
    server = CableServer()
    server.receive(_frame("subscribe"))
    server.confirm(IDENTIFIER)
    for raw in data.split(_BETWEEN_FRAMES):
        _in_short(server, text(raw))
        for event in server.receive(text(raw)):
            match event:
                case cable.Subscribe(identifier):
                    answer = server.confirm(identifier)
                    assert isinstance(jsontext.loads(answer), dict)
                case cable.Reply(frame):
                    assert isinstance(jsontext.loads(frame), dict)
                case cable.Refusal():
                    assert isinstance(jsontext.loads(cable.refused(event)), dict)
                case cable.Perform(_, payload):
                    _decode(payload)
                case cable.Unsubscribe(identifier):
                    assert identifier not in server.identifiers
        assert len(server.identifiers) <= SUBSCRIPTIONS_MAX


def _in_short(server: CableServer, raw: str) -> None:
    """What is taken on the short way is what the long one takes."""
    short = read_chunk(raw)
    if short is None or short[0] not in server.identifiers:
        return
    identifier, stream_id, chunk = short
    (event,) = server.receive(raw)
    assert isinstance(event, cable.Perform)
    assert event.identifier == identifier
    assert decode(event.payload, must_number=True) == StreamMessage(stream_id, chunk)


def _decode(payload: Mapping[str, JsonValue]) -> None:
    try:
        decode(payload, must_number=True)
    except PayloadRefused as refused:
        assert refused.message


def _frame(command: str, **more: str) -> str:
    return json.dumps({"command": command, "identifier": IDENTIFIER, **more})


def seeds() -> list[bytes]:
    """Every command, and a frame of each kind of payload."""
    chunk = {"type": "stream_chunk", "session_id": "s", "sequence": 0, "content": "嘿\ud83e"}
    summary = {"type": "stream_summary", "total_content": "x", "total_chunks": 1}
    frames = [
        _frame("subscribe"),
        _frame("subscribe").replace("BotChannel", "RokidStreamChannel"),
        _frame("unsubscribe"),
        _frame("message", data=json.dumps(chunk)),
        _frame("message", data=json.dumps(summary)),
        _frame("message", data=json.dumps({"action": "ping"})),
        '{"type":"pong"}',
        '{"command":"pong"}',
    ]
    return [*(frame.encode() for frame in frames), _BETWEEN_FRAMES.join(f.encode() for f in frames)]


TARGET: Final = Target(check, seeds)
