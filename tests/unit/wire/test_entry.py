from __future__ import annotations

import pytest

from relay.protocol.events import Entry, EntryKind, HeldChunk, Part, PartKind, Position
from relay.protocol.status import Outcome
from relay.wire.entry import (
    MalformedEntry,
    MalformedPosition,
    format_position,
    from_fields,
    held_from_fields,
    held_to_fields,
    parse_position,
    to_fields,
)


def test_a_position_is_epoch_dot_offset() -> None:
    """The token that devices send back as `Last-Event-ID`."""
    assert format_position(Position("b3F_-9", 17)) == "b3F_-9.17"
    assert parse_position("b3F_-9.17") == Position("b3F_-9", 17)
    assert parse_position("e.0") == Position("e", 0)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "17",
        ".17",
        "e.",
        "e.-1",
        "e.+1",
        "e.017",
        "e.1_0",
        "e.1.0",
        "e.٣",
        "e.1\n",
        " e.1",
        "é.1",
        "e e.1",
        "e" * 33 + ".1",
        "e." + "9" * 16,
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    """Only what the relay wrote is read: a guess would resume at the wrong place."""
    with pytest.raises(MalformedPosition):
        parse_position(token)


@pytest.mark.parametrize(
    ("entry", "fields"),
    [
        (
            Entry(1, EntryKind.CHUNK, 12.25, "嘿\0", sequence=0),
            {"offset": "1", "kind": "chunk", "at": "12.25", "content": "嘿\0", "sequence": "0"},
        ),
        (
            Entry(2, EntryKind.CHUNK, 0.1, sequence=1, carry="\ud83e"),
            {"offset": "2", "kind": "chunk", "at": "0.1", "sequence": "1", "carry": "d83e"},
        ),
        (
            Entry(2, EntryKind.CHUNK, 0.5, sequence=1, part=Part(PartKind.FOLLOW_UP, '["好"]')),
            {
                "offset": "2",
                "kind": "chunk",
                "at": "0.5",
                "sequence": "1",
                "part": "follow_up",
                "body": '["好"]',
            },
        ),
        (
            Entry(3, EntryKind.END, 1e9, total_chunks=0, outcome=Outcome.BOT_GONE),
            {
                "offset": "3",
                "kind": "end",
                "at": "1000000000.0",
                "total_chunks": "0",
                "outcome": "bot_gone",
            },
        ),
    ],
)
def test_an_entry_is_stored_as_flat_fields(entry: Entry, fields: dict[str, str]) -> None:
    """Every field is a string, and what is None or empty is left out."""
    assert to_fields(entry) == fields
    assert from_fields(fields) == entry


@pytest.mark.parametrize(
    "broken",
    [
        {"offset": "x"},
        {"kind": "unheard"},
        {"at": "noon"},
        {"carry": "zz"},
        {"carry": "ffffffffffffffffff"},
        {"outcome": "unheard"},
        {"sequence": ""},
        {"part": "unheard", "body": "{}"},
        {"part": "tool_call"},
    ],
)
def test_fields_that_are_no_entry_are_refused(broken: dict[str, str]) -> None:
    """Another version's record is named as such, not misread."""
    with pytest.raises(MalformedEntry):
        from_fields({"offset": "1", "kind": "chunk", "at": "0.0", **broken})


def test_missing_fields_are_refused() -> None:
    """Nothing is made up for a field that must be there."""
    with pytest.raises(MalformedEntry):
        from_fields({"offset": "1", "kind": "chunk"})


@pytest.mark.parametrize(
    ("held", "fields"),
    [
        (HeldChunk(7, "", 12.25), {"sequence": "7", "at": "12.25"}),
        (
            HeldChunk(8, "\ud83e", 0.1, Part(PartKind.TOOL_CALL, "{}")),
            {"sequence": "8", "at": "0.1", "content": "\ud83e", "part": "tool_call", "body": "{}"},
        ),
    ],
)
def test_a_held_chunk_is_stored_as_flat_fields(held: HeldChunk, fields: dict[str, str]) -> None:
    """As the bot sent it: half a pair is not carried yet, because the chunk before is missing."""
    assert held_to_fields(held) == fields
    assert held_from_fields(fields) == held


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"sequence": "1"},
        {"sequence": "x", "at": "0.0"},
        {"sequence": "1", "at": "noon"},
        {"sequence": "1", "at": "0.0", "part": "unheard", "body": "{}"},
        {"sequence": "1", "at": "0.0", "part": "tool_call"},
    ],
)
def test_fields_that_are_no_held_chunk_are_refused(fields: dict[str, str]) -> None:
    """Nothing is made up."""
    with pytest.raises(MalformedEntry):
        held_from_fields(fields)
