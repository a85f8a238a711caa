"""The plain protocol: what any SSE client can read, with positions as ids.

Every event has the default name, an id of `<epoch>.<offset>` and one object of JSON as data. A
client that reconnects sends the last id as `Last-Event-ID` and goes on behind it.

    {"type": "stream_chunk", "session_id", "sequence", "content"}
        with "tool_call" (an object) or "follow_up" (strings) where the chunk carries one
    {"type": "stream_repair", "session_id", "content"}      text that a verified summary supplied
    {"type": "stream_gap", "session_id", "content"}         what stands for sequences given up
    {"type": "stream_end", "session_id", "outcome", "total_chunks"}
        with "message" where a bot that failed has something to show
    {"type": "stream_reset", "session_id"}                  the position is of a log that was lost;
                                                            everything follows once more
"""

from __future__ import annotations

from typing import assert_never

from relay.devices.base import StreamView
from relay.protocol.events import Entry, EntryKind, Position
from relay.wire import jsontext, parts, sse
from relay.wire.entry import format_position
from relay.wire.jsontext import JsonValue


class PlainProtocol:
    """See the module."""

    name = "plain"
    can_resume = True

    def encode(self, entry: Entry, view: StreamView) -> bytes:
        """Return the event for one entry; empty where it is not shown."""
        fields = _fields(entry)
        if fields is None:
            return b""
        kind, rest = fields
        data: dict[str, JsonValue] = {"type": kind, "session_id": view.stream_id, **rest}
        position = format_position(Position(view.epoch, entry.offset))
        return sse.encode_event(jsontext.dumps_ascii(data), id=position)

    def encoder(self, view: StreamView) -> PlainEncoder:
        """See `DeviceProtocol.encoder`."""
        return PlainEncoder(self, view)

    def encode_reset(self, view: StreamView) -> bytes:
        """Return what a reader is told before it is sent everything once more.

        It has no id: a reader that is cut off right behind it must be told again.
        """
        data: dict[str, JsonValue] = {"type": "stream_reset", "session_id": view.stream_id}
        return sse.encode_event(jsontext.dumps_ascii(data))


class PlainEncoder:
    """See `DeviceProtocol.encoder`."""

    __slots__ = ("_id", "_protocol", "_stream", "_view")

    def __init__(self, protocol: PlainProtocol, view: StreamView) -> None:
        self._protocol = protocol
        self._view = view
        self._id = f"id: {view.epoch}."
        stream = jsontext.quote_ascii(view.stream_id)
        self._stream = f'\ndata: {{"type":"stream_chunk","session_id":{stream},"sequence":'

    def encode(self, entry: Entry) -> bytes:
        """See `Encoder.encode`."""
        sequence = entry.sequence
        if entry.kind is not EntryKind.CHUNK or entry.part is not None or sequence is None:
            return self._protocol.encode(entry, self._view)
        content = jsontext.quote_ascii(entry.content)
        event = f'{self._id}{entry.offset}{self._stream}{sequence},"content":{content}}}\n\n'
        return event.encode("ascii")


def _fields(entry: Entry) -> tuple[str, dict[str, JsonValue]] | None:
    match entry.kind:
        case EntryKind.CHUNK:
            text: dict[str, JsonValue] = {"sequence": entry.sequence, "content": entry.content}
            return "stream_chunk", {**text, **parts.to_fields(entry.part)}
        case EntryKind.REPAIR:
            return "stream_repair", {"content": entry.content}
        case EntryKind.GAP:
            return "stream_gap", {"content": entry.content}
        case EntryKind.ENDING:
            return None
        case EntryKind.END:
            message: dict[str, JsonValue] = {"message": entry.content} if entry.content else {}
            return "stream_end", {
                "outcome": entry.outcome,
                "total_chunks": entry.total_chunks,
                **message,
            }
        case _:
            assert_never(entry.kind)
