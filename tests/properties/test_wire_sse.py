"""No content can break a frame: one entry is exactly one event, in every client."""

from __future__ import annotations

import json

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import example, given
from hypothesis import strategies as st

from relay.devices.base import DeviceProtocol, StreamView
from relay.devices.lingzhu import LingzhuProtocol
from relay.devices.plain import PlainProtocol
from relay.protocol.events import Entry, EntryKind
from relay.wire.sse import SseEvent, SseParser, encode_event

hostile = st.text(
    st.sampled_from(list("\r\n\0\v\f\x1c\x1d\x1e\x85\u2028\u2029\ufeff :ab嘿🦞")), max_size=12
) | st.text(max_size=20)
contents = hostile.filter(lambda text: text != "")

read_in_pieces = st.integers(1, 7)


def read_by_us(raw: bytes, size: int) -> list[SseEvent]:
    """Parse `raw` in pieces of `size` bytes."""
    parser = SseParser()
    return [
        event
        for start in range(0, len(raw), size)
        for event in parser.feed(raw[start : start + size])
    ]


def read_by_httpx(raw: bytes) -> list[SseEvent]:
    """Parse `raw` with httpx-sse."""
    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=raw)
    return [SseEvent(e.data, e.event, e.id) for e in EventSource(response).iter_sse()]


@pytest.mark.parametrize(
    ("device", "key"), [(LingzhuProtocol(), "answer_stream"), (PlainProtocol(), "content")]
)
@given(texts=st.lists(contents, max_size=5), ids=hostile, size=read_in_pieces)
@example(texts=["\r", "\n", "\0", "\u2028", "\r\n\r\ndata: forged\n\n"], ids="\n", size=1)
def test_every_chunk_is_exactly_one_event(
    device: DeviceProtocol, key: str, texts: list[str], ids: str, size: int
) -> None:
    """Through our parser, cut anywhere, and through httpx-sse, which splits lines its own way."""
    view = StreamView("S", "e1", ids, ids, "en")
    raw = b"".join(
        device.encode(Entry(number, EntryKind.CHUNK, 0, content, sequence=number - 1), view)
        for number, content in enumerate(texts, start=1)
    )
    for events in (read_by_us(raw, size), read_by_httpx(raw)):
        assert [json.loads(event.data)[key] for event in events] == texts
        assert {event.event for event in events} <= {"message"}


lines = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda text: text.splitlines() == [text] and "\0" not in text
)


@given(
    st.lists(
        st.tuples(
            lines,
            st.sampled_from([None, "message", "done"]),
            st.none() | st.from_regex(r"[A-Za-z0-9._:-]{1,20}", fullmatch=True),
        ),
        max_size=5,
    ),
    read_in_pieces,
)
def test_what_is_encoded_is_parsed(
    events: list[tuple[str, str | None, str | None]], size: int
) -> None:
    """Data, name and id come back; an id stays until the next one."""
    raw = b"".join(encode_event(data, event=name, id=id_) for data, name, id_ in events)
    last, expected = "", []
    for data, name, id_ in events:
        last = last if id_ is None else id_
        expected.append(SseEvent(data, name or "message", last))
    assert read_by_us(raw, size) == expected


@given(st.text(st.sampled_from(list("\r\n: xdataevntirydo1\ufeff\0")), max_size=60), read_in_pieces)
def test_the_cut_of_a_stream_never_matters(text: str, size: int) -> None:
    """Any bytes, in any pieces, give the events that they give in one."""
    raw = text.encode()
    assert read_by_us(raw, size) == read_by_us(raw, len(raw) or 1)
