from __future__ import annotations

import asyncio
from typing import cast

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from bench.wire import PONG, BotSocket, DeviceSocket, frame


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None: ...


def parsed(data: bytes) -> Frame:
    """Read a client's frame as a server does."""
    reader = StreamReader()
    reader.feed_data(data)
    reading = Frame.parse(reader.read_exact, mask=True)
    with pytest.raises(StopIteration) as done:
        next(reading)
    return cast("Frame", done.value.value)


@pytest.mark.parametrize("size", [0, 125, 126, 5000])
def test_a_frame_is_one_that_a_server_reads(size: int) -> None:
    """Masked, as it must be, by a mask that changes nothing."""
    payload = b"x" * size
    assert parsed(frame(payload)) == Frame(Opcode.TEXT, payload)


def server_frame(payload: bytes, opcode: int = 1) -> bytes:
    """What a server sends: the same without a mask."""
    return Frame(Opcode(opcode), payload).serialize(mask=False)


async def test_a_bots_socket_reads_frames_however_they_are_cut() -> None:
    """The upgrade, the confirmation, the command, and answers to count."""
    bot = BotSocket(is_websocket=True)
    bot.connection_made(Transport())
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + b"".join(
        [
            server_frame(b'{"type":"confirm_subscription"}'),
            server_frame(b'{"message":{"type":"execute_command"}}' + b" " * 300),
            server_frame(b"x" * 70_000),
        ]
    )
    for byte in range(0, len(stream), 7):
        bot.data_received(stream[byte : byte + 7])
    assert bot.upgraded.done()
    assert bot.confirmed.done()
    assert b"execute_command" in await bot.asked
    assert bot.answers == 3


async def test_a_ping_is_answered() -> None:
    """A server that gets no pong closes in the middle of a run."""
    transport = Transport()
    bot = BotSocket(is_websocket=True)
    bot.connection_made(transport)
    bot.data_received(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + server_frame(b"hi", 9))
    assert transport.written == frame(b"hi", PONG)


async def test_a_refused_upgrade_is_an_error() -> None:
    """Not a wait without an end."""
    bot = BotSocket(is_websocket=True)
    bot.data_received(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    with pytest.raises(ConnectionError, match="403"):
        await bot.upgraded


@pytest.mark.parametrize("cut", range(1, 30))
async def test_a_device_finds_each_mark_once_however_it_is_cut(cut: int) -> None:
    """In one read, over two, and many in one."""
    device = DeviceSocket()
    data = b'data: {"a":"#000007x"}\n\n#000008#000009'
    device.data_received(data[:cut])
    device.data_received(data[cut:])
    assert list(device.read_at) == [7, 8, 9]
    assert device.repeated == 0


async def test_a_chunk_that_comes_twice_is_counted() -> None:
    """Its first time stands."""
    device = DeviceSocket()
    device.data_received(b"#000001")
    device.data_received(b"#000001")
    assert device.repeated == 1
