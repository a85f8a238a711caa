from __future__ import annotations

import pytest

from relay.protocol.events import Abort, Chunk, End, RefusalCode, Summary
from relay.wire import parts
from relay.wire.bot_client import decode_outbound, encode_resume, encode_stream_message
from relay.wire.bot_messages import (
    Acked,
    Closed,
    Command,
    Connected,
    OpenStreamState,
    Outbound,
    Pong,
    Refused,
)
from relay.wire.jsontext import JsonValue

Fields = dict[str, JsonValue]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Chunk("", 0), {"type": "stream_chunk", "session_id": "S", "sequence": 0, "content": ""}),
        (Chunk("x"), {"type": "stream_chunk", "session_id": "S", "content": "x"}),
        (
            End(0, "0"),
            {"type": "stream_end", "session_id": "S", "total_chunks": 0, "content_hash": "0"},
        ),
        (End(), {"type": "stream_end", "session_id": "S"}),
        (
            Summary("x", 1, "78"),
            {
                "type": "stream_summary",
                "session_id": "S",
                "total_content": "x",
                "total_chunks": 1,
                "content_hash": "78",
            },
        ),
        (
            Chunk("", 4, parts.tool_call({"is_recall": False, "command": "take_photo"})),
            {
                "type": "stream_chunk",
                "session_id": "S",
                "sequence": 4,
                "content": "",
                "tool_call": {"command": "take_photo", "is_recall": False},
            },
        ),
        (
            Chunk("x", 5, parts.follow_up(["And tomorrow?"])),
            {
                "type": "stream_chunk",
                "session_id": "S",
                "sequence": 5,
                "content": "x",
                "follow_up": ["And tomorrow?"],
            },
        ),
        (Abort(""), {"type": "stream_error", "session_id": "S", "error": ""}),
        (
            Abort("500", "Sorry."),
            {"type": "stream_error", "session_id": "S", "error": "500", "message": "Sorry."},
        ),
    ],
)
def test_a_bot_writes_its_messages_as_the_document_says(
    message: Chunk | End | Summary | Abort, expected: Fields
) -> None:
    """docs/protocol.md, section 4: fields that are not known are left out, zeros are kept."""
    assert encode_stream_message("S", message) == expected


def test_a_protocol_1_relay_is_understood() -> None:
    """Without credit, resume positions and cumulative ACKs the fields are zero and empty."""
    assert decode_outbound(
        {"type": "connected", "bot_id": 7, "session_id": "C", "message": "hi"}
    ) == Connected(bot_id=7, connection_id="C", protocol=1, durability="", window=0)
    assert decode_outbound(
        {"type": "chunk_received", "sequence": 3, "session_id": "S", "timestamp": "t"}
    ) == Acked("S", 3, next_sequence=0, received=((3, 3),), credit=0)
    assert decode_outbound(
        {"type": "chunk_received", "sequence": None, "session_id": "S"}
    ) == Acked("S", None, next_sequence=0, received=(), credit=0)
    command: Fields = {"type": "execute_command", "metadata": {"session_id": "S"}}
    assert decode_outbound(command) == Command("S", command, credit=0)


def test_a_pong_is_understood() -> None:
    """The answer to the action `ping`."""
    assert decode_outbound({"type": "pong", "timestamp": "t"}) == Pong()


def test_a_refusal_with_an_unknown_code_is_still_a_refusal() -> None:
    """A newer relay's reason must not hide that the chunk was not taken."""
    assert decode_outbound(
        {"type": "refused", "session_id": "S", "sequence": 3, "code": "novel", "message": "why"}
    ) == Refused("S", 3, RefusalCode.INVALID_PAYLOAD, "novel: why")


@pytest.mark.parametrize(
    ("retry_after_s", "expected"), [(2, 2.0), (0.5, 0.5), (None, None), ("soon", None)]
)
def test_a_refusal_may_say_when_to_try_again(
    retry_after_s: JsonValue, expected: float | None
) -> None:
    """In seconds; what is not a number says nothing."""
    refused = decode_outbound(
        {"type": "refused", "code": "hold_full", "retry_after_s": retry_after_s}
    )
    assert refused == Refused(None, None, RefusalCode.HOLD_FULL, "", expected)


def ack(**fields: JsonValue) -> Fields:
    """Return an `ack` with some fields changed."""
    return {
        "type": "ack",
        "session_id": "S",
        "next_sequence": 1,
        "received": [],
        "credit": 1,
        **fields,
    }


def test_streams_that_are_open_and_closed_are_told_apart() -> None:
    """What a bot needs to resume: where each stream is, or how it ended."""
    open_: Fields = {
        "session_id": "S",
        "epoch": "e1",
        "status": "active",
        "next_sequence": 4,
        "received": [[6, 6]],
        "credit": 32,
    }
    closed: Fields = {
        "session_id": "T",
        "status": "closed",
        "outcome": "incomplete",
        "total_chunks": 60,
        "missing": [[57, 59]],
    }
    connected = decode_outbound(
        {"type": "connected", "bot_id": 7, "session_id": "C", "streams": [open_, closed]}
    )
    assert isinstance(connected, Connected)
    assert connected.streams == (
        OpenStreamState("S", "e1", "active", 4, ((6, 6),), 32),
        Closed("T", "incomplete", 60, ((57, 59),)),
    )


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": "novel"},
        {"type": 5},
        {"type": "status_response"},
        ack(session_id=5),
        ack(session_id=None),
        ack(next_sequence=-1),
        ack(next_sequence=True),
        ack(next_sequence=1.0),
        ack(next_sequence=None),
        ack(credit="1"),
        ack(received=None),
        ack(received={}),
        ack(received=[3]),
        ack(received=[[3]]),
        ack(received=[[1, 2, 3]]),
        ack(received=[[2, 1]]),
        ack(received=[[1, "2"]]),
        {"type": "execute_command"},
        {"type": "execute_command", "metadata": []},
        {"type": "execute_command", "metadata": {"session_id": 5}},
        {"type": "execute_command", "metadata": {"session_id": "S"}, "credit": -1},
        {"type": "connected", "bot_id": "7", "session_id": "C"},
        {"type": "connected", "bot_id": 7, "session_id": "C", "streams": {}},
        {"type": "connected", "bot_id": 7, "session_id": "C", "streams": [5]},
        {"type": "connected", "bot_id": 7, "session_id": "C", "streams": [{"session_id": "S"}]},
        {"type": "missing", "session_id": "S"},
        {"type": "refused", "session_id": "S"},
        {"type": "refused", "code": "conflict", "sequence": "3"},
        {"type": "stream_closed", "session_id": "S"},
        {"type": "cancel_command", "session_id": "S"},
        {"type": "chunk_received", "sequence": 3},
        {"type": "chunk_received", "sequence": -3, "session_id": "S"},
    ],
)
def test_what_is_not_known_or_not_well_formed_is_none(payload: Fields) -> None:
    """A bot bears with a newer or a faulty relay: it logs and goes on."""
    assert decode_outbound(payload) is None


def test_an_ack_is_cumulative() -> None:
    """The template of the cases above is itself understood."""
    expected: Outbound = Acked("S", None, 1, (), 1)
    assert decode_outbound(ack()) == expected


def test_a_resume_names_the_stream_and_its_voucher() -> None:
    """Both are given back as the command had them."""
    assert encode_resume("S", "V") == {"type": "stream_resume", "session_id": "S", "resume": "V"}


def test_a_command_brings_what_it_can_be_resumed_with() -> None:
    """It is kept apart from what the handler reads."""
    command: Fields = {"type": "execute_command", "metadata": {"session_id": "S"}}
    told = decode_outbound({**command, "credit": 3, "resume": "V"})
    assert told == Command("S", command, credit=3, resume="V")
