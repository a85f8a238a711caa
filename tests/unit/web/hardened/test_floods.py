"""What is small, cheap to send and dear to decode: it has an end, and holds nobody up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.web.hardened.http import BODY_CHUNKS_MAX
from relay.web.hardened.websocket import FRAGMENTS_MAX, has_flooded
from tests.unit.web.ways import Way

TIMEOUT_S = 10.0
READ = 262_144
END = b"\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
BOTH_WAYS = pytest.mark.parametrize("way", [Way.FAST, Way.PLAIN])
ALL_WAYS = pytest.mark.parametrize("way", list(Way))

POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A masked frame, with a mask of zeros."""
    assert len(payload) < 126
    return bytes([0x80 * fin | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


class App:
    """Counts what it is given."""

    def __init__(self, way: Way) -> None:
        self.messages: list[str] = []
        self.body = b""
        self.scope: Scope = {}
        self.gone = asyncio.Event()
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            self.scope = scope
            await self._way.listen_to(scope, receive, send, self.messages.extend)
            self.gone.set()
            return
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            self.body += message["body"]
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


@asynccontextmanager
async def serving(way: Way, app: ASGIApp | None = None) -> AsyncIterator[int]:
    """Serve as the relay does; yields the port."""
    async with asyncio.timeout(TIMEOUT_S), way.serve(app or App(way)) as port:
        yield port


async def send_and_read(port: int, hello: bytes, rest: bytes) -> bytes:
    """Say both, and return what is answered to the rest until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(hello)
    if hello is UPGRADE:
        await reader.readuntil(END)
    writer.write(rest)
    answered = b""
    with suppress(ConnectionError):  # cut, with much of it unread
        while data := await reader.read(65_536):
            answered += data
    writer.close()
    return answered


def close_of(answered: bytes) -> tuple[int, str]:
    """The code and the reason of the close frame at the end."""
    payload = answered[answered.rindex(b"\x88") + 2 :]
    return int.from_bytes(payload[:2], "big"), payload[2:].decode()


@ALL_WAYS
@pytest.mark.parametrize(
    ("hello", "piece", "close"),
    [
        (b"", frame(9), (1008, "rate_limited")),
        (b"", frame(10), (1008, "rate_limited")),
        (frame(1, b"a", fin=False), frame(0, fin=False), (1009, "too many fragments")),
    ],
    ids=["pings", "pongs", "fragments"],
)
async def test_a_flood_of_the_smallest_frames_has_an_end(
    way: Way, hello: bytes, piece: bytes, close: tuple[int, str]
) -> None:
    """Of whatever kind: the connection is closed, with a code that says why.

    And the application may know, behind it: whoever floods may be slow to be let in again.
    """
    app = App(way)
    async with serving(way, app) as port:
        answered = await send_and_read(port, UPGRADE, hello + piece * (FRAGMENTS_MAX + 1))
        assert close_of(answered) == close
        await app.gone.wait()
        assert has_flooded(app.scope)


@ALL_WAYS
@pytest.mark.parametrize(
    "rest",
    [frame(8, b"\x03\xe8"), frame(1, b"\xff"), frame(3), b"".join([frame(9)] * 20) + frame(8)],
    ids=["a close", "no text", "a reserved opcode", "some pings"],
)
async def test_any_other_end_is_no_flood(way: Way, rest: bytes) -> None:
    """A client that says goodbye, or is broken, comes back as it likes."""
    app = App(way)
    async with serving(way, app) as port:
        await send_and_read(port, UPGRADE, rest)
        await app.gone.wait()
        assert not has_flooded(app.scope)


@ALL_WAYS
async def test_a_flood_in_one_read_holds_nobody_up(way: Way) -> None:
    """Half a second of decoding, as uvicorn does it; here the loop turns all the while."""
    app = App(way)
    async with serving(way, app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE)
        await asyncio.sleep(0.05)
        worst = 0.0
        flood = frame(1, b"{}") * (READ // 8)
        writer.write(flood)
        loop = asyncio.get_running_loop()
        while len(app.messages) < READ // 8:
            before = loop.time()
            await asyncio.sleep(0)
            worst = max(worst, loop.time() - before)
        writer.close()
    assert worst < 0.25, "one read in one turn takes 0.5 s here; on a busy machine more"


@ALL_WAYS
async def test_a_large_burst_arrives_whole_and_in_order(way: Way) -> None:
    """A bot that resends much is no attacker: portions lose and swap nothing."""
    app = App(way)
    texts = [f"chunk {number} 嘿" for number in range(20_000)]
    async with serving(way, app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE)
        await asyncio.sleep(0.05)
        writer.write(b"".join(frame(1, text.encode()) for text in texts))
        while len(app.messages) < len(texts):  # noqa: ASYNC110 - a socket has no event for it
            await asyncio.sleep(0.001)
        writer.close()
    assert app.messages == texts


@ALL_WAYS
async def test_text_that_is_no_text_ends_the_connection_without_a_traceback(
    way: Way,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Code 1007; uvicorn alone logs an error for each, which strangers could fill a disk with."""
    caplog.set_level(logging.INFO)
    async with serving(way) as port:
        answered = await send_and_read(port, UPGRADE, frame(1, b"\xf4a"))
    assert close_of(answered)[0] == 1007
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@BOTH_WAYS
async def test_a_body_of_tiny_chunks_is_refused(way: Way) -> None:
    """A typed 413: each chunk costs as much as one of a kilobyte."""
    async with serving(way) as port:
        answered = await send_and_read(port, POST, b"1\r\na\r\n" * (2 * BODY_CHUNKS_MAX))
    head, _, body = answered.partition(END)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["code"] == "limit_reached"


@BOTH_WAYS
async def test_a_body_of_tiny_chunks_ends_an_answer_that_has_begun(way: Way) -> None:
    """It has its status already: the connection is closed, and whoever writes it hears of it."""
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await way.answer_until_lost(scope, receive)
        gone.set()

    async with serving(way, app) as port:
        hello = POST + b"1\r\na\r\n"
        answered = await send_and_read(port, hello, b"1\r\na\r\n" * (2 * BODY_CHUNKS_MAX))
        await gone.wait()
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert answered.endswith(b"\r\nfirst\r\n")


@BOTH_WAYS
async def test_a_large_body_in_large_chunks_arrives(way: Way) -> None:
    """As clients send one: 16 KiB at a time."""
    app = App(way)
    chunk = b"4000\r\n" + b"x" * 16_384 + b"\r\n"
    async with serving(way, app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + chunk * 64 + b"0\r\n\r\n")
        assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 204")
        writer.close()
    assert app.body == b"x" * 1_048_576


@BOTH_WAYS
async def test_requests_behind_each_other_are_answered_one_by_one(way: Way) -> None:
    """More of them than one portion holds, on one connection."""
    count = 300
    async with serving(way) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        for _ in range(count):
            assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 204")
        writer.close()
