"""What an SDK device reads: the parser of events, and both readers of what they say."""

from __future__ import annotations

from typing import Final

from relay.devices.base import StreamView
from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.plain import PlainProtocol
from relay.protocol.events import Entry, EntryKind
from relay.protocol.status import Outcome
from relay.wire import parts
from relay.wire.sse import SseEvent, SseParser
from relay_sdk.device_events import Ended, LingzhuReader, PlainReader
from tests.fuzz.pieces import cut, number
from tests.fuzz.target import Target

_VIEW: Final = StreamView("S", "e1", "1740000000000", "agent", "zh")


def check(data: bytes) -> None:
    """Where the bytes are cut changes nothing, and no event of anybody breaks a reader."""
    whole = _parse([data])
    assert _parse(cut(data, 1 + number(data, 6))) == whole
    plain, lingzhu = PlainReader(), LingzhuReader()
    for event in whole[0]:
        for reader in (plain, lingzhu):
            for shown in reader.read(event):
                assert not isinstance(shown, Ended) or type(shown.whole) is bool


def _parse(pieces: list[bytes]) -> tuple[list[SseEvent], str, int | None]:
    parser = SseParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events, parser.last_event_id, parser.retry_ms


def seeds() -> list[bytes]:
    """Whole answers of both protocols, and the line ends that the standard allows."""
    call = parts.tool_call({"command": "take_photo"})
    entries = [
        Entry(1, EntryKind.CHUNK, 0, "嘿", sequence=0),
        Entry(2, EntryKind.CHUNK, 0, "", sequence=1, part=call),
        Entry(3, EntryKind.REPAIR, 0, "again"),
        Entry(4, EntryKind.GAP, 0, "…"),
        Entry(5, EntryKind.END, 0, outcome=Outcome.REPAIRED, total_chunks=3),
    ]
    answers = [
        b": stream S\n\nretry: 1000\n" + b"".join(device.encode(one, _VIEW) for one in entries)
        for device in (PlainProtocol(), LingzhuProtocol())
    ]
    reset = PlainProtocol().encode_reset(_VIEW)
    ends = [answers[0].replace(b"\n", end) for end in (b"\r", b"\r\n")]
    return [*answers, *ends, reset, b"\xef\xbb\xbfdata\n\ndata:\ndata: \n\nid: a\0b\nid\n\n"]


TARGET: Final = Target(check, seeds, long_bytes=32_768)
