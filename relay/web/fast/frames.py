"""WebSocket frames, the server's half (RFC 6455, section 5), once the handshake is over.

`FrameReader.feed` takes bytes, cut anywhere, and returns what the client said; the functions
make what is written to it. No extension is negotiated, so no reserved bit may be set. Nothing
here does I/O: whoever has the socket answers a `Ping`, and closes with what `failure` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from relay.web.fast.controls import Binary, Close, Control, Ping, Pong

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the compiled part
    from websockets.utils import apply_mask

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
"""The opcodes (section 11.8). 0 continues a message."""

CONTROL_BYTES_MAX: Final = 125
"""A control frame's payload (section 5.5). A length above says how many bytes hold the length."""

_SHORT: Final = 126
_LONG: Final = 127
"""What stands for a length: 2 or 8 bytes with it follow."""

_HEAD: Final = 2
_MASK: Final = 4
"""Bytes of the first part of a head, and of the mask at its end."""

FRAGMENTS_MAX: Final = 256
"""How many may follow a message's first one. SDKs send none."""

CONTROLS_MAX: Final = 64
"""How many may wait in `control`. Peers send one in several seconds, and each of a flood would be
an object before anybody could count them."""

_CODE_BYTES: Final = 2

_CODES = ((1000, 1003), (1007, 1014), (3000, 4999))
"""The codes that a close frame may state (section 7.4)."""

_FINAL_TEXT: Final = 0x81

_NO_TEXT = "a text message is UTF-8"


class CloseCode(IntEnum):
    """Why a connection is closed (section 7.4.1), as far as the relay says it itself."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012


@dataclass(frozen=True, slots=True)
class Failure:
    """The client broke the rules, so the connection is failed (section 7.1.7)."""

    code: CloseCode
    reason: str
    is_flood: bool = False
    """Whether it was nothing but too many frames."""


class FrameReader:
    """What a client sends, one connection's bytes after the other.

    `message_bytes_max` is the limit of a message with all its fragments, `fragments_max` of how
    many follow its first. `control` is what came beside the text messages, if anything, to be taken
    by the caller. Once `failure` is set, or a `Close` has come, everything that is fed is ignored.
    """

    __slots__ = (
        "_closed",
        "_fragments",
        "_fragments_max",
        "_fragments_size",
        "_is_text",
        "_max",
        "_need",
        "_parts",
        "control",
        "failure",
    )

    def __init__(self, message_bytes_max: int, fragments_max: int = FRAGMENTS_MAX) -> None:
        self._max = message_bytes_max
        self._fragments_max = fragments_max
        self._parts: list[bytes] = []
        """What came of a frame that is not complete; joined once `_need` bytes are here."""
        self._need = 0
        self._fragments: list[bytes] | None = None
        self._fragments_size = 0
        self._is_text = False
        self._closed = False
        self.control: list[Control] | None = None
        self.failure: Failure | None = None

    def feed(self, data: bytes) -> list[str]:
        """Return the text messages that these bytes complete, in order."""
        if self._closed:
            return []
        if self._need:
            self._parts.append(data)
            self._need -= len(data)
            if self._need > 0:
                return []
            data = b"".join(self._parts)
            self._parts, self._need = [], 0
        received: list[str] = []
        self._take(data, received)
        return received

    def _take(self, data: bytes, received: list[str]) -> None:
        """Take the frames that are complete, and keep the beginning of the next one."""
        at, size = 0, len(data)
        while size - at >= _HEAD:
            length, start = data[at + 1] - 0x80, at + _HEAD + _MASK
            if length >= _SHORT:
                start += 2 if length == _SHORT else 8
                if start - _MASK > size:
                    break
                if length == _SHORT:  # as nearly all of these are
                    length = data[at + _HEAD] << 8 | data[at + _HEAD + 1]
                else:
                    length = int.from_bytes(data[at + _HEAD : start - _MASK])
                if length > self._max - self._fragments_size:
                    self._fail(CloseCode.TOO_BIG, f"a message has at most {self._max} bytes")
                    break
            elif length < 0:
                self._fail(CloseCode.PROTOCOL_ERROR, "a client's frames are masked")
                break
            end = start + length
            if end > size:
                break
            payload = apply_mask(data[start:end], data[start - _MASK : start])
            if data[at] == _FINAL_TEXT and self._fragments is None:  # the usual frame
                try:
                    received.append(payload.decode())
                except UnicodeDecodeError:
                    self._fail(CloseCode.INVALID_DATA, _NO_TEXT)
            else:
                self._frame(data[at], payload, received)
            if self._closed:
                break
            at = end
        if at < size and not self._closed:
            self._keep(data[at:] if at else data)

    def _keep(self, rest: bytes) -> None:
        """Keep the beginning of a frame; one that trickles in is joined once, and not each time."""
        self._parts, self._need = [rest], 1
        if len(rest) < _HEAD:
            return
        length, start = rest[1] & 0x7F, _HEAD + _MASK
        if length >= _SHORT:
            start += 2 if length == _SHORT else 8
            if start - _MASK > len(rest):
                return
            length = int.from_bytes(rest[_HEAD : start - _MASK])
        self._need = start + length - len(rest)

    def _frame(self, first: int, payload: bytes, received: list[str]) -> None:
        final, opcode = bool(first & 0x80), first & 0x0F
        if first & 0x70:
            self._fail(CloseCode.PROTOCOL_ERROR, "no extension was negotiated")
        elif opcode >= CLOSE:
            self._control(opcode, payload, final=final)
        elif opcode == 0:
            self._continue(payload, received, final=final)
        elif opcode > BINARY:
            self._fail(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        elif self._fragments is not None:
            self._fail(CloseCode.PROTOCOL_ERROR, "a message began within another")
        else:
            self._is_text = opcode == TEXT
            self._fragments, self._fragments_size = [], 0
            self._continue(payload, received, final=final)

    def _continue(self, payload: bytes, received: list[str], *, final: bool) -> None:
        if self._fragments is None:
            self._fail(CloseCode.PROTOCOL_ERROR, "there is no message to continue")
            return
        self._fragments_size += len(payload)
        self._fragments.append(payload)
        # An empty one costs something as well: a flood of them must have an end, too.
        if len(self._fragments) > self._fragments_max + 1:
            self._fail(CloseCode.TOO_BIG, "too many fragments", is_flood=True)
            return
        if self._fragments_size > self._max:
            self._fail(CloseCode.TOO_BIG, f"a message has at most {self._max} bytes")
            return
        if not final:
            return
        message, self._fragments, self._fragments_size = b"".join(self._fragments), None, 0
        if self._is_text:
            self._text(message, received)
        else:
            self._tell(Binary(len(message)))

    def _text(self, payload: bytes, received: list[str]) -> None:
        try:
            received.append(payload.decode())
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, _NO_TEXT)

    def _tell(self, control: Control) -> None:
        if self.control is None:
            self.control = []
        self.control.append(control)

    def _control(self, opcode: int, payload: bytes, *, final: bool) -> None:
        if not final or len(payload) > CONTROL_BYTES_MAX:
            self._fail(CloseCode.PROTOCOL_ERROR, "a control frame is short and whole")
        elif len(self.control or ()) >= CONTROLS_MAX:
            self._fail(CloseCode.POLICY, "rate_limited", is_flood=True)
        elif opcode == PING:
            self._tell(Ping(payload))
        elif opcode == PONG:
            self._tell(Pong(payload))
        elif opcode == CLOSE:
            self._close(payload)
        else:
            self._fail(CloseCode.PROTOCOL_ERROR, f"opcode {opcode} is reserved")

    def _close(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:_CODE_BYTES]) if payload else None
        if code is not None and (len(payload) < _CODE_BYTES or not _may_be_sent(code)):
            self._fail(CloseCode.PROTOCOL_ERROR, "the close frame states no valid code")
            return
        try:
            payload[_CODE_BYTES:].decode()
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "the reason of a close is UTF-8")
            return
        self._closed = True
        self._tell(Close(code))

    def _fail(self, code: CloseCode, reason: str, *, is_flood: bool = False) -> None:
        self._closed = True
        self.failure = Failure(code, reason, is_flood)


def text(message: str) -> bytes:
    """Return a text message as one frame."""
    payload = message.encode()
    size = len(payload)
    return (_TEXT_HEADS[size] if size < _HEADS else _head(TEXT, size)) + payload


def texts(messages: Sequence[str]) -> bytes:
    """Return each text message as one frame, one behind the other."""
    return text(messages[0]) if len(messages) == 1 else b"".join(map(text, messages))


def frame(opcode: int, payload: bytes) -> bytes:
    """Return one unmasked, final frame."""
    return _head(opcode, len(payload)) + payload


def _head(opcode: int, size: int) -> bytes:
    """Return what stands before an unmasked payload of this size."""
    if size <= CONTROL_BYTES_MAX:
        return bytes((0x80 | opcode, size))
    if size >> 16:
        return bytes((0x80 | opcode, _LONG)) + size.to_bytes(8)
    return bytes((0x80 | opcode, _SHORT, size >> 8, size & 0xFF))


_HEADS: Final = 1024
_TEXT_HEADS: Final = [_head(TEXT, size) for size in range(_HEADS)]
"""What stands before a short text, as nearly all are: looked up, not made."""


def close(code: int | None, reason: str = "") -> bytes:
    """Return a close frame; None states no code. The reason is cut to what fits."""
    if code is None:
        return frame(CLOSE, b"")
    words = reason.encode()[: CONTROL_BYTES_MAX - _CODE_BYTES].decode(errors="ignore").encode()
    return frame(CLOSE, code.to_bytes(_CODE_BYTES) + words)


def _may_be_sent(code: int) -> bool:
    """Whether an endpoint may state this code in a close frame."""
    return any(first <= code <= last for first, last in _CODES)
