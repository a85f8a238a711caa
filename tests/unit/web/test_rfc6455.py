"""RFC 6455 on a real socket: both ways to it answer alike, and as the standard says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, Protocol

from relay.wire.cable import SUMMARY_FRAME_BYTES_MAX
from tests.unit.web.fakes import Served

END = b"\r\n\r\n"
UPGRADE = (
    b"GET /cable?sdk_token=token-1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SUBSCRIBE = json.dumps({"command": "subscribe", "identifier": '{"channel":"BotChannel"}'})
"""What is answered with two frames, `connected` and `confirm_subscription`."""

TIMEOUT_S = 10.0


def frame(first: int, payload: bytes = b"", *, mask: bytes | None = b"\x11\x22\x33\x44") -> bytes:
    """A client's frame, byte by byte; None: without a mask."""
    size = len(payload)
    marked = 0x80 if mask is not None else 0
    if size <= 125:
        head = bytes((first, marked | size))
    elif size < 65_536:
        head = bytes((first, marked | 126)) + size.to_bytes(2)
    else:
        head = bytes((first, marked | 127)) + size.to_bytes(8)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@dataclass(slots=True)
class Peer:
    """A client that sends bytes and reads frames."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: list[Frame] = field(default_factory=list)
    protocol: Protocol = field(default_factory=lambda: Protocol(CLIENT, max_size=None))
    over: bool = False

    def send(self, *data: bytes) -> None:
        """Write this."""
        for one in data:
            self.writer.write(one)

    async def read(self) -> bool:
        """Read once; False at the end."""
        data = await self.reader.read(65_536)
        if not data:
            return False
        self.protocol.receive_data(data)
        self.frames += [one for one in self.protocol.events_received() if isinstance(one, Frame)]
        return True

    async def texts(self, number: int) -> list[str]:
        """The types of the first frames, once so many are here."""
        while len(self._texts()) < number:
            assert await self.read(), self.frames
        return self._texts()

    def _texts(self) -> list[str]:
        texts = [json.loads(bytes(one.data)) for one in self.frames if one.opcode is Opcode.TEXT]
        return [one.get("type") or one["message"]["type"] for one in texts]

    async def closed(self) -> tuple[int, str]:
        """Read to the end; returns what the close frame says."""
        while await self.read():
            pass
        last = self.frames[-1]
        assert last.opcode is Opcode.CLOSE, self.frames
        payload = bytes(last.data)
        return int.from_bytes(payload[:2]), payload[2:].decode()

    def controls(self, opcode: Opcode) -> list[bytes]:
        """The payloads of these frames."""
        return [bytes(one.data) for one in self.frames if one.opcode is opcode]


@asynccontextmanager
async def peer(web: Served) -> AsyncIterator[Peer]:
    """A bot after its welcome."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(UPGRADE)
        assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 101")
        one = Peer(reader, writer)
        assert await one.texts(1) == ["welcome"]
        yield one
        writer.transport.abort()


async def offline(web: Served) -> None:
    """Wait until the bot is taken for gone."""
    async with asyncio.timeout(TIMEOUT_S):
        while await web.node.is_online(1):  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


WELCOMED = ["welcome", "connected", "confirm_subscription"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(0x81, b"{}", mask=None), 1002),
        (frame(0xC1, b"{}"), 1002),
        (frame(0xA1, b"{}"), 1002),
        (frame(0x91, b"{}"), 1002),
        (frame(0x83), 1002),
        (frame(0x8B), 1002),
        (frame(0x80, b"alone"), 1002),
        (frame(0x01, b"a") + frame(0x81, b"b"), 1002),
        (frame(0x01, b"a") + frame(0x82, b"b"), 1002),
        (frame(0x09, b"in parts"), 1002),
        (frame(0x89, b"x" * 126), 1002),
        (frame(0x88, b"\x03"), 1002),
        (frame(0x88, (1005).to_bytes(2)), 1002),
        (frame(0x88, (999).to_bytes(2)), 1002),
        (frame(0x81, b"\xff"), 1007),
        (frame(0x01, b"\xe5") + frame(0x80, b"\x98"), 1007),
        (frame(0x81, b"x" * (SUMMARY_FRAME_BYTES_MAX + 1))[:2_000], 1009),
        (frame(0x01, b"x" * SUMMARY_FRAME_BYTES_MAX) + frame(0x80, b"x"), 1009),
        (b"\x81\xff" + b"\x7f" + b"\xff" * 7, 1009),
        (frame(0x01) + frame(0x00) * 1_100, 1009),
        (frame(0x89) * 400, 1008),
        (frame(0x8A) * 400, 1008),
        (frame(0x88, (1000).to_bytes(2) + b"bye"), 1000),
        (frame(0x88, (3001).to_bytes(2)), 3001),
    ],
    ids=[
        "no mask",
        "RSV1",
        "RSV2",
        "RSV3",
        "reserved opcode",
        "reserved control opcode",
        "nothing to continue",
        "a text within a text",
        "a binary within a text",
        "a ping in parts",
        "a long ping",
        "half a close code",
        "a close code that is none",
        "a close code below",
        "not UTF-8",
        "not UTF-8, in fragments",
        "too large",
        "too large, in fragments",
        "a length beyond all",
        "too many fragments",
        "pings",
        "pongs",
        "a close",
        "a close with an own code",
    ],
)
async def test_a_connection_is_closed_with_the_code_of_its_reason(
    web: Served, data: bytes, code: int
) -> None:
    """What was said before it is answered all the same."""
    async with peer(web) as one:
        one.send(frame(0x81, SUBSCRIBE.encode()))
        assert await one.texts(3) == WELCOMED
        one.send(data)
        assert (await one.closed())[0] == code
        await offline(web)


async def test_a_close_without_a_code_is_answered_without_one(web: Served) -> None:
    """Section 5.5.1."""
    async with peer(web) as one:
        one.send(frame(0x88))
        assert await one.closed() == (0, "")


async def test_a_ping_between_fragments_is_answered_before_the_message_is_whole(
    web: Served,
) -> None:
    """Section 5.4: control frames may stand between."""
    text = SUBSCRIBE.encode()
    async with peer(web) as one:
        one.send(frame(0x01, text[:10]), frame(0x89, b"now"), frame(0x00, text[10:20]))
        while one.controls(Opcode.PONG) != [b"now"]:
            assert await one.read()
        one.send(frame(0x89, b"again"), frame(0x80, text[20:]))
        assert await one.texts(3) == WELCOMED
        assert one.controls(Opcode.PONG) == [b"now", b"again"]


@pytest.mark.parametrize("mask", [bytes(4), b"\xff\x00\x80\x7f"])
async def test_a_message_that_comes_byte_by_byte_is_read(web: Served, mask: bytes) -> None:
    """Cut at each boundary, each byte in a read of its own."""
    async with peer(web) as one:
        data = frame(0x81, SUBSCRIBE.encode(), mask=mask) + frame(0x89, b"end", mask=mask)
        for at in range(len(data)):
            one.send(data[at : at + 1])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert await one.texts(3) == WELCOMED
        while one.controls(Opcode.PONG) != [b"end"]:
            assert await one.read()


async def test_a_message_that_is_cut_once_is_read_wherever_it_is_cut(web: Served) -> None:
    """Each of the boundaries of a head with two bytes of length, and some behind it."""
    noop = json.dumps({"command": "message", "identifier": "x" * 100, "data": "{}"}).encode()
    data = frame(0x81, noop)
    async with peer(web) as one:
        for number, at in enumerate((1, 2, 3, 4, 5, 6, 7, 8, 9, 50, len(data) - 1)):
            one.send(data[:at])
            await asyncio.sleep(0.002)
            one.send(data[at:])
            assert (await one.texts(number + 2))[-1] == "error"


async def test_several_frames_in_one_segment_are_acted_on_in_order(web: Served) -> None:
    """A close behind them included: what was said is answered first."""
    identifier = '{"channel":"BotChannel"}'

    def perform(action: str) -> bytes:
        data = json.dumps({"action": action})
        text = json.dumps({"command": "message", "identifier": identifier, "data": data})
        return frame(0x81, text.encode())

    async with peer(web) as one:
        one.send(frame(0x81, SUBSCRIBE.encode()) + perform("ping") + perform("status"))
        assert await one.texts(5) == [*WELCOMED, "pong", "status_response"]


async def test_frames_right_behind_the_request_are_not_taken_for_anything_else(
    web: Served,
) -> None:
    """No client may send before its handshake is answered; one that does is served."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(UPGRADE + frame(0x81, SUBSCRIBE.encode()))
        assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 101")
        one = Peer(reader, writer)
        assert await one.texts(3) == WELCOMED
        one.send(frame(0x88, b"\x03\xe8"))
        assert await one.closed() == (1000, "")
        writer.transport.abort()


async def test_a_wrong_frame_right_behind_the_request_is_answered_like_any_other(
    web: Served,
) -> None:
    """It waits until the handshake is answered: before, nobody could be told what is wrong."""
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(UPGRADE + b"\x81\x05naked")
        assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 101")
        code, _ = await Peer(reader, writer).closed()
        assert code == 1002
        writer.transport.abort()


async def test_a_client_that_says_no_more_is_let_go(web: Served) -> None:
    """Half a connection is none: a bot that cannot speak is no bot."""
    async with peer(web) as one:
        one.writer.write_eof()
        while await one.read():
            pass
        await offline(web)


async def test_our_close_waits_for_its_answer(web: Served) -> None:
    """The loser of two connections is told so, then 1000; its own close ends the connection."""
    async with peer(web) as older:
        older.send(frame(0x81, SUBSCRIBE.encode()))
        assert await older.texts(3) == WELCOMED
        async with peer(web) as newer:
            newer.send(frame(0x81, SUBSCRIBE.encode()))
            while not older.controls(Opcode.CLOSE):
                assert await older.read()
            assert (await older.texts(4))[-1] == "disconnect"
            assert older.controls(Opcode.CLOSE) == [(1000).to_bytes(2)]
            older.send(frame(0x89, b"late"), frame(0x88, (1000).to_bytes(2)))
            assert not await older.read()
            assert await newer.texts(3) == WELCOMED


async def test_the_library_that_sdks_use_talks_to_us(web: Served) -> None:
    """Fragments, pings, a long message, and both ways to close."""
    async with connect(
        f"ws://127.0.0.1:{web.port}/cable?sdk_token=token-1", compression=None, proxy=None
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
        await socket.send([SUBSCRIBE[:5], SUBSCRIBE[5:30], SUBSCRIBE[30:]])
        assert json.loads(await socket.recv())["message"]["type"] == "connected"
        assert await (await socket.ping(b"payload")) >= 0.0
        assert json.loads(await socket.recv())["type"] == "confirm_subscription"
        await socket.close(1000, "done")
        assert socket.close_code == 1000
        with pytest.raises(ConnectionClosed):
            await socket.recv()
