"""`Last-Event-ID`, and the entries that a broker gives back."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from relay.errors import BadRequest
from relay.protocol.events import Entry, EntryKind, Part, PartKind, Position
from relay.protocol.status import Outcome
from relay.web.worker_api import _position
from relay.wire.entry import (
    MalformedEntry,
    MalformedPosition,
    format_position,
    from_fields,
    held_from_fields,
    parse_position,
    to_fields,
)
from tests.fuzz.pieces import SEPARATOR, fields, text
from tests.fuzz.target import Target

_NAMES: Final = ("offset", "kind", "at", "content", "sequence", "carry", "total_chunks", "outcome")


def check(data: bytes) -> None:
    """A position is exactly what we wrote; an entry is one, or says that it is none."""
    token = text(data)
    with suppress(MalformedPosition):
        assert format_position(parse_position(token)) == token
    with suppress(BadRequest):
        assert _position(token) is not None
    values = map(text, fields(data, len(_NAMES) + 2))
    given = dict(zip((*_NAMES, "part", "body"), values, strict=True))
    given = {name: value for name, value in given.items() if value}
    with suppress(MalformedEntry):
        held_from_fields(given)
    try:
        entry = from_fields(given)
    except MalformedEntry:
        return
    if entry.at == entry.at:  # not a number that equals nothing
        assert from_fields(to_fields(entry)) == entry


def seeds() -> list[bytes]:
    """An entry of each kind, and positions."""
    entries = [
        Entry(1, EntryKind.CHUNK, 1.5, "x", sequence=0, carry="\ud83e"),
        Entry(2, EntryKind.CHUNK, 2.0, "", sequence=1, part=Part(PartKind.FOLLOW_UP, '["a"]')),
        Entry(3, EntryKind.END, 3.0, outcome=Outcome.COMPLETED, total_chunks=2),
    ]
    written = [to_fields(entry) for entry in entries]
    rows = [[one.get(name, "") for name in (*_NAMES, "part", "body")] for one in written]
    positions = [format_position(Position("e-1", 17)).encode(), b"17", b"e.017", b"e.-1"]
    return [*(SEPARATOR.join(cell.encode() for cell in row) for row in rows), *positions]


TARGET: Final = Target(check, seeds)
