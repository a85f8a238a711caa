"""Every cap of a stream and a frame, on a real relay: at it all is well, above it is an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.bots import RawBot, raw_bot, stream_of
from tests.support.cable import Frame
from tests.support.glasses import Glasses, question
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

CHUNK_BYTES_MAX = 16_384
FRAME_BYTES_MAX = 65_536
SEQUENCE_MAX = 1_000_000
HELD_BYTES_MAX = 262_144
NESTING_MAX = 16
HEAD_BYTES_MAX = 32_768
STREAM_BYTES_MAX = 300_000


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """The defaults, but for a stream that is full sooner."""
    return {"stream_bytes_max": str(STREAM_BYTES_MAX)}


@asynccontextmanager
async def asked(relay: RelayServer, glasses: Glasses) -> AsyncIterator[tuple[RawBot, str]]:
    """A bot with a question, whose answer is being read."""
    async with raw_bot(relay) as bot, glasses.ask(question(relay.bot().user_id)):
        yield bot, stream_of(await bot.command())


async def codes(bot: RawBot) -> list[tuple[object, object]]:
    """What was refused so far, and which sequence it was."""
    await bot.until_silent()
    return [(refused["code"], refused["sequence"]) for refused in bot.cable.messages("refused")]


async def test_the_greatest_sequence_is_one(relay: RelayServer, glasses: Glasses) -> None:
    """1,000,000 is a number of a chunk, if one that is too far ahead; 1,000,001 is none."""
    async with asked(relay, glasses) as (bot, stream_id):
        await bot.chunk(stream_id, SEQUENCE_MAX, "x")
        await bot.chunk(stream_id, SEQUENCE_MAX + 1, "x")
        assert await codes(bot) == [
            ("out_of_window", SEQUENCE_MAX),
            ("invalid_sequence", None),
        ]


@pytest.mark.parametrize("letter", ["x", "你"])
async def test_a_chunk_of_16_kib_is_taken_and_of_one_byte_more_is_not(
    relay: RelayServer, glasses: Glasses, letter: str
) -> None:
    """Measured in UTF-8."""
    width = len(letter.encode())
    most = letter * (CHUNK_BYTES_MAX // width) + "x" * (CHUNK_BYTES_MAX % width)
    async with asked(relay, glasses) as (bot, stream_id):
        await bot.chunk(stream_id, 0, most)
        await bot.acked(stream_id, 1)
        await bot.chunk(stream_id, 1, most + "x")
        assert await codes(bot) == [("chunk_too_large", 1)]


async def test_chunks_that_wait_are_taken_up_to_256_kib(
    relay: RelayServer, glasses: Glasses
) -> None:
    """What does not fit is refused by its number, and taken once the missing one has come."""
    size = CHUNK_BYTES_MAX - 64  # what each is charged beside its content
    fitting = HELD_BYTES_MAX // CHUNK_BYTES_MAX
    async with asked(relay, glasses) as (bot, stream_id):
        for sequence in range(1, fitting + 2):
            await bot.chunk(stream_id, sequence, "x" * size)
        assert await codes(bot) == [("hold_full", fitting + 1)]
        await bot.chunk(stream_id, 0, "y")
        await bot.chunk(stream_id, fitting + 1, "x" * size)
        await bot.acked(stream_id, fitting + 2)


async def test_a_stream_is_taken_up_to_its_size(relay: RelayServer, glasses: Glasses) -> None:
    """Then each further chunk is refused, and the stream can still be ended."""
    size = CHUNK_BYTES_MAX - 64
    fitting = STREAM_BYTES_MAX // CHUNK_BYTES_MAX
    async with asked(relay, glasses) as (bot, stream_id):
        await bot.chunks(stream_id, ["x" * size] * (fitting + 1))
        assert await codes(bot) == [("stream_full", fitting)]
        await bot.end(stream_id, ["x" * size] * fitting)
        closed = await bot.cable.wait_message("stream_closed", session_id=stream_id)
        assert (closed["outcome"], closed["total_chunks"]) == ("completed", fitting)


def padded(bot: RawBot, size: int) -> str:
    """A frame of exactly this many bytes, whose message is a ping."""
    frame: Frame = {"command": "message", "identifier": bot.identifier, "data": ""}
    data = '{"action":"ping","padding":"%s"}'
    empty = len(json.dumps({**frame, "data": data % ""}))
    return json.dumps({**frame, "data": data % ("x" * (size - empty))})


async def test_a_frame_of_64_kib_is_taken_and_of_one_byte_more_is_not(
    relay: RelayServer, glasses: Glasses
) -> None:
    """The connection lives on."""
    async with asked(relay, glasses) as (bot, _):
        await bot.cable.send_raw(padded(bot, FRAME_BYTES_MAX))
        # It is a ping: its answer is not the one that `codes` waits for.
        await bot.cable.wait_message("pong")
        assert await codes(bot) == []
        await bot.cable.send_raw(padded(bot, FRAME_BYTES_MAX + 1))
        assert await codes(bot) == [("frame_too_large", None)]


def nested(levels: int) -> str:
    """A ping with arrays so deep in it that the whole has this many levels."""
    return '{"action":"ping","deep":%s}' % ("[" * (levels - 1) + "]" * (levels - 1))


async def test_json_of_16_levels_is_taken_and_of_17_is_not(
    relay: RelayServer, glasses: Glasses
) -> None:
    """In a bot's message; and what a device sends is measured by the same code."""
    async with asked(relay, glasses) as (bot, _):
        for levels in (NESTING_MAX, NESTING_MAX + 1):
            data = nested(levels)
            frame = {"command": "message", "identifier": bot.identifier, "data": data}
            await bot.cable.send(frame)
        # The first of them is a ping, too: its answer is not the one that `codes` waits for.
        await bot.cable.wait_message("pong")
        assert await codes(bot) == [("malformed_json", None)]
    body = b'{"user_id":"x","deep":%s}' % (b"[" * NESTING_MAX + b"]" * NESTING_MAX)
    answer = await glasses.ask_and_read(body)
    assert answer.headers["relay-error"] == "bad_request"


@pytest.mark.parametrize("upgrade", [False, True], ids=["a request", "a WebSocket"])
async def test_headers_of_more_than_32_kib_are_refused(relay: RelayServer, upgrade: bool) -> None:
    """431 with a typed body, whatever the request would have been."""
    head = b"GET /cable HTTP/1.1\r\nHost: relay\r\n"
    if upgrade:
        head += b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(head + b"X-Large: " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "limit_reached"
