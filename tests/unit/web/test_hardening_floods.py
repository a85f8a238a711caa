"""What is small, cheap to send and dear to decode: it has an end, and holds nobody up."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from relay.server import server_config
from relay.web.hardening import BODY_CHUNKS_MAX, FRAGMENTS_MAX
from relay.web.listener import listen

TIMEOUT_S = 10.0
READ = 262_144
END = b"\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """A masked frame, with a mask of zeros."""
    assert len(payload) < 126
    return bytes([0x80 * fin | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


class App:
    """Counts what it is given."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] != "websocket.disconnect":
                self.messages += [message["text"]] if "text" in message else []
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
async def serving(app: App) -> AsyncIterator[int]:
    """Serve as the relay does; yields the port."""
    listener = listen("127.0.0.1", 0)
    config = server_config(app)
    config.load()
    state = ServerState()
    make: Callable[..., asyncio.Protocol] = config.http_protocol_class
    server = await asyncio.get_running_loop().create_server(
        lambda: make(config=config, server_state=state, app_state={}), sock=listener
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield listener.getsockname()[1]
    finally:
        server.close()
        for task in list(state.tasks):
            task.cancel()


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
    hello: bytes, piece: bytes, close: tuple[int, str]
) -> None:
    """Of whatever kind: the connection is closed, with a code that says why."""
    async with serving(App()) as port:
        answered = await send_and_read(port, UPGRADE, hello + piece * (FRAGMENTS_MAX + 1))
        assert close_of(answered) == close


async def test_a_flood_in_one_read_holds_nobody_up() -> None:
    """Half a second of decoding, as uvicorn does it; here the loop turns all the while."""
    app = App()
    async with serving(app) as port:
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


async def test_a_large_burst_arrives_whole_and_in_order() -> None:
    """A bot that resends much is no attacker: portions lose and swap nothing."""
    app = App()
    texts = [f"chunk {number} 嘿" for number in range(20_000)]
    async with serving(app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(UPGRADE)
        await asyncio.sleep(0.05)
        writer.write(b"".join(frame(1, text.encode()) for text in texts))
        while len(app.messages) < len(texts):  # noqa: ASYNC110 - a socket has no event for it
            await asyncio.sleep(0.001)
        writer.close()
    assert app.messages == texts


async def test_text_that_is_no_text_ends_the_connection_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Code 1007; uvicorn alone logs an error for each, which strangers could fill a disk with."""
    caplog.set_level(logging.INFO)
    async with serving(App()) as port:
        answered = await send_and_read(port, UPGRADE, frame(1, b"\xf4a"))
    assert close_of(answered)[0] == 1007
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_body_of_tiny_chunks_is_refused() -> None:
    """A typed 413: each chunk costs as much as one of a kilobyte."""
    async with serving(App()) as port:
        answered = await send_and_read(port, POST, b"1\r\na\r\n" * (2 * BODY_CHUNKS_MAX))
    head, _, body = answered.partition(END)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["code"] == "limit_reached"


async def test_a_large_body_in_large_chunks_arrives() -> None:
    """As clients send one: 16 KiB at a time."""
    app = App()
    chunk = b"4000\r\n" + b"x" * 16_384 + b"\r\n"
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + chunk * 64 + b"0\r\n\r\n")
        assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 204")
        writer.close()
    assert app.body == b"x" * 1_048_576


async def test_requests_behind_each_other_are_answered_one_by_one() -> None:
    """More of them than one portion holds, on one connection."""
    count = 300
    async with serving(App()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        for _ in range(count):
            assert (await reader.readuntil(END)).startswith(b"HTTP/1.1 204")
        writer.close()
