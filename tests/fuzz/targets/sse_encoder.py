"""The only encoder of SSE: whatever a bot says, a chunk is one event, in every client."""

from __future__ import annotations

import json
from typing import Final

import httpx
from httpx_sse import EventSource

from relay.devices.base import StreamView
from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.plain import PlainProtocol
from relay.protocol.events import Entry, EntryKind
from relay.wire import sse
from relay.wire.sse import SseEvent, SseParser
from tests.fuzz.pieces import SEPARATOR, fields, number, text
from tests.fuzz.target import Target


def check(data: bytes) -> None:
    """Chunks, the ids that devices make up, and what is not to be an event at all."""
    size, ids, *chunks = fields(data, 6)
    texts = [text(chunk) for chunk in chunks]
    view = StreamView("S", "e1", text(ids), text(ids), "en")
    for device, key in ((LingzhuProtocol(), "answer_stream"), (PlainProtocol(), "content")):
        shown = [one for one in texts if one] if key == "answer_stream" else texts
        entries = [
            Entry(offset, EntryKind.CHUNK, 0, content, sequence=offset - 1)
            for offset, content in enumerate(shown, start=1)
        ]
        raw = b"".join(device.encode(entry, view) for entry in entries)
        assert raw.isascii()
        for events in (read(raw, 1 + number(size, 6)), read_by_others(raw), read_by_rule(raw)):
            assert [json.loads(event.data)[key] for event in events] == shown
            assert {event.event for event in events} <= {"message"}
    for line in texts:
        _raw_line(line)


def _raw_line(line: str) -> None:
    """What the encoder itself is given: it makes one event, or refuses."""
    for name, id_ in ((None, None), (line, None), (None, line)):
        data = line if name is None and id_ is None else "x"
        try:
            raw = sse.encode_event(data, event=name, id=id_)
        except ValueError:  # a lone half of a pair too: UTF-8 cannot say it
            continue
        expected = SseEvent(data, name or "message", id_ or "")
        assert read(raw, len(raw)) == [expected]
    try:
        raw = sse.comment(line)
    except ValueError:
        return
    assert read(raw, len(raw)) == []


def read(raw: bytes, size: int) -> list[SseEvent]:
    """Parse with our own parser, in pieces of this size."""
    parser = SseParser()
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    return [event for piece in pieces for event in parser.feed(piece)]


def read_by_others(raw: bytes) -> list[SseEvent]:
    """Parse with httpx-sse, which splits lines in a way of its own."""
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=raw)
    return [SseEvent(e.data, e.event, e.id) for e in EventSource(response).iter_sse()]


def read_by_rule(raw: bytes) -> list[SseEvent]:
    """Parse as the crudest clients do: `splitlines`, and an event at each blank line."""
    events, data, last = [], [], ""
    for line in raw.decode().splitlines():
        name, _, value = line.partition(": ")
        last = value if name == "id" else last
        data += [value] if name == "data" else []
        if not line and data:
            events.append(SseEvent("\n".join(data), "message", last))
            data = []
    return events


def seeds() -> list[bytes]:
    """Everything that some client takes for the end of a line."""
    breaks = ["\r", "\n", "\0", "\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\ufeff"]
    chunks = [["a", one, f"{one}{one}data: forged{one}{one}", "嘿🦞"] for one in breaks]
    halves = ["\ud83e", "\udd9e", "id: 7", "event: done"]
    return [
        SEPARATOR.join([b"\x01", b"1740000000000", *(_bytes(chunk) for chunk in each)])
        for each in [*chunks, halves]
    ]


def _bytes(chunk: str) -> bytes:
    return chunk.encode("utf-8", "surrogatepass")


TARGET: Final = Target(check, seeds, long_bytes=16_384)
