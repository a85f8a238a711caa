"""The usual frame is read as the careful readers read it, or left to them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.events import Chunk
from relay.wire.bot import Acked, PayloadRefused, StreamMessage, decode, encode
from relay.wire.cable import CableServer, Perform, message
from relay.wire.chunk_frame import ChunkFrame, Receipts, read_chunk

IDENTIFIER = '{"channel":"BotChannel","bot_id":"1"}'
CHUNK = {"type": "stream_chunk", "session_id": "s1", "content": "hi", "sequence": 3}


def frame(payload: object, **changes: object) -> str:
    """A `message` frame that carries this."""
    return json.dumps(
        {
            "command": "message",
            "identifier": IDENTIFIER,
            "data": payload if isinstance(payload, str) else json.dumps(payload),
            **changes,
        }
    )


def carefully(raw: str) -> ChunkFrame | None:
    """The chunk as `CableServer` and `decode` have it; None where they have none."""
    server = CableServer()
    server.receive(json.dumps({"command": "subscribe", "identifier": IDENTIFIER}))
    for event in server.receive(raw):
        if isinstance(event, Perform):
            try:
                found = decode(event.payload, must_number=True)
            except PayloadRefused:
                return None
            if isinstance(found, StreamMessage) and isinstance(found.message, Chunk):
                assert found.stream_id is not None
                return event.identifier, found.stream_id, found.message
    return None


def test_the_usual_frame_is_taken() -> None:
    """What the SDKs send."""
    expected = IDENTIFIER, "s1", Chunk("hi", 3)
    assert read_chunk(frame(CHUNK)) == expected == carefully(frame(CHUNK))


@pytest.mark.parametrize(
    "raw",
    [
        *("", "{", "[]", "null", '{"command":"subscribe","identifier":"{}"}'),
        frame(CHUNK, command="subscribe"),
        frame(CHUNK, more=1),
        frame("{"),
        frame({**CHUNK, "action": "ping"}),
        frame({**CHUNK, "tool_call": {"command": "take_photo"}}),
        frame({**CHUNK, "type": "stream_end"}),
        *(frame({**CHUNK, "sequence": one}) for one in (-1, True, 1.0, "1", 2**31, 2**63, None)),
        frame(json.dumps(CHUNK).replace("3", "1e400")),
        frame(json.dumps(CHUNK).replace("3", "3e0")),
        frame({**CHUNK, "content": None}),
        frame({**CHUNK, "content": "\ud83e"}),
        frame({**CHUNK, "content": "x" * 20_000}),
        frame({**CHUNK, "content": "嘿" * 5_500}),
        *(frame({**CHUNK, "session_id": one}) for one in ("", " ", "\u3000", 7, None)),
    ],
)
def test_what_is_unusual_is_left_to_others(raw: str) -> None:
    """Whoever refuses it says why; and what is a chunk none the less is not lost."""
    assert read_chunk(raw) is None


VALUES = st.one_of(
    st.text(max_size=4),
    st.integers(-2, 1_000_002),
    st.floats(allow_nan=False, width=16),
    st.booleans(),
    st.none(),
    st.just({"command": "take_photo"}),
)


@given(
    st.dictionaries(
        st.sampled_from([*CHUNK, "action", "chunk", "stream_id", "tool_call", "x"]), VALUES
    )
)
def test_what_is_taken_is_taken_as_the_careful_readers_do(changes: dict[str, object]) -> None:
    """Never another stream, sequence or text."""
    raw = frame({**CHUNK, **changes})
    taken = read_chunk(raw)
    assert taken is None or taken == carefully(raw)


@given(st.text(), st.integers(0, 1_000_000))
def test_any_text_in_any_usual_frame_is_taken_as_it_is(content: str, sequence: int) -> None:
    """Escapes included."""
    raw = frame({**CHUNK, "content": content, "sequence": sequence})
    assert read_chunk(raw) == (IDENTIFIER, "s1", Chunk(content, sequence))


def test_of_a_key_that_is_there_twice_the_last_one_counts_for_both() -> None:
    """As JSON readers do it."""
    raw = frame(
        '{"type":"stream_chunk","session_id":"a","session_id":"b","content":"","sequence":1}'
    )
    taken = read_chunk(raw)
    assert taken is None or taken == carefully(raw)


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 1_000_000))
def test_a_receipt_is_the_frame_that_the_encoder_makes(
    identifier: str, stream_id: str, sequence: int
) -> None:
    """Whatever the identifiers hold, even what stands for the sequence."""
    for name in (stream_id, f'"sequence":-1{stream_id}'):
        for place in (name, f'"session_id":""{name}'):
            receipts = Receipts(place)
            for now_iso, count in (("now", 1), ("now", 3), ("later", 1)):
                payloads = [
                    encode(Acked(name, number, 0, (), 0), 1, now_iso=now_iso)
                    for number in range(sequence - count + 1, sequence + 1)
                ]
                expected = [message(place, payload) for payload in payloads if payload]
                assert receipts.of(name, sequence, count, now_iso) == expected
