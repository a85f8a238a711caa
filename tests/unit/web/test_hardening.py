"""What uvicorn's protocols lack: a deadline and a limit for heads, and an end to pings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from relay.server import server_config
from relay.web.hardening import HEAD_BYTES_MAX, HEAD_DEADLINE_S, UNREAD_BYTES_MAX, HardenedHttp
from relay.web.listener import listen

REQUEST = b"GET / HTTP/1.1\r\nHost: relay\r\n"
END = b"\r\n\r\n"
TIMEOUT_S = 10.0


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Stage:
    """A protocol on a wire, and the timers that it set."""

    def __init__(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        config = server_config(app)
        config.load()
        self.loop = asyncio.get_running_loop()
        self.state = ServerState()
        self.protocol = HardenedHttp(config, self.state, {}, self.loop)
        self.wire = Wire()

    def connect(self) -> None:
        self.protocol.connection_made(self.wire)

    def say(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def deadline(self) -> asyncio.TimerHandle | None:
        """The timer of the head that is awaited; None where none is."""
        return self.protocol._deadline  # noqa: SLF001 - else the test would wait for it

    def expire(self) -> None:
        """Let the deadline pass."""
        deadline = self.deadline()
        assert deadline is not None
        assert deadline.when() <= self.loop.time() + HEAD_DEADLINE_S
        deadline.cancel()
        self.protocol._too_late()  # noqa: SLF001

    async def answered(self) -> None:
        """Wait until the application has answered."""
        while self.state.tasks:
            await asyncio.wait(self.state.tasks)

    def refusal(self) -> tuple[bytes, str]:
        """The status line, and the code of the typed error."""
        head, _, body = self.wire.written.partition(END)
        return head.splitlines()[0], json.loads(body)["code"]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A peer that has connected."""
    stage = Stage()
    stage.connect()
    yield stage
    stage.protocol.connection_lost(ConnectionResetError())


async def test_a_connection_that_says_nothing_is_closed_with_a_word(stage: Stage) -> None:
    """Slowloris: the deadline runs from the connection on, and a dribble does not move it."""
    deadline = stage.deadline()
    assert deadline is not None
    stage.say(REQUEST)
    stage.say(b"X-Slow: 1\r\n")
    assert stage.deadline() is deadline
    stage.expire()
    assert stage.refusal() == (b"HTTP/1.1 408 Request Timeout", "bad_request")
    assert stage.wire.closed


async def test_a_head_in_time_ends_the_deadline(stage: Stage) -> None:
    """The answer may take as long as it likes."""
    stage.say(REQUEST + b"\r\n")
    assert stage.deadline() is None
    await stage.answered()
    assert stage.wire.written.startswith(b"HTTP/1.1 204")
    assert not stage.wire.closed


async def test_the_next_request_of_a_kept_connection_has_a_deadline_too(stage: Stage) -> None:
    """From its first byte on; until then uvicorn's own limit for idle connections holds."""
    stage.say(REQUEST + b"\r\n")
    await stage.answered()
    assert stage.deadline() is None
    stage.say(b"GET")
    assert stage.deadline() is not None
    stage.expire()
    assert stage.wire.closed


@pytest.mark.parametrize("pieces", [1, 1000])
async def test_a_head_that_is_too_large_is_refused(stage: Stage, pieces: int) -> None:
    """Whether it comes at once or bit by bit; nothing of it reaches the application."""
    head = REQUEST + b"X-Large: " + b"x" * HEAD_BYTES_MAX + END
    size = len(head) // pieces + 1
    for start in range(0, len(head), size):
        if not stage.wire.closed:
            stage.say(head[start : start + size])
    assert stage.refusal() == (
        b"HTTP/1.1 431 Request Header Fields Too Large",
        "limit_reached",
    )
    assert stage.wire.closed
    assert not stage.state.tasks


async def test_a_large_head_within_the_limit_is_served(stage: Stage) -> None:
    """The limit is about the head; a body behind it in the same packet is not counted."""
    head = REQUEST + b"Content-Length: 40000\r\nX-Large: "
    head += b"x" * (HEAD_BYTES_MAX - len(head)) + END
    stage.say(head + b"b" * 40_000)
    await stage.answered()
    assert stage.wire.written.startswith(b"HTTP/1.1 204")


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """Run uvicorn as the relay runs it; yields its port."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(server_config(app))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.001)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


async def flood_with(data: bytes, writer: asyncio.StreamWriter, total: int) -> None:
    """Send the same again and again, as fast as it is taken."""
    for _ in range(total // len(data)):
        writer.write(data)
        await writer.drain()


async def test_a_flood_of_pings_is_cut_and_not_kept() -> None:
    """The peer reads nothing: its pongs would gather in our memory without end."""
    gone = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        gone.set()

    async with serving(app) as port, asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101" in await reader.readuntil(END)
        ping = b"\x89\xfd" + b"\0\0\0\0" + b"x" * 125
        flood = ping * 1_000
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # noqa: SLF001
        with pytest.raises(ConnectionError):
            await flood_with(flood, writer, 100 * UNREAD_BYTES_MAX)
        await gone.wait()
        writer.close()
