"""What the relay says to a bot: `Outbound` types into the objects of docs/protocol.md, 5."""

from __future__ import annotations

from typing import assert_never

from relay.wire.bot_messages import (
    RELIABLE,
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
    Ranges,
    Refused,
    ResponseReceived,
    StatusReply,
)
from relay.wire.jsontext import JsonValue

GREETING = "Connected to the relay"


def encode(message: Outbound, protocol: int, *, now_iso: str) -> dict[str, JsonValue] | None:
    """Return the object for a bot that speaks `protocol` (1 or 2), None where it has none.

    `now_iso` goes into the messages that carry a `timestamp`.
    """
    match message:
        case Acked():
            return _ack(message) if protocol >= RELIABLE else _chunk_received(message, now_iso)
        case Connected():
            return _connected(message, protocol)
        case Command():
            return _command(message, protocol)
        case Missing() | Closed() | Cancel():
            return _protocol_2_only(message) if protocol >= RELIABLE else None
        case Refused():
            return _refused(message)
        case Pong() | StatusReply() | LogEcho() | CommandReceived() | ResponseReceived():
            return _reply(message, now_iso)
        case _:
            assert_never(message)


def encode_ranges(ranges: Ranges) -> list[JsonValue]:
    """Return inclusive ranges as they are written: `[[3, 3], [7, 9]]`."""
    return [[first, last] for first, last in ranges]


def _connected(message: Connected, protocol: int) -> dict[str, JsonValue]:
    legacy: dict[str, JsonValue] = {
        "type": "connected",
        "bot_id": message.bot_id,
        "session_id": message.connection_id,
        "message": GREETING,
    }
    if protocol < RELIABLE:
        return legacy
    return {
        **legacy,
        "protocol": message.protocol,
        "durability": message.durability,
        "window": message.window,
        "streams": [_stream_state(stream) for stream in message.streams],
    }


def _stream_state(stream: OpenStreamState | Closed) -> dict[str, JsonValue]:
    match stream:
        case OpenStreamState():
            return {
                "session_id": stream.stream_id,
                "epoch": stream.epoch,
                "status": stream.status,
                "next_sequence": stream.next_sequence,
                "received": encode_ranges(stream.received),
                "credit": stream.credit,
            }
        case Closed():
            return {"session_id": stream.stream_id, "status": "closed", **_ending(stream)}
        case _:
            assert_never(stream)


def _ending(closed: Closed) -> dict[str, JsonValue]:
    return {
        "outcome": closed.outcome,
        "total_chunks": closed.total_chunks,
        "missing": encode_ranges(closed.missing),
    }


def _command(message: Command, protocol: int) -> dict[str, JsonValue]:
    if protocol < RELIABLE:
        return dict(message.payload)
    resume: dict[str, JsonValue] = {"resume": message.resume} if message.resume else {}
    return {**message.payload, "credit": message.credit, **resume}


def _ack(message: Acked) -> dict[str, JsonValue]:
    return {
        "type": "ack",
        "session_id": message.stream_id,
        "next_sequence": message.next_sequence,
        "received": encode_ranges(message.received),
        "credit": message.credit,
    }


def _chunk_received(message: Acked, now_iso: str) -> dict[str, JsonValue]:
    return {
        "type": "chunk_received",
        "sequence": message.sequence,
        "session_id": message.stream_id,
        "timestamp": now_iso,
    }


def _protocol_2_only(message: Missing | Closed | Cancel) -> dict[str, JsonValue]:
    match message:
        case Missing(stream_id, ranges):
            return {"type": "missing", "session_id": stream_id, "ranges": encode_ranges(ranges)}
        case Closed():
            return {
                "type": "stream_closed",
                "session_id": message.stream_id,
                **_ending(message),
            }
        case Cancel(stream_id, reason):
            return {"type": "cancel_command", "session_id": stream_id, "reason": reason}
        case _:
            assert_never(message)


def _refused(message: Refused) -> dict[str, JsonValue]:
    refusal: dict[str, JsonValue] = {
        "type": "refused",
        "session_id": message.stream_id,
        "sequence": message.sequence,
        "code": message.code.value,
        "message": message.message,
    }
    if message.retry_after_s is not None:
        refusal["retry_after_s"] = message.retry_after_s
    return refusal


def _reply(
    message: Pong | StatusReply | LogEcho | CommandReceived | ResponseReceived, now_iso: str
) -> dict[str, JsonValue]:
    match message:
        case Pong():
            return {"type": "pong", "timestamp": now_iso}
        case StatusReply():
            return {
                "type": "status_response",
                "status": message.status,
                "online": message.online,
                "active_sessions": message.active_sessions,
                "total_sessions": message.total_sessions,
                "uptime": message.uptime_s,
            }
        case LogEcho(level, text):
            return {"type": "log", "level": level, "message": text, "timestamp": now_iso}
        case CommandReceived(command):
            return {"type": "command_received", "command": command, "status": "processing"}
        case ResponseReceived(stream_id):
            return {"type": "response_received", "session_id": stream_id, "status": "success"}
        case _:
            assert_never(message)
