"""What peers of a hardened server say, what it is that they reach, and a wire to look at."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.unit.web.ways import Way

REQUEST = b"GET / HTTP/1.1\r\nHost: relay\r\n"
END = b"\r\n\r\n"
TIMEOUT_S = 10.0

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

BOTH_WAYS = pytest.mark.parametrize("way", [Way.FAST, Way.PLAIN])
ALL_WAYS = pytest.mark.parametrize("way", list(Way))


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.socket: TcpSocket | None = None

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.socket if name == "socket" and self.socket is not None else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class TcpSocket:
    """Keeps the options that are set."""

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.options.append((level, name, value))


def patient(way: Way) -> ASGIApp:
    """An application that waits for the end of a WebSocket, and answers anything else with 204."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await way.listen_to(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    return app
