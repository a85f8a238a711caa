from __future__ import annotations

import json

import pytest

from relay.devices.base import StreamView
from relay.devices.plain import PlainProtocol
from relay.protocol.events import Entry, EntryKind, Position
from relay.protocol.status import Outcome
from relay.wire import parts
from relay.wire.entry import parse_position
from relay.wire.sse import SseParser

VIEW = StreamView("S", "e1", "conversation", "agent", "en")

plain = PlainProtocol()


def test_a_chunk_is_an_unnamed_event_with_a_position() -> None:
    """The exact bytes."""
    assert plain.encode(Entry(1, EntryKind.CHUNK, 0, "嘿", sequence=0), VIEW) == (
        b'id: e1.1\ndata: {"type":"stream_chunk","session_id":"S","sequence":0,'
        b'"content":"\\u563f"}\n\n'
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            Entry(1, EntryKind.CHUNK, 0, "", sequence=4),
            {"type": "stream_chunk", "session_id": "S", "sequence": 4, "content": ""},
        ),
        (
            Entry(1, EntryKind.CHUNK, 0, "", 4, part=parts.tool_call({"command": "take_photo"})),
            {
                "type": "stream_chunk",
                "session_id": "S",
                "sequence": 4,
                "content": "",
                "tool_call": {"command": "take_photo"},
            },
        ),
        (
            Entry(1, EntryKind.CHUNK, 0, "x", 4, part=parts.follow_up(["a", "b"])),
            {
                "type": "stream_chunk",
                "session_id": "S",
                "sequence": 4,
                "content": "x",
                "follow_up": ["a", "b"],
            },
        ),
        (
            Entry(2, EntryKind.REPAIR, 0, "lost\n"),
            {"type": "stream_repair", "session_id": "S", "content": "lost\n"},
        ),
        (
            Entry(3, EntryKind.GAP, 0, "…", sequence=5),
            {"type": "stream_gap", "session_id": "S", "content": "…"},
        ),
        (
            Entry(4, EntryKind.END, 0, total_chunks=60, outcome=Outcome.INCOMPLETE),
            {
                "type": "stream_end",
                "session_id": "S",
                "outcome": "incomplete",
                "total_chunks": 60,
            },
        ),
        (
            Entry(4, EntryKind.END, 0, "Sorry.", total_chunks=2, outcome=Outcome.FAILED),
            {
                "type": "stream_end",
                "session_id": "S",
                "outcome": "failed",
                "total_chunks": 2,
                "message": "Sorry.",
            },
        ),
        (
            Entry(
                4,
                EntryKind.END,
                0,
                total_chunks=2,
                outcome=Outcome.COMPLETED,
                part=parts.follow_up(["a"]),
            ),
            {
                "type": "stream_end",
                "session_id": "S",
                "outcome": "completed",
                "total_chunks": 2,
            },
        ),
    ],
)
def test_every_shown_entry_is_one_event_with_its_position(
    entry: Entry, expected: dict[str, object]
) -> None:
    """An empty chunk too: a client that resumes must know that it has it."""
    (event,) = SseParser().feed(plain.encode(entry, VIEW))
    assert json.loads(event.data) == expected
    assert event.event == "message"
    assert parse_position(event.id) == Position("e1", entry.offset)


def test_the_ending_is_not_shown() -> None:
    """Its offset is skipped by the ids, which a resume does not mind."""
    assert plain.encode(Entry(3, EntryKind.ENDING, 0), VIEW) == b""


def test_plain_clients_come_back() -> None:
    """With `Last-Event-ID`."""
    assert (plain.name, plain.can_resume) == ("plain", True)


def test_a_reset_is_an_event_without_an_id() -> None:
    """The cursor must not move: a reader that is cut off right behind it is told again."""
    view = StreamView("S", "e", "c", "a", "en")
    told = PlainProtocol().encode_reset(view)
    assert told == b'data: {"type":"stream_reset","session_id":"S"}\n\n'
