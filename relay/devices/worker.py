"""Workers: the objects of `RokidStreamChannel`, as the reference's workers expect them.

A worker reads a stream over its WebSocket and makes the SSE for the glasses itself. It knows
`stream_chunk`, `stream_end` and `stream_error`, and nothing of repairs and gaps. What a chunk
carries beside its text is a key that older workers do not look at: `tool_call`, `follow_up`.
"""

from __future__ import annotations

from typing import assert_never

from relay.devices.base import StreamView
from relay.devices.texts import text
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from relay.wire import parts
from relay.wire.jsontext import JsonValue
from relay.wire.timestamp import beijing_iso


def to_object(
    entry: Entry, view: StreamView, *, session_id: str | None = None
) -> dict[str, JsonValue] | None:
    """Return the object for one entry, or None where a worker is shown nothing.

    `session_id` is the id that the worker subscribed with, where that is not the stream's own.
    """
    common: dict[str, JsonValue] = {
        "session_id": view.stream_id if session_id is None else session_id,
        "timestamp": beijing_iso(entry.at),
    }
    match entry.kind:
        case EntryKind.CHUNK:
            return _chunk(entry.content, entry.sequence, {**parts.to_fields(entry.part), **common})
        case EntryKind.REPAIR | EntryKind.GAP:
            return _chunk(entry.content, None, common) if entry.content else None
        case EntryKind.ENDING:
            return None
        case EntryKind.END:
            return _end(entry, view.lang, common)
        case _:
            assert_never(entry.kind)


def _chunk(content: str, sequence: int | None, rest: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"type": "stream_chunk", "content": content, "sequence": sequence, **rest}


def _end(entry: Entry, lang: str, common: dict[str, JsonValue]) -> dict[str, JsonValue]:
    match entry.outcome:
        case None | Outcome.COMPLETED | Outcome.REPAIRED | Outcome.INCOMPLETE:
            return {"type": "stream_end", **common}
        case outcome:
            return {"type": "stream_error", "error": entry.content or text(outcome, lang), **common}
