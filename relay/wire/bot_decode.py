"""What a bot says: the inner object of a `message` command into one of the `Inbound` types.

Both dispatch conventions are served: a non-empty `action` names the verb, else `type` does.
Existing SDKs differ in what they put on the wire:

    2.0.x   {"action": "stream_chunk", "chunk", "stream_id", "stream_type"}, no session_id
    2.3.7   {"type": "stream_chunk", "content", "session_id"}, no sequence
    2.3.10  the same with "sequence"
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.protocol.events import Abort, Chunk, End, RefusalCode, Summary
from relay.protocol.limits import CHUNK_BYTES_MAX, SEQUENCE_MAX, SHOWN_CHARS_MAX
from relay.wire import parts
from relay.wire.bot_messages import (
    CommandResult,
    ExecuteCommand,
    Ignored,
    Inbound,
    LegacyResponse,
    LogLine,
    Ping,
    Resume,
    Started,
    StatusQuery,
    StreamMessage,
)
from relay.wire.jsontext import JsonValue

Payload = Mapping[str, JsonValue]


class PayloadRefused(ValueError):
    """The payload was not taken. `stream_id` and `sequence` are set where they could be read."""

    def __init__(
        self,
        code: RefusalCode,
        message: str,
        stream_id: str | None = None,
        sequence: int | None = None,
    ) -> None:
        super().__init__(f"{code.value}: {message}")
        self.code = code
        self.message = message
        self.stream_id = stream_id
        self.sequence = sequence


def decode(payload: Payload, *, must_number: bool = False) -> Inbound:
    """Return what the bot says. Raises `PayloadRefused`.

    `must_number`: the bot speaks protocol 2, so a chunk without its sequence is refused. Numbered
    by arrival, what such a bot sends again would be shown twice.
    """
    match verb(payload):
        case "stream_chunk":
            return _decode_chunk(payload, must_number=must_number)
        case "stream_end":
            return _decode_end(payload)
        case "stream_error":
            return _decode_error(payload)
        case "stream_summary":
            return _decode_summary(payload)
        case "stream_resume":
            return _decode_resume(payload)
        case "pong":
            return Ignored()
        case name if _is_action(payload):
            return _decode_action(name, payload)
        case name:
            raise _unknown(name)


def verb(payload: Payload) -> str:
    """Return what the payload asks for: a non-empty `action` wins, else it is `type`."""
    name = payload["action"] if _is_action(payload) else payload.get("type")
    return name if isinstance(name, str) else ""


def _is_action(payload: Payload) -> bool:
    """Rails' `present?`: blank strings, false, null and empty containers do not count."""
    action = payload.get("action")
    return bool(action.strip() if isinstance(action, str) else action)


def _decode_action(name: str, payload: Payload) -> Inbound:
    """The verbs that exist as `action` only.

    `subscribed`, `unsubscribed` and `receive` are hooks: a client that could call them would
    subscribe itself twice, or put itself offline.
    """
    match name:
        case "ping":
            return Ping()
        case "status":
            return StatusQuery()
        case "log":
            level = payload.get("level")
            return LogLine(level if isinstance(level, str) else "info", payload.get("message"))
        case "execute_command":
            return ExecuteCommand(payload.get("command"))
        case "command_result":
            return CommandResult()
        case "response":
            stream_id, content = payload.get("session_id"), payload.get("content")
            if isinstance(stream_id, str) and stream_id.strip() and not _is_blank(content):
                return LegacyResponse(stream_id)
            return Ignored()
        case _:
            raise _unknown(name)


def _decode_chunk(payload: Payload, *, must_number: bool) -> Inbound:
    stream_id = _stream_id(payload)
    bot_stream_key = _text_or_none(payload, "stream_id", stream_id) or None
    match payload.get("stream_type"):
        case "stream_start":
            return Started(bot_stream_key) if bot_stream_key else Ignored()
        case "stream_end":
            message: Chunk | End | Abort = End()
        case "stream_error":
            # 2.0.x has no key of its own for the error.
            message = Abort(_text_or_none(payload, "chunk", stream_id) or "")
        case None | str():
            # A kind that nobody knows is text to the server that these SDKs were written for.
            message = _chunk(payload, stream_id, must_number=must_number)
        case _:
            raise _invalid("stream_type must be a string", stream_id)
    return StreamMessage(stream_id, message, bot_stream_key)


def _chunk(payload: Payload, stream_id: str | None, *, must_number: bool) -> Chunk:
    sequence = _sequence(payload, stream_id)
    if sequence is None and must_number:
        raise _invalid_sequence(stream_id)
    content = payload.get("content")
    if content is None:
        content = payload.get("chunk")
    try:
        part = parts.from_fields(payload)
    except parts.InvalidPart as error:
        raise PayloadRefused(RefusalCode.INVALID_PAYLOAD, str(error), stream_id, sequence) from None
    if content is None and part is not None:
        content = ""
    if not isinstance(content, str):
        raise PayloadRefused(
            RefusalCode.INVALID_CONTENT, "content must be a string", stream_id, sequence
        )
    if exceeds_utf8(content if part is None else content + part.body, CHUNK_BYTES_MAX):
        raise PayloadRefused(
            RefusalCode.CHUNK_TOO_LARGE,
            f"the chunk is larger than {CHUNK_BYTES_MAX} bytes of UTF-8: split it",
            stream_id,
            sequence,
        )
    return Chunk(content, sequence, part)


def _decode_end(payload: Payload) -> StreamMessage:
    stream_id = _stream_id(payload)
    total_chunks = _total_chunks(payload, stream_id)
    return StreamMessage(
        stream_id, End(total_chunks, _text_or_none(payload, "content_hash", stream_id))
    )


def _decode_error(payload: Payload) -> StreamMessage:
    # A missing text is tolerated: JavaScript drops undefined keys, and refusing the error would
    # leave the device waiting for the idle limit.
    stream_id = _stream_id(payload)
    shown = _text_or_none(payload, "message", stream_id) or ""
    return StreamMessage(
        stream_id,
        Abort(
            _text_or_none(payload, "error", stream_id) or "",
            # Cut off and not refused, for the same reason; and a blank text shows nothing.
            shown[:SHOWN_CHARS_MAX] if shown.strip() else "",
        ),
    )


def _decode_summary(payload: Payload) -> StreamMessage:
    stream_id = _stream_id(payload)
    total_content = payload.get("total_content")
    if not isinstance(total_content, str):
        raise _invalid("total_content must be a string", stream_id)
    total_chunks = _total_chunks(payload, stream_id)
    if total_chunks is None:
        raise _invalid("total_chunks is missing", stream_id)
    content_hash = _text_or_none(payload, "content_hash", stream_id)
    return StreamMessage(stream_id, Summary(total_content, total_chunks, content_hash))


def _decode_resume(payload: Payload) -> Resume:
    stream_id = _stream_id(payload)
    voucher = payload.get("resume")
    if stream_id is None or not isinstance(voucher, str):
        raise _invalid("session_id and resume must be strings", stream_id)
    return Resume(stream_id, voucher)


def exceeds_utf8(text: str, limit: int) -> bool:
    """Whether `text` takes more than `limit` bytes of UTF-8; a lone surrogate counts as three."""
    if len(text) * 4 <= limit:
        return False
    return len(text.encode("utf-8", "surrogatepass")) > limit


def _stream_id(payload: Payload) -> str | None:
    value = payload.get("session_id")
    if value is None:
        return None
    if not isinstance(value, str):
        raise _invalid("session_id must be a string", None)
    return value if value.strip() else None


def _sequence(payload: Payload, stream_id: str | None) -> int | None:
    value = payload.get("sequence")
    if value is None:
        return None
    if not _is_count(value, SEQUENCE_MAX):
        raise _invalid_sequence(stream_id)
    assert isinstance(value, int)
    return value


def _invalid_sequence(stream_id: str | None) -> PayloadRefused:
    return PayloadRefused(
        RefusalCode.INVALID_SEQUENCE,
        f"sequence must be an integer in 0..{SEQUENCE_MAX}",
        stream_id,
    )


def _total_chunks(payload: Payload, stream_id: str | None) -> int | None:
    value = payload.get("total_chunks")
    if value is None:
        return None
    if not _is_count(value, SEQUENCE_MAX + 1):
        raise _invalid(f"total_chunks must be an integer in 0..{SEQUENCE_MAX + 1}", stream_id)
    assert isinstance(value, int)
    return value


def _is_count(value: JsonValue, maximum: int) -> bool:
    """Exactly an int: `True` and `1.0` equal 1 in Python, and are not sequences."""
    return type(value) is int and 0 <= value <= maximum


def _text_or_none(payload: Payload, key: str, stream_id: str | None) -> str | None:
    value = payload.get(key)
    if value is not None and not isinstance(value, str):
        raise _invalid(f"{key} must be a string", stream_id)
    return value


def _is_blank(value: JsonValue) -> bool:
    return not (value.strip() if isinstance(value, str) else value)


def _invalid(message: str, stream_id: str | None) -> PayloadRefused:
    return PayloadRefused(RefusalCode.INVALID_PAYLOAD, message, stream_id)


def _unknown(name: str) -> PayloadRefused:
    return PayloadRefused(RefusalCode.UNKNOWN_ACTION, f"no such action: {name[:64]!r}")
