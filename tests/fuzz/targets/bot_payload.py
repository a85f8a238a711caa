"""What a bot says: each verb and action, taken as it was meant or refused with a code."""

from __future__ import annotations

import json
from typing import Final, assert_never

from relay.protocol.events import Abort, Chunk, End, RefusalCode, Summary
from relay.protocol.limits import CHUNK_BYTES_MAX, SEQUENCE_MAX, SHOWN_CHARS_MAX
from relay.wire import jsontext
from relay.wire.bot import PayloadRefused, StreamMessage, decode
from relay.wire.bot_client import encode_stream_message
from relay.wire.jsontext import MalformedJson
from tests.fuzz.pieces import text
from tests.fuzz.target import Target


def check(data: bytes) -> None:
    """A message of a stream is in range, and is the same one when it is said again."""
    try:
        payload = jsontext.loads(text(data))
    except MalformedJson:
        return
    if not isinstance(payload, dict):
        return
    # Two halves of a character, one an escape and one not, are then one character.
    payload = jsontext.loads(jsontext.dumps(payload))
    assert isinstance(payload, dict)
    for must_number in (False, True):
        try:
            found = decode(payload, must_number=must_number)
        except PayloadRefused as refused:
            assert refused.code in RefusalCode
            continue
        if isinstance(found, StreamMessage):
            _in_range(found.message, must_number=must_number)
        if isinstance(found, StreamMessage) and found.stream_id is not None:
            said = encode_stream_message(found.stream_id, found.message)
            again = jsontext.loads(jsontext.dumps(said))
            assert isinstance(again, dict)
            assert decode(again) == StreamMessage(found.stream_id, found.message)


def _in_range(message: Chunk | End | Summary | Abort, *, must_number: bool) -> None:
    match message:
        case Chunk(content, sequence, _):
            assert sequence is None or _is_count(sequence, SEQUENCE_MAX)
            assert not (must_number and sequence is None)
            assert len(content.encode("utf-8", "surrogatepass")) <= CHUNK_BYTES_MAX
        case End(total, content_hash):
            assert total is None or _is_count(total, SEQUENCE_MAX + 1)
            assert content_hash is None or type(content_hash) is str
        case Summary(whole, total, _):
            assert type(whole) is str
            assert _is_count(total, SEQUENCE_MAX + 1)
        case Abort(error, shown):
            assert type(error) is str
            assert len(shown) <= SHOWN_CHARS_MAX
        case _:
            assert_never(message)


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def seeds() -> list[bytes]:
    """Every verb of protocol 2, every action, and what SDKs of old put on the wire."""
    call = {"command": "take_navigation", "poi_name": "p", "navi_type": "0", "is_recall": True}
    said = [
        {"type": "stream_chunk", "session_id": "s", "sequence": 7, "content": "嘿\ud83e"},
        {"type": "stream_chunk", "session_id": "s", "sequence": 8, "tool_call": call},
        {"type": "stream_chunk", "session_id": "s", "sequence": 9, "follow_up": ["a", "b", "c"]},
        {"type": "stream_end", "session_id": "s", "total_chunks": 10, "content_hash": "0f"},
        {"type": "stream_summary", "session_id": "s", "total_content": "x", "total_chunks": 1},
        {"type": "stream_error", "session_id": "s", "error": "e", "message": "m"},
        {"type": "stream_resume", "session_id": "s", "resume": "voucher"},
        {"action": "stream_chunk", "chunk": "x", "stream_id": "k", "stream_type": "stream_start"},
        {"action": "stream_chunk", "chunk": "x", "stream_id": "k", "stream_type": "stream_error"},
        {"action": "response", "session_id": "s", "content": "x"},
        {"action": "log", "level": "info", "message": {"any": [1]}},
        {"action": "execute_command", "command": [None]},
        {"action": "command_result"},
        *({"action": name} for name in ("ping", "pong", "status", "subscribed", "receive")),
    ]
    return [json.dumps(one).encode() for one in said]


TARGET: Final = Target(check, seeds)
