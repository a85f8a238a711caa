"""The relay's own reader of WebSocket frames, beside that of the library `websockets`."""

from __future__ import annotations

from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from relay.web.fast.controls import Binary, Close, Ping, Pong
from relay.web.fast.frames import FrameReader
from tests.fuzz.pieces import cut, fields, number
from tests.fuzz.target import Target

MESSAGE_BYTES_MAX: Final = 1_000

Said = tuple[list[object], int | None]
"""What came, and the code of a failure."""


def check(data: bytes) -> None:
    """Wherever the bytes are cut, the messages are those that the library finds, up to a failure.

    Codes of failures may differ: several rules may be broken at once.
    """
    size, raw = fields(data, 2)
    ours = _ours([raw])
    assert _ours(cut(raw, 1 + number(size, 6))) == ours
    theirs = _theirs(raw)
    if theirs is None:
        return
    assert ours[0] == theirs[0]
    if ours[1] is None and theirs[1] is not None:
        # Ours judges whole frames, but for their length; the library begins with their first byte.
        assert _waits(raw)
    else:
        assert (ours[1] is None) == (theirs[1] is None)


def _ours(pieces: list[bytes]) -> Said:
    reader, texts, control = FrameReader(MESSAGE_BYTES_MAX), list[object](), list[object]()
    for piece in pieces:
        texts += reader.feed(piece)
    for event in reader.control or ():
        match event:
            case Ping(payload):
                control.append(("ping", payload))
            case Pong(payload):
                control.append(("pong", payload))
            case Binary(size):
                control.append(("binary", size))
            case Close(code):
                control.append(("close", code))
    # Texts and the rest are told apart: how they lie in each other is a matter of the cuts.
    return [*texts, *control], None if reader.failure is None else int(reader.failure.code)


def _waits(raw: bytes) -> bool:
    reader = FrameReader(MESSAGE_BYTES_MAX)
    reader.feed(raw)
    return bool(reader._parts)  # noqa: SLF001 - nobody else need know


def _theirs(raw: bytes) -> Said | None:
    protocol = ServerProtocol(state=OPEN, max_size=MESSAGE_BYTES_MAX)
    protocol.receive_data(raw)
    texts, control = list[object](), list[object]()
    fragments: list[bytes] = []
    is_text = False
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        payload = bytes(frame.data)
        match frame.opcode:
            case Opcode.PING:
                control.append(("ping", payload))
            case Opcode.PONG:
                control.append(("pong", payload))
            case Opcode.CLOSE:
                code = int.from_bytes(payload[:2], "big") if payload else None
                control.append(("close", code))
            case opcode:
                is_text = is_text if opcode is Opcode.CONT else opcode is Opcode.TEXT
                fragments.append(payload)
                if not frame.fin:
                    continue
                whole, fragments = b"".join(fragments), []
                try:
                    (texts if is_text else control).append(
                        whole.decode() if is_text else ("binary", len(whole))
                    )
                except UnicodeDecodeError:
                    return [*texts, *control], 1007
    if "incomplete fragmented message" in str(protocol.parser_exc):
        return None  # stricter than RFC 6455, 5.4: a close may stand between two fragments
    failed = protocol.parser_exc is not None
    return [*texts, *control], 1002 if failed else None


def frame(first: int, payload: bytes, mask: bytes = bytes(4)) -> bytes:
    """A client's frame."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE, *size.to_bytes(2, "big")])
    return bytes([first]) + length + mask + payload


def seeds() -> list[bytes]:
    """A frame of each kind, in sequence, in fragments, and what breaks each rule."""
    text, masked = frame(0x81, "嘿".encode()), frame(0x81, b"abcd", b"\1\2\3\4")
    parts = frame(0x01, b"a") + frame(0x89, b"ping") + frame(0x00, b"b") + frame(0x80, b"c")
    close = frame(0x88, b"\x03\xe8bye")
    good = [text, masked, parts, close, frame(0x82, b"\0\1"), frame(0x8A, b""), frame(0x88, b"")]
    bad = [b"\x81\x01a", frame(0xC1, b"a"), frame(0x83, b""), frame(0x80, b""), frame(0x09, b"")]
    bad += [
        frame(0x89, b"x" * 126),
        frame(0x81, b"\xff"),
        frame(0x88, b"\x03"),
        frame(0x81, b"x" * 1001),
    ]
    bad += [frame(0x88, b"\x03\xed"), b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + bytes(4)]
    bad += [frame(0x01, b"a") + text, frame(0x01, b"x" * 600) + frame(0x80, b"x" * 600)]
    return [bytes(4) + b"\x1f" + one for one in (*good, *bad, b"".join(good))]


TARGET: Final = Target(check, seeds, long_bytes=65_536)
