"""What is small on the wire and large in memory, or meant to be."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from websockets.asyncio.client import connect

from tests.support.bots import raw_bot, stream_of
from tests.support.glasses import Glasses, question
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

MB: Final = 1_048_576
GROWTH_MB: Final = 5.0
"""What an attack may leave in the relay's memory."""

HEAD: Final = (
    "GET /cable?sdk_token={token} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)


def resident_mb(relay: RelayServer) -> float:
    """The relay's memory just now."""
    assert relay.process is not None
    for line in Path(f"/proc/{relay.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A masked frame, with a mask of zeros."""
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65_536:
        head = bytes([first, 0xFE]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


async def close_code(relay: RelayServer, said: bytes) -> int:
    """Say this on a bot's socket; returns the code with which it is closed."""
    loop = asyncio.get_running_loop()
    # A bare socket: what had come before the relay closed can be read though a write has failed.
    with socket.create_connection(("127.0.0.1", relay.port)) as bare:
        bare.setblocking(False)
        await loop.sock_sendall(bare, HEAD.format(token=relay.bot().token).encode())
        answered = b""
        while b"\r\n\r\n" not in answered:
            answered += await loop.sock_recv(bare, 65_536)
        head, _, answered = answered.partition(b"\r\n\r\n")
        assert b"101" in head
        assert b"deflate" not in head
        with suppress(ConnectionError):
            await loop.sock_sendall(bare, said)
        with suppress(ConnectionError):
            # Not to the end: for the answer to its close, which is none here, the relay waits 10 s.
            while not (code := close_in(answered)) and (data := await loop.sock_recv(bare, 65_536)):
                answered += data
    return code or close_in(answered)


def close_in(answered: bytes) -> int:
    """The code of the close among these frames of the relay's; 0 where there is none yet."""
    while len(answered) >= 4 and answered[0] != 0x88:
        size, start = answered[1], 2
        if size == 126:
            size, start = int.from_bytes(answered[2:4], "big"), 4
        answered = answered[start + size :]
    return int.from_bytes(answered[2:4], "big")


async def healthy(relay: RelayServer) -> None:
    """A stream runs as if nothing had happened."""
    glasses = Glasses(relay.url, relay.key)
    async with (
        raw_bot(relay, number=1) as bot,
        glasses.ask(question(relay.bot(1).user_id)) as answer,
    ):
        await bot.answer(await bot.command(), ["still ", "here"])
        await answer.read()
    assert answer.text == "still here"


async def test_no_socket_is_compressed(relay: RelayServer) -> None:
    """The extension is offered and not taken; a frame that is compressed all the same is closed."""
    async with connect(
        f"{relay.cable_url}?sdk_token={relay.bot().token}", compression="deflate", proxy=None
    ) as socket:
        assert socket.protocol.extensions == []
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = compressor.compress(b"0" * (250 * MB)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < MB
    before = resident_mb(relay)
    assert await close_code(relay, frame(bomb[:-4], first=0xC1)) == 1002
    assert resident_mb(relay) - before < GROWTH_MB
    await healthy(relay)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (frame(b"[" * 262_145), 1009),
        (frame(b"a" * 200_000, first=0x01) + frame(b"a" * 200_000, first=0x80), 1009),
        (b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + b"a" * 100, 1009),
        (frame(b"{}") * 60_000, 1000),
    ],
    ids=["a large frame", "a large message in fragments", "2^63 bytes", "60,000 messages"],
)
async def test_what_is_too_much_is_closed_with_a_code(
    relay: RelayServer, said: bytes, code: int
) -> None:
    """And leaves nothing behind. `rate_limited` is a `disconnect` before a plain close."""
    before = resident_mb(relay)
    assert await close_code(relay, said) == code
    assert resident_mb(relay) - before < GROWTH_MB
    await healthy(relay)


async def test_deep_json_is_refused_and_costs_nothing(relay: RelayServer) -> None:
    """In a frame, in an identifier, in a payload, in a body: typed, and the connection lives."""
    deep = "[" * 30_000 + "]" * 30_000
    before = resident_mb(relay)
    async with raw_bot(relay) as bot:
        for raw in (deep, json.dumps({"command": "subscribe", "identifier": deep[:4000]})):
            start = len(bot.cable.frames)
            await bot.cable.send_raw(raw)
            answer = await bot.cable.wait(lambda f: f.get("type") == "error", after=start)
            assert answer["message"]["code"] == "malformed_json"
        await bot.cable.send(
            {"command": "message", "identifier": bot.identifier, "data": deep[:60_000]}
        )
        await bot.cable.wait_message("refused", code="malformed_json")
    glasses = Glasses(relay.url, relay.key)
    shown = await glasses.ask_and_read(b"[" * 500_000)
    assert shown.headers["relay-error"] == "bad_request"
    assert resident_mb(relay) - before < GROWTH_MB


async def test_a_stream_of_gaps_is_held_within_its_limits(relay: RelayServer) -> None:
    """Every second chunk of 8 KB, far beyond window and hold: refused by name, and not kept."""
    glasses = Glasses(relay.url, relay.key)
    before = resident_mb(relay)
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)) as answer:
        stream_id = stream_of(await bot.command())
        for sequence in range(1, 2_000, 2):
            chunk = {"type": "stream_chunk", "session_id": stream_id, "sequence": sequence}
            await bot.say({**chunk, "content": "g" * 8_192})
        await bot.until_silent()
        refused = [
            f["message"]["code"]
            for f in bot.cable.frames
            if isinstance(f.get("message"), dict) and f["message"].get("type") == "refused"
        ]
        assert len(refused) > 900
        assert set(refused) <= {"out_of_window", "hold_full", "credit_exceeded", "too_far_ahead"}
        assert resident_mb(relay) - before < GROWTH_MB
        await bot.say({"type": "stream_error", "session_id": stream_id, "error": "enough"})
        await answer.read()
    await healthy(relay)
