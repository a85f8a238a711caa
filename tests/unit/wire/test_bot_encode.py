from __future__ import annotations

import pytest

from relay.protocol.events import RefusalCode
from relay.wire.bot_encode import GREETING, encode, encode_ranges
from relay.wire.bot_messages import (
    Acked,
    Cancel,
    Closed,
    Command,
    CommandReceived,
    Connected,
    LogEcho,
    Missing,
    OpenStreamState,
    Outbound,
    Pong,
    Refused,
    ResponseReceived,
    StatusReply,
)
from relay.wire.jsontext import JsonValue

NOW = "2026-02-27T16:41:05+08:00"

CLOSED = Closed("T", "incomplete", 60, ((57, 59),))
CONNECTED = Connected(
    bot_id=7,
    connection_id="C",
    protocol=2,
    durability="memory",
    window=64,
    streams=(OpenStreamState("S", "e1", "active", 4, ((6, 6), (9, 11)), 32), CLOSED),
)
ACKED = Acked("S", 3, 4, ((6, 6),), 32)


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Pong(), {"type": "pong", "timestamp": NOW}),
        (
            StatusReply("online", True, 1, 9, 2.5),
            {
                "type": "status_response",
                "status": "online",
                "online": True,
                "active_sessions": 1,
                "total_sessions": 9,
                "uptime": 2.5,
            },
        ),
        (
            LogEcho("info", {"a": 1}),
            {"type": "log", "level": "info", "message": {"a": 1}, "timestamp": NOW},
        ),
        (
            CommandReceived("chat"),
            {"type": "command_received", "command": "chat", "status": "processing"},
        ),
        (
            ResponseReceived("S"),
            {"type": "response_received", "session_id": "S", "status": "success"},
        ),
        (
            Refused("S", 3, RefusalCode.CONFLICT, "taken"),
            {
                "type": "refused",
                "session_id": "S",
                "sequence": 3,
                "code": "conflict",
                "message": "taken",
            },
        ),
        (
            Refused(None, None, RefusalCode.HOLD_FULL, "wait", 1.5),
            {
                "type": "refused",
                "session_id": None,
                "sequence": None,
                "code": "hold_full",
                "message": "wait",
                "retry_after_s": 1.5,
            },
        ),
    ],
)
def test_answers_are_the_same_in_both_protocols(
    message: Outbound, expected: dict[str, JsonValue], protocol: int
) -> None:
    """The reference's shapes, and the refusal, which old SDKs ignore."""
    assert encode(message, protocol, now_iso=NOW) == expected


def test_protocol_1_gets_the_references_messages_and_nothing_else() -> None:
    """`connected` has no new keys, a chunk's ACK echoes its number, the command has no credit."""
    assert encode(CONNECTED, 1, now_iso=NOW) == {
        "type": "connected",
        "bot_id": 7,
        "session_id": "C",
        "message": GREETING,
    }
    assert encode(ACKED, 1, now_iso=NOW) == {
        "type": "chunk_received",
        "sequence": 3,
        "session_id": "S",
        "timestamp": NOW,
    }
    command = Command("S", {"type": "execute_command", "command": "chat"}, 32)
    assert encode(command, 1, now_iso=NOW) == {"type": "execute_command", "command": "chat"}


def test_an_ack_of_an_unnumbered_chunk_echoes_null() -> None:
    """SDK 2.3.7 sent no number, so it is told none."""
    acked = Acked("S", None, 4, (), 32)
    assert encode(acked, 1, now_iso=NOW) == {
        "type": "chunk_received",
        "sequence": None,
        "session_id": "S",
        "timestamp": NOW,
    }


@pytest.mark.parametrize("message", [Missing("S", ((2, 2),)), CLOSED, Cancel("S", "limit")])
def test_protocol_1_has_no_word_for_what_it_cannot_do(message: Outbound) -> None:
    """No resending, no stated end, no cancel."""
    assert encode(message, 1, now_iso=NOW) is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            ACKED,
            {
                "type": "ack",
                "session_id": "S",
                "next_sequence": 4,
                "received": [[6, 6]],
                "credit": 32,
            },
        ),
        (Missing("S", ((2, 2),)), {"type": "missing", "session_id": "S", "ranges": [[2, 2]]}),
        (
            CLOSED,
            {
                "type": "stream_closed",
                "session_id": "T",
                "outcome": "incomplete",
                "total_chunks": 60,
                "missing": [[57, 59]],
            },
        ),
        (
            Cancel("S", "device_gone"),
            {"type": "cancel_command", "session_id": "S", "reason": "device_gone"},
        ),
        (
            Command("S", {"type": "execute_command", "command": "chat"}, 32),
            {"type": "execute_command", "command": "chat", "credit": 32},
        ),
        (
            CONNECTED,
            {
                "type": "connected",
                "bot_id": 7,
                "session_id": "C",
                "message": GREETING,
                "protocol": 2,
                "durability": "memory",
                "window": 64,
                "streams": [
                    {
                        "session_id": "S",
                        "epoch": "e1",
                        "status": "active",
                        "next_sequence": 4,
                        "received": [[6, 6], [9, 11]],
                        "credit": 32,
                    },
                    {
                        "session_id": "T",
                        "status": "closed",
                        "outcome": "incomplete",
                        "total_chunks": 60,
                        "missing": [[57, 59]],
                    },
                ],
            },
        ),
    ],
)
def test_protocol_2_is_as_the_document_says(
    message: Outbound, expected: dict[str, JsonValue]
) -> None:
    """docs/protocol.md, section 5, field by field."""
    assert encode(message, 2, now_iso=NOW) == expected


def test_a_command_is_encoded_without_touching_the_nodes_object() -> None:
    """The same payload may go to another connection later."""
    payload: dict[str, JsonValue] = {"type": "execute_command"}
    encode(Command("S", payload, 32), 2, now_iso=NOW)
    assert payload == {"type": "execute_command"}


def test_ranges_are_lists_of_pairs() -> None:
    """Inclusive on both sides, as docs/protocol.md writes them."""
    assert encode_ranges(((3, 3), (7, 9))) == [[3, 3], [7, 9]]
    assert encode_ranges(()) == []


def test_a_voucher_is_for_bots_that_can_resend() -> None:
    """A legacy bot could do nothing with it."""
    command = Command("S", {"type": "execute_command"}, 32, "V")
    assert encode(command, 1, now_iso=NOW) == {"type": "execute_command"}
    assert encode(command, 2, now_iso=NOW) == {
        "type": "execute_command",
        "credit": 32,
        "resume": "V",
    }
