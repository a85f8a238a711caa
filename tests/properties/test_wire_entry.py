"""What is stored is what comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.protocol.events import Entry, EntryKind, Part, PartKind, Position
from relay.protocol.status import Outcome
from relay.wire.entry import (
    MalformedPosition,
    format_position,
    from_fields,
    parse_position,
    to_fields,
)

counts = st.integers(0, 10**15 - 1)
epochs = st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True)
entries = st.builds(
    Entry,
    offset=counts,
    kind=st.sampled_from(EntryKind),
    at=st.floats(allow_nan=False, allow_infinity=False),
    content=st.text(),
    sequence=st.none() | counts,
    carry=st.just("") | st.characters(min_codepoint=0xD800, max_codepoint=0xDBFF, codec=None),
    total_chunks=st.none() | counts,
    outcome=st.none() | st.sampled_from(Outcome),
    part=st.none() | st.builds(Part, st.sampled_from(PartKind), st.text()),
)


@given(entries)
def test_an_entry_survives_storage(entry: Entry) -> None:
    """As flat fields that UTF-8 can say, to the last bit of its time."""
    fields = to_fields(entry)
    stored = {key.encode(): value.encode() for key, value in fields.items()}
    assert from_fields({key.decode(): value.decode() for key, value in stored.items()}) == entry


@given(epochs, counts)
def test_a_position_survives_its_token(epoch: str, offset: int) -> None:
    """Whatever the epoch's alphabet allows."""
    position = Position(epoch, offset)
    assert parse_position(format_position(position)) == position


@given(st.text(st.sampled_from("ab.0179-_ \n\0é"), max_size=12))
def test_only_tokens_of_the_relay_are_read(token: str) -> None:
    """What is read at all is written back the same: there is one token for each position."""
    try:
        position = parse_position(token)
    except MalformedPosition:
        return
    assert format_position(position) == token
