"""The least of WebSocket, HTTP and SSE that a load generator needs, and nothing that costs."""

from __future__ import annotations

import asyncio
import re
import struct
import time
from typing import Final

MARK: Final = re.compile(rb"#(\d{6})")
"""The sequence of a chunk, as its content carries it."""

MARK_BYTES: Final = 7

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a client's frame. Its mask is 0, which RFC 6455 allows and which costs nothing."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    else:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    return head + bytes(4) + payload


class BotSocket(asyncio.Protocol):
    """A bot's side: what comes in is counted, and looked at only until the stream starts."""

    def __init__(self, *, is_websocket: bool) -> None:
        loop = asyncio.get_running_loop()
        self.upgraded: asyncio.Future[None] = loop.create_future()
        self.confirmed: asyncio.Future[None] = loop.create_future()
        self.asked: asyncio.Future[bytes] = loop.create_future()
        self.answers = 0
        self.bytes_read = 0
        self._buffer = bytearray()
        self._is_websocket = is_websocket
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket."""
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.bytes_read += len(data)
        if not self._is_websocket:
            self.answers += 1
            return
        self._buffer += data
        if not self.upgraded.done():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in self._buffer[:32]:
                self.upgraded.set_exception(ConnectionError(self._buffer[:200].decode("latin-1")))
                return
            del self._buffer[: end + 4]
            self.upgraded.set_result(None)
        while self._take_frame():
            pass

    def _take_frame(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        size, start = buffer[1] & 0x7F, 2
        if size == 126:
            if len(buffer) < 4:
                return False
            size, start = int.from_bytes(buffer[2:4], "big"), 4
        elif size == 127:
            if len(buffer) < 10:
                return False
            size, start = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < start + size:
            return False
        opcode, payload = buffer[0] & 0x0F, bytes(buffer[start : start + size])
        del buffer[: start + size]
        if opcode == PING:
            self.write(frame(payload, PONG))
        elif opcode == TEXT:
            self._text(payload)
        return True

    def _text(self, payload: bytes) -> None:
        self.answers += 1
        if not self.confirmed.done() and b"confirm_subscription" in payload:
            self.confirmed.set_result(None)
        elif not self.asked.done() and b"execute_command" in payload:
            self.asked.set_result(payload)


class DeviceSocket(asyncio.Protocol):
    """A device's side: notes when each marked chunk could be read."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        """The first bytes have come."""
        self.closed: asyncio.Future[None] = loop.create_future()
        self.read_at: dict[int, float] = {}
        """By sequence, in seconds of the monotonic clock."""
        self.repeated = 0
        self.bytes_read = 0
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket."""
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.take(data, time.monotonic())

    def take(self, data: bytes, now: float) -> None:
        """Note what came at this time."""
        self.bytes_read += len(data)
        if not self.begun.done():
            self.begun.set_result(None)
        data, end = self._tail + data, 0
        for match in MARK.finditer(data):
            sequence, end = int(match[1]), match.end()
            if sequence in self.read_at:
                self.repeated += 1
            self.read_at.setdefault(sequence, now)
        # A mark may be cut in two; what was found may not be found again.
        self._tail = data[max(end, len(data) - MARK_BYTES + 1) :]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's word
        """See `asyncio.Protocol`."""
        if not self.closed.done():
            self.closed.set_result(None)
