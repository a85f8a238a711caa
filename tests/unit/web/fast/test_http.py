"""uvicorn's HTTP protocol, whose responses may be written straight to the socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from relay.server import server_config
from relay.web.fast.framing import Framing
from relay.web.fast.http import EXTENSION, FastHttp, stream_in
from relay.web.hardened import unfinished
from relay.web.hardened.listener import listen
from tests.unit.web.fakes import eventually

TIMEOUT_S = 10.0
HEAD = b" / HTTP/1.1\r\nHost: a\r\n"


class User:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def may_write(self) -> None:
        """Note it."""
        self.told.append("may write")

    def must_wait(self) -> None:
        """Note it."""
        self.told.append("must wait")

    def lost(self) -> None:
        """Note it."""
        self.told.append("lost")


class App:
    """Writes what it is told to, by the stream where one is offered."""

    def __init__(self) -> None:
        self.streams: list[FastHttp | None] = []
        self.user = User()
        self.claimed: list[bool] = []
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        stream = stream_in(scope)
        self.streams.append(stream)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        if stream is None:
            await send({"type": "http.response.body", "body": b"plainlast", "more_body": False})
            return
        self.claimed.append(stream.claim(self.user))
        stream.out.write(Framing().chunk_of(b"straight"))


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that offers its streams."""
    listener = listen("127.0.0.1", 0)
    config = server_config(app, fast=True)
    config.load()
    state = ServerState()
    make: Callable[..., asyncio.Protocol] = config.http_protocol_class
    server = await asyncio.get_running_loop().create_server(
        lambda: make(config=config, server_state=state, app_state={}), sock=listener
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", listener.getsockname()[1], limit=4_096
            )
            yield reader, writer
            writer.transport.abort()
    finally:
        server.close()
        for task in list(state.tasks):
            task.cancel()
        await eventually(lambda: not state.tasks)


async def test_what_is_written_straight_stands_between_what_goes_by_asgi() -> None:
    """And the connection is kept for a second request, which was sent with the first."""
    app = App()
    async with serving(app) as (reader, writer):
        writer.write((b"GET" + HEAD + b"\r\n") * 2)
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"transfer-encoding: chunked" in head.lower()
            assert await reader.readexactly(23) == b"5\r\nfirst\r\n8\r\nstraight\r\n"
            stream = app.streams[-1]
            assert stream is not None
            stream.finish(b"last")
            assert await reader.readexactly(14) == b"4\r\nlast\r\n0\r\n\r\n"
    assert (app.requests, app.claimed) == (2, [True, True])
    assert app.user.told == []


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"firstplainlast"),
        (b"HEAD" + HEAD + b"Connection: close\r\n\r\n", b""),
    ],
    ids=["HTTP/1.0", "HEAD"],
)
async def test_a_response_that_has_no_chunks_is_not_offered(request_: bytes, body: bytes) -> None:
    """To an old client the body ends with the connection; to HEAD there is none."""
    app = App()
    async with serving(app) as (reader, writer):
        writer.write(request_)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == body
    assert app.streams == [None]


async def test_a_client_that_is_gone_is_told_to_the_user() -> None:
    """Once, and only to who has the stream."""
    app = App()
    async with serving(app) as (reader, writer):
        writer.write(b"GET" + HEAD + b"\r\n")
        await reader.readuntil(b"straight\r\n")
        writer.transport.abort()
        await eventually(lambda: app.user.told == ["lost"])
        stream = app.streams[0]
        assert stream is not None
        assert not stream.claim(app.user)
        stream.finish(b"late")
        await asyncio.sleep(0)
    assert app.user.told == ["lost"]


async def test_a_reader_that_falls_behind_is_told_to_the_user_and_catches_up() -> None:
    """Full: `must_wait`; read again: `may_write`. Whoever claims a full one is told at once."""
    app = App()
    async with serving(app) as (reader, writer):
        writer.write(b"GET" + HEAD + b"\r\n")
        await reader.readuntil(b"straight\r\n")
        stream = app.streams[0]
        assert stream is not None
        framed = Framing().chunk_of(b"x" * 8_000_000)
        stream.out.write(framed)
        assert (stream.is_full, app.user.told) == (True, ["must wait"])
        second = User()
        assert stream.claim(second)
        assert second.told == ["must wait"]
        assert await reader.readexactly(len(framed)) == framed
        await eventually(lambda: second.told == ["must wait", "may write"])
        assert not stream.is_full


async def test_a_full_response_is_cut_at_once() -> None:
    """What its reader does not read would keep it."""
    app = App()
    async with serving(app) as (reader, writer):
        writer.write(b"GET" + HEAD + b"\r\n")
        await reader.readuntil(b"straight\r\n")
        stream = app.streams[0]
        assert stream is not None
        stream.out.write(Framing().chunk_of(b"x" * 8_000_000))
        stream.cut()
        await eventually(lambda: "lost" in app.user.told)


async def test_a_response_that_is_cut_has_a_moment_for_what_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader that takes it sees all of it; one that does not is cut all the same."""
    monkeypatch.setattr(unfinished, "CUT_S", 0.05)
    app = App()
    async with serving(app) as (reader, writer):
        writer.write(b"GET" + HEAD + b"\r\n")
        await reader.readuntil(b"straight\r\n")
        stream = app.streams[0]
        assert stream is not None
        stream.out.write(Framing().chunk_of(b"news"))
        stream.cut()
        assert await reader.read() == b"4\r\nnews\r\n"
    slow = App()
    async with serving(slow) as (reader, writer):
        writer.write(b"GET" + HEAD + b"\r\n")
        await reader.readuntil(b"straight\r\n")
        stream = slow.streams[0]
        assert stream is not None
        stream.transport.set_write_buffer_limits(high=16_000_000)
        stream.out.write(Framing().chunk_of(b"x" * 8_000_000))
        assert not stream.is_full
        stream.cut()
        await eventually(lambda: slow.user.told == ["lost"])


def test_a_scope_without_a_stream_offers_none() -> None:
    """Another server, or another extension of the name."""
    assert stream_in({"type": "http"}) is None
    assert stream_in({"type": "http", "extensions": None}) is None
    assert stream_in({"type": "http", "extensions": {EXTENSION: {}}}) is None
