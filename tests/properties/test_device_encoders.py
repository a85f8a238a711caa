"""What an encoder of one stream makes is what its device protocol encodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.devices.base import DeviceProtocol, StreamView
from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.plain import PlainProtocol
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from relay.wire import parts

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["", "\r\n", "a\nb", "\u2028", "\0", '"\\', "<script>", "🦞", "\x7f\x85"]
)
NUMBER = st.none() | st.integers(0, 2**53 - 1)
PARTS = st.none() | st.sampled_from(
    [
        parts.follow_up(["Yes", "No 🦞"]),
        parts.tool_call({"command": "take_photo"}),
    ]
)
ENTRIES = st.builds(
    Entry,
    offset=st.integers(1, 2**31),
    kind=st.sampled_from(EntryKind),
    at=st.floats(0, 2e9),
    content=TEXT,
    sequence=NUMBER,
    carry=st.sampled_from(["", "\ud83e"]),
    total_chunks=NUMBER,
    outcome=st.none() | st.sampled_from(Outcome),
    part=PARTS,
)
VIEWS = st.builds(
    StreamView,
    stream_id=TEXT.filter(bool),
    epoch=st.text("0123456789abcdef", min_size=1, max_size=8),
    conversation_id=TEXT,
    agent_id=TEXT,
    lang=st.sampled_from(["", "en", "zh", "fr"]),
)


@pytest.mark.parametrize("device", [LingzhuProtocol(), PlainProtocol()], ids=["lingzhu", "plain"])
@given(view=VIEWS, entries=st.lists(ENTRIES, min_size=1, max_size=4))
def test_an_encoder_of_a_stream_writes_what_the_protocol_does(
    device: DeviceProtocol, view: StreamView, entries: list[Entry]
) -> None:
    """Byte by byte, also for entries of kinds that no stream has in this order."""
    encode = device.encoder(view).encode
    for entry in entries:
        expected: bytes | type[Exception]
        try:
            expected = device.encode(entry, view)
        except (AssertionError, KeyError, TypeError, ValueError) as error:
            expected = type(error)
        if isinstance(expected, bytes):
            assert encode(entry) == expected
        else:
            with pytest.raises(expected):
                encode(entry)
