"""What peers of a hardened server say, what it is that they reach, and a wire to look at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from relay.limits.door import Door
from relay.web.hardened.config import HardenedConfig
from relay.web.hardened.doorstep import Doorstep
from relay.web.hardened.heads import HEAD_DEADLINE_S, HEAD_DEADLINE_SPREAD
from relay.web.hardened.http import HardenedHttp
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
        self.peer: tuple[str, int] | None = None
        self.protocol = asyncio.BaseProtocol()

    def get_extra_info(self, name: str, default: object = None) -> object:
        known = {"socket": self.socket, "peername": self.peer}.get(name)
        return default if known is None else known

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.protocol

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class TcpSocket:
    """Keeps the options that are set."""

    def __init__(self) -> None:
        self.options: list[tuple[int, int, int]] = []

    def setsockopt(self, level: int, name: int, value: int) -> None:
        self.options.append((level, name, value))


class Stage:
    """A connection on a wire, and the timers that it set."""

    def __init__(self, way: Way, door: Door | None = None) -> None:
        config = way.config(patient(way))
        assert isinstance(config, HardenedConfig)
        config.door = door
        self.loop = asyncio.get_running_loop()
        self.state = ServerState()
        self.wire = Wire()
        make: Callable[..., asyncio.Protocol] = config.http_protocol_class
        self.wire.protocol = make(config, self.state, {}, self.loop)

    @property
    def protocol(self) -> Doorstep | HardenedHttp:
        """Who has the connection."""
        protocol = self.wire.protocol
        assert isinstance(protocol, Doorstep | HardenedHttp)
        return protocol

    @property
    def is_at_the_door(self) -> bool:
        """Whether nobody has begun to read what was said."""
        return isinstance(self.protocol, Doorstep)

    def connect(self) -> None:
        self.protocol.connection_made(self.wire)

    def say(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def say_in_pieces(self, data: bytes, pieces: int) -> None:
        """Say it, until the connection is closed."""
        size = len(data) // pieces + 1
        for start in range(0, len(data), size):
            if not self.wire.closed:
                self.say(data[start : start + size])

    def deadline(self) -> asyncio.TimerHandle | None:
        """The timer of the head that is awaited; None where none is."""
        return self.protocol._deadline  # noqa: SLF001 - else the test would wait for it

    def expire(self) -> None:
        """Let the deadline pass."""
        deadline = self.deadline()
        assert deadline is not None
        last = HEAD_DEADLINE_S * (1.0 + HEAD_DEADLINE_SPREAD)
        assert deadline.when() <= self.loop.time() + last
        deadline._run()  # noqa: SLF001 - as above
        deadline.cancel()

    async def answered(self) -> bytes:
        """Wait until the application has answered; returns what was written since."""
        protocol = self.protocol
        portions = protocol._portions if isinstance(protocol, HardenedHttp) else None  # noqa: SLF001
        while self.state.tasks or (portions is not None and portions.waiting):  # noqa: ASYNC110
            await asyncio.sleep(0)
        written, self.wire.written = self.wire.written, b""
        return written

    def refusal(self) -> tuple[bytes, str]:
        """The status line, and the code of the typed error."""
        head, _, body = self.wire.written.partition(END)
        return head.splitlines()[0], json.loads(body)["code"]


def patient(way: Way) -> ASGIApp:
    """An application that waits for the end of a WebSocket, and answers anything else with 204."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await way.listen_to(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    return app
