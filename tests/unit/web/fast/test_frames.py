"""Frames as RFC 6455 has them, cut anywhere, and every way to break its rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close as TheirClose
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from relay.web.fast import frames
from relay.web.fast.controls import Binary, Close, Ping, Pong
from relay.web.fast.frames import CloseCode, FrameReader

MAX = 70_000
MASK = b"\x01\x02\x03\x04"


def raw(first: int, payload: bytes, *, mask: bool = True, wide: int = 0) -> bytes:
    """A client's frame, byte by byte. `wide`: so many bytes for the length, even if fewer do."""
    size = len(payload)
    wide = wide or (0 if size <= 125 else 2 if size < 65_536 else 8)
    short = {0: size, 2: 126, 8: 127}[wide]
    head = bytes((first, (0x80 if mask else 0) | short)) + (size.to_bytes(wide) if wide else b"")
    if not mask:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def read(data: bytes, *, cut: int = 0) -> FrameReader:
    """Feed it in pieces of `cut` bytes; the texts are in `read.texts`."""
    reader = FrameReader(MAX)
    for at in range(0, len(data), cut or len(data) or 1):
        reader.feed(data[at : at + (cut or len(data))])
    return reader


@given(
    st.lists(st.text(max_size=300) | st.binary(max_size=125), max_size=6),
    st.integers(1, 400),
    st.booleans(),
)
def test_what_another_implementation_sends_is_read_however_it_is_cut(
    said: list[str | bytes], cut: int, in_fragments: bool
) -> None:
    """`websockets` writes it: texts, and pings between their fragments."""
    data = b""
    for one in said:
        if isinstance(one, bytes):
            data += Frame(Opcode.PING, one).serialize(mask=True)
            continue
        payload = one.encode()
        if in_fragments:
            middle = len(payload) // 2
            data += Frame(Opcode.TEXT, payload[:middle], fin=False).serialize(mask=True)
            data += Frame(Opcode.PING, b"between").serialize(mask=True)
            data += Frame(Opcode.CONT, payload[middle:]).serialize(mask=True)
        else:
            data += Frame(Opcode.TEXT, payload).serialize(mask=True)
    reader, texts = FrameReader(MAX), []
    for at in range(0, len(data), cut):
        texts += reader.feed(data[at : at + cut])
    assert texts == [one for one in said if isinstance(one, str)]
    pings = [one.payload for one in reader.control or () if isinstance(one, Ping)]
    assert [one for one in pings if one != b"between"] == [
        one for one in said if isinstance(one, bytes) and one != b"between"
    ]
    assert reader.failure is None


@given(
    st.text(max_size=70_000 // 4)
    | st.sampled_from(["x" * size for size in (125, 126, 1_023, 1_024, 65_536)])
)
def test_another_implementation_reads_what_is_written(message: str) -> None:
    """Every width of the length."""
    client = Protocol(CLIENT, max_size=None)
    client.receive_data(frames.text(message))
    (frame,) = client.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, bytes(frame.data).decode(), frame.fin) == (Opcode.TEXT, message, True)


@pytest.mark.parametrize("size", [125, 126, 255, 256, 1_000, 65_535, 65_536])
def test_a_length_of_every_width_is_read(size: int) -> None:
    """Whole, and what stands behind it."""
    data = raw(0x81, b"x" * size) + raw(0x81, b"next")
    assert FrameReader(MAX).feed(data) == ["x" * size, "next"]


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1002, "words"), (1009, "嘿" * 100)])
def test_another_implementation_reads_a_close(code: int, reason: str) -> None:
    """A reason that is too long is cut between characters."""
    frame = TheirClose.parse(frames.close(code, reason)[2:])
    assert frame.code == code
    assert reason.startswith(frame.reason)
    assert len(frame.reason) == min(len(reason), 41)
    assert frames.close(None) == b"\x88\x00"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw(0x81, b"hi", mask=False), CloseCode.PROTOCOL_ERROR),
        *((raw(0x81 | bit, b"hi"), CloseCode.PROTOCOL_ERROR) for bit in (0x40, 0x20, 0x10)),
        *((raw(0x80 | opcode, b""), CloseCode.PROTOCOL_ERROR) for opcode in (3, 7, 11, 15)),
        (raw(0x80, b"nothing to continue"), CloseCode.PROTOCOL_ERROR),
        (raw(0x01, b"a") + raw(0x81, b"b"), CloseCode.PROTOCOL_ERROR),
        (raw(0x01, b"a") + raw(0x82, b"b"), CloseCode.PROTOCOL_ERROR),
        *((raw(opcode, b"cut"), CloseCode.PROTOCOL_ERROR) for opcode in (0x08, 0x09, 0x0A)),
        (raw(0x89, b"x" * 126), CloseCode.PROTOCOL_ERROR),
        (raw(0x81, b"\xff"), CloseCode.INVALID_DATA),
        (raw(0x81, b"\xed\xa0\x80"), CloseCode.INVALID_DATA),
        (raw(0x01, b"\xe5") + raw(0x80, b"\x98"), CloseCode.INVALID_DATA),
        (raw(0x88, b"\x03"), CloseCode.PROTOCOL_ERROR),
        *(
            (raw(0x88, code.to_bytes(2)), CloseCode.PROTOCOL_ERROR)
            for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
        ),
        (raw(0x88, b"\x03\xe8\xff"), CloseCode.INVALID_DATA),
        (raw(0x81, b"x" * (MAX + 1)), CloseCode.TOO_BIG),
        (raw(0x81, b"")[:1] + b"\xff" + b"\xff" * 8, CloseCode.TOO_BIG),
        (raw(0x01, b"x" * MAX) + raw(0x80, b"x"), CloseCode.TOO_BIG),
        (raw(0x01, b"x" * 100) * 1, None),
        (raw(0x01, b"") + raw(0x00, b"") * (MAX + 1), CloseCode.TOO_BIG),
    ],
)
@pytest.mark.parametrize("cut", [0, 7])
def test_who_breaks_the_rules_is_failed_with_the_right_code(
    data: bytes, code: CloseCode | None, cut: int
) -> None:
    """Section 7.4.1 says which."""
    reader = read(data, cut=cut)
    assert (reader.failure and reader.failure.code) == code


def test_what_was_said_before_the_rules_were_broken_counts_and_nothing_after() -> None:
    """Also in one read."""
    reader = FrameReader(MAX)
    assert reader.feed(raw(0x81, b"a") + raw(0x83, b"") + raw(0x81, b"b")) == ["a"]
    assert reader.feed(raw(0x81, b"c")) == []


def test_nothing_is_read_behind_a_close() -> None:
    """Section 5.5.1."""
    reader = FrameReader(MAX)
    assert reader.feed(raw(0x81, b"a") + raw(0x88, b"\x03\xe8bye") + raw(0x81, b"b")) == ["a"]
    assert reader.feed(raw(0x81, b"c")) == []
    assert reader.control == [Close(1000)]
    assert (read(raw(0x88, b"")).control, reader.failure) == ([Close(None)], None)


def test_so_many_controls_may_come_together_and_no_more() -> None:
    """The rest of a flood is not even made into objects; texts before it are whole."""
    flood = raw(0x81, b"a") + raw(0x89, b"p") * frames.CONTROLS_MAX
    reader = FrameReader(MAX)
    assert (reader.feed(flood), reader.failure) == (["a"], None)
    assert reader.control is not None
    reader.control.clear()
    assert reader.feed(flood + raw(0x8A, b"one more")) == ["a"]
    assert len(reader.control) == frames.CONTROLS_MAX
    assert reader.failure is not None
    assert (reader.failure.code, reader.failure.reason) == (CloseCode.POLICY, "rate_limited")


def test_what_is_no_text_is_told_beside_the_texts() -> None:
    """Pongs nobody asked for included."""
    reader = FrameReader(MAX)
    data = raw(0x82, b"bytes") + raw(0x8A, b"") + raw(0x02, b"by") + raw(0x80, b"tes")
    assert reader.feed(data + raw(0x81, b"", wide=8) + raw(0x89, b"p")) == [""]
    assert reader.control == [Binary(5), Pong(b""), Binary(5), Ping(b"p")]


def test_a_large_message_that_trickles_in_is_not_copied_again_and_again() -> None:
    """Its pieces are kept as they came and joined once, not with each of them."""
    data = raw(0x81, b"x" * MAX)
    reader = FrameReader(MAX)
    texts = [text for at in range(len(data) - 1) for text in reader.feed(data[at : at + 1])]
    assert texts == []
    assert len(reader._parts) == pytest.approx(len(data), abs=20)  # noqa: SLF001 - see above
    assert reader.feed(data[-1:]) == ["x" * MAX]
