"""Clients that do what no library would: stall, send everything at once, say things twice."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Object = dict[str, Any]
IDENTIFIER = '{"channel":"BotChannel","protocol":2,"sdk":"faults/1"}'


class RawBot:
    """A bot of protocol 2 that does nothing by itself. Every message is kept with its time."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[tuple[float, Object]] = []
        self.closed_at = 0.0
        self._news = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with suppress(ConnectionClosed, OSError):
            async for raw in self.socket:
                frame = json.loads(raw)
                message = frame.get("message")
                told = message if isinstance(message, dict) else frame
                self.messages.append((time.monotonic(), told))
                self._news.set()
        self.closed_at = time.monotonic()
        self._news.set()

    async def gone(self) -> None:
        """Wait until the connection is closed."""
        await self._reading

    async def until(self, done: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait for something that messages bring about."""
        async with asyncio.timeout(timeout_s):
            while not done():
                self._news.clear()
                await self._news.wait()

    async def message(self, kind: str, **like: Any) -> tuple[float, Object]:
        """Wait for a message of this type with these fields; returns it and when it came."""

        def found() -> list[tuple[float, Object]]:
            return [
                (at, told)
                for at, told in self.messages
                if told.get("type") == kind and like.items() <= told.items()
            ]

        await self.until(lambda: bool(found()))
        return found()[0]

    async def say(self, *messages: Object) -> None:
        """Send these messages."""
        for message in messages:
            await self.socket.send(frame_of(message))

    async def asked(self, number: int = 0) -> Object:
        """Wait for the question of this number; returns the command."""

        def commands() -> list[Object]:
            return [told for _, told in self.messages if told.get("type") == "execute_command"]

        await self.until(lambda: len(commands()) > number)
        return commands()[number]


def frame_of(message: Object) -> str:
    """Return a message of the bot's subscription as text."""
    data = json.dumps(message)
    return json.dumps({"command": "message", "identifier": IDENTIFIER, "data": data})


def chunk(stream_id: str, sequence: int, content: str) -> Object:
    """Return a chunk."""
    return {
        "type": "stream_chunk",
        "session_id": stream_id,
        "sequence": sequence,
        "content": content,
    }


def end(stream_id: str, total: int) -> Object:
    """Return an end."""
    return {"type": "stream_end", "session_id": stream_id, "total_chunks": total}


def masked(texts: Sequence[str]) -> bytes:
    """Return these texts as WebSocket frames of a client, with a mask of zeros (RFC 6455, 5.3)."""
    parts = []
    for text in texts:
        data = text.encode()
        size = len(data)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        parts += [head, b"\0\0\0\0", data]
    return b"".join(parts)


@asynccontextmanager
async def raw_bot(url: str, token: str) -> AsyncIterator[RawBot]:
    """Connect and subscribe."""
    async with connect(
        f"{url.replace('http', 'ws')}/cable",
        additional_headers={"Authorization": f"Bearer {token}"},
        subprotocols=[Subprotocol("actioncable-v1-json")],
        compression=None,
        ping_interval=None,
        close_timeout=0.1,
    ) as connection:
        bot = RawBot(connection)
        await connection.send(json.dumps({"command": "subscribe", "identifier": IDENTIFIER}))
        await bot.message("connected")
        try:
            yield bot
        finally:
            connection.transport.abort()
            await bot.gone()


@contextmanager
def stalled_reader(port: int, path: str, *, buffer: int = 4_096) -> Iterator[socket.socket]:
    """A device that asks for a stream and then reads nothing of it."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        reader.connect(("127.0.0.1", port))
        reader.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        yield reader


@contextmanager
def unplugged(*ports: int) -> Iterator[None]:
    """Drop every packet from and to these ports of 127.0.0.1: nobody hears of anybody's end."""
    rules = [
        ["INPUT", "-i", "lo", "-p", "tcp", way, str(port), "-j", "DROP"]
        for port in ports
        for way in ("--sport", "--dport")
    ]
    try:
        for rule in rules:
            _iptables("-I", rule)
        yield
    finally:
        for rule in rules:
            with suppress(subprocess.CalledProcessError):
                _iptables("-D", rule)


def _iptables(command: str, rule: Sequence[str]) -> None:
    subprocess.run(
        ["iptables", "-w", "10", command, *rule],
        check=True,
        env={"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"},
        capture_output=True,
    )
