"""A WebSocket on a wire that keeps what is written, and an application that claims it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from relay.limits.door import Door
from relay.server import server_config
from relay.web.fast.websocket import FastWebSocket, socket_in
from tests.unit.web.fakes import eventually

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
EOF = b"<eof>"


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5)})
        self.protocol: FastWebSocket | None = None
        self.written = b""
        self.writes = 0
        self.done: list[str] = []
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)
        self.writes += 1

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.written += EOF

    def is_closing(self) -> bool:
        return bool(self.done)

    def is_reading(self) -> bool:
        return self.reading

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class User:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []
        self.sizes: list[int] = []

    def received(self, messages: Sequence[str], size: int) -> None:
        """Note it."""
        self.told += [("text", message) for message in messages]
        self.sizes.append(size)

    def received_binary(self, size: int) -> None:
        """Note it."""
        self.told.append(("binary", size))

    def may_write(self) -> None:
        """Note it."""
        self.told.append(("may write", None))

    def lost(self) -> None:
        """Note it."""
        self.told.append(("lost", None))


class Stage:
    """A protocol on a wire, and the application behind it."""

    def __init__(self, door: Door | None = None) -> None:
        self.wire, self.user, self.end = Wire(), User(), asyncio.Event()
        self.claims = True
        self.offered: list[FastWebSocket | None] = []
        self.accept = asyncio.Event()
        self.accept.set()
        config = server_config(self, fast=True, door=door)
        config.load()
        self.loop = asyncio.get_running_loop()
        self.state = ServerState()
        self.protocol = FastWebSocket(config, self.state, {}, self.loop)
        self.protocol.connection_made(self.wire)
        self.protocol.close_timeout = 0.01

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept, and claim the socket where it is offered."""
        await receive()
        await self.accept.wait()
        await send({"type": "websocket.accept", "headers": []})
        socket = socket_in(scope)
        self.offered.append(socket)
        if socket is not None and self.claims:
            socket.claim(self.user)
        await self.end.wait()

    def say(self, *data: bytes) -> None:
        """What the client sends, in these reads."""
        for one in data:
            self.protocol.data_received(one)

    async def open(self) -> None:
        """The handshake."""
        self.say(UPGRADE)
        await eventually(lambda: bool(self.offered))
        head, _, self.wire.written = self.wire.written.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101")

    async def stop(self) -> None:
        """The end of the test."""
        self.end.set()
        await eventually(lambda: not self.state.tasks)
        if not self.protocol.disconnected:
            self.protocol.connection_lost(ConnectionResetError())
