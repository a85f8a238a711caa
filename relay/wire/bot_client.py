"""BotChannel, the bot's half: what the SDK sends and reads. Specification: docs/protocol.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from relay.protocol.events import Abort, Chunk, End, RefusalCode, Summary
from relay.wire import parts
from relay.wire.bot_messages import (
    Acked,
    Cancel,
    Closed,
    Command,
    Connected,
    Missing,
    OpenStreamState,
    Outbound,
    Pong,
    Ranges,
    Refused,
)
from relay.wire.jsontext import JsonValue

Payload = Mapping[str, JsonValue]


def encode_stream_message(
    stream_id: str, message: Chunk | End | Summary | Abort
) -> dict[str, JsonValue]:
    """Return the object that a bot sends for one message of a stream. None fields are left out."""
    match message:
        case Chunk(content, sequence, part):
            fields: dict[str, JsonValue] = {
                "sequence": sequence,
                "content": content,
                **parts.to_fields(part),
            }
            name = "stream_chunk"
        case End(total_chunks, content_hash):
            fields = {"total_chunks": total_chunks, "content_hash": content_hash}
            name = "stream_end"
        case Summary(total_content, total, content_hash):
            fields = {
                "total_content": total_content,
                "total_chunks": total,
                "content_hash": content_hash,
            }
            name = "stream_summary"
        case Abort(error, shown):
            fields = {"error": error, "message": shown or None}
            name = "stream_error"
        case _:
            assert_never(message)
    given = {key: value for key, value in fields.items() if value is not None}
    return {"type": name, "session_id": stream_id, **given}


def encode_resume(stream_id: str, voucher: str) -> dict[str, JsonValue]:
    """Return the object with which a bot goes on with a stream that the relay does not list."""
    return {"type": "stream_resume", "session_id": stream_id, "resume": voucher}


def decode_outbound(payload: Payload) -> Outbound | None:
    """Return what the relay says; None where it is not known or not well-formed.

    A bot must bear with newer relays, so nothing here raises. A relay that speaks protocol 1 grants
    no credit (it is 0) and answers each chunk with `chunk_received`, which becomes an `Acked` whose
    `sequence` is set and whose `next_sequence` is 0.
    """
    try:
        return _decode(payload)
    except _Malformed:
        return None


class _Malformed(ValueError):
    pass


def _decode(payload: Payload) -> Outbound | None:
    match payload.get("type"):
        case "ack":
            return Acked(
                stream_id=_text(payload, "session_id"),
                sequence=None,
                next_sequence=_count(payload, "next_sequence"),
                received=_ranges(payload, "received"),
                credit=_count(payload, "credit"),
            )
        case "execute_command":
            return _command(payload)
        case "missing":
            return Missing(_text(payload, "session_id"), _ranges(payload, "ranges"))
        case "refused":
            return _refused(payload)
        case "stream_closed":
            return _closed(payload)
        case "cancel_command":
            return Cancel(_text(payload, "session_id"), _text(payload, "reason"))
        case "connected":
            return _connected(payload)
        case "chunk_received":
            return _chunk_received(payload)
        case "pong":
            return Pong()
        case _:
            return None


def _command(payload: Payload) -> Command:
    metadata = payload.get("metadata")
    if not isinstance(metadata, dict):
        raise _Malformed
    rest = {key: value for key, value in payload.items() if key not in ("credit", "resume")}
    return Command(
        _text(metadata, "session_id"),
        rest,
        _count(payload, "credit", default=0),
        _text(payload, "resume", default=""),
    )


def _connected(payload: Payload) -> Connected:
    streams = payload.get("streams", [])
    if not isinstance(streams, list):
        raise _Malformed
    return Connected(
        bot_id=_count(payload, "bot_id"),
        connection_id=_text(payload, "session_id"),
        protocol=_count(payload, "protocol", default=1),
        durability=_text(payload, "durability", default=""),
        window=_count(payload, "window", default=0),
        streams=tuple(_stream_state(stream) for stream in streams),
    )


def _stream_state(stream: JsonValue) -> OpenStreamState | Closed:
    if not isinstance(stream, dict):
        raise _Malformed
    if stream.get("status") == "closed":
        return _closed(stream)
    return OpenStreamState(
        stream_id=_text(stream, "session_id"),
        epoch=_text(stream, "epoch"),
        status=_text(stream, "status"),
        next_sequence=_count(stream, "next_sequence"),
        received=_ranges(stream, "received"),
        credit=_count(stream, "credit"),
    )


def _closed(payload: Payload) -> Closed:
    return Closed(
        stream_id=_text(payload, "session_id"),
        outcome=_text(payload, "outcome"),
        total_chunks=_count(payload, "total_chunks"),
        missing=_ranges(payload, "missing"),
    )


def _refused(payload: Payload) -> Refused:
    code, message = _text(payload, "code"), _text(payload, "message", default="")
    try:
        known = RefusalCode(code)
    except ValueError:
        # A newer relay's reason: the sender must still learn that it was not taken.
        known, message = RefusalCode.INVALID_PAYLOAD, f"{code}: {message}"
    retry_after_s = payload.get("retry_after_s")
    return Refused(
        stream_id=_text_or_none(payload, "session_id"),
        sequence=_count_or_none(payload, "sequence"),
        code=known,
        message=message,
        retry_after_s=float(retry_after_s) if isinstance(retry_after_s, (int, float)) else None,
    )


def _chunk_received(payload: Payload) -> Acked | None:
    stream_id = _text_or_none(payload, "session_id")
    if stream_id is None:
        return None
    sequence = _count_or_none(payload, "sequence")
    received = () if sequence is None else ((sequence, sequence),)
    return Acked(stream_id, sequence, next_sequence=0, received=received, credit=0)


def _text(payload: Payload, key: str, default: str | None = None) -> str:
    value = payload.get(key, default)
    if not isinstance(value, str):
        raise _Malformed
    return value


def _text_or_none(payload: Payload, key: str) -> str | None:
    return None if payload.get(key) is None else _text(payload, key)


def _count(payload: Payload, key: str, default: int | None = None) -> int:
    return _as_count(payload.get(key, default))


def _count_or_none(payload: Payload, key: str) -> int | None:
    return None if payload.get(key) is None else _count(payload, key)


def _as_count(value: JsonValue) -> int:
    if type(value) is not int or value < 0:
        raise _Malformed
    return value


def _ranges(payload: Payload, key: str) -> Ranges:
    pairs = payload.get(key)
    if not isinstance(pairs, list):
        raise _Malformed
    return tuple(_range(pair) for pair in pairs)


def _range(pair: JsonValue) -> tuple[int, int]:
    match pair:
        case [first, last]:
            lowest, highest = _as_count(first), _as_count(last)
        case _:
            raise _Malformed
    if lowest > highest:
        raise _Malformed
    return lowest, highest
