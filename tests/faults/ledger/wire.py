"""The WebSocket proxy between bots and relays: it reads every frame, and may lose or delay it."""

from __future__ import annotations

import asyncio
import heapq
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.typing import Subprotocol

from tests.faults.ledger.books import Object

_PROTOCOLS = [Subprotocol("actioncable-v1-json")]
_TOUCHED = frozenset({"stream_chunk", "ack", "chunk_received", "missing"})
_ENDS = frozenset({"stream_end", "stream_closed"})
"""Touched as well where bots say them again. A question is asked once."""

Socket = ServerConnection | ClientConnection


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely each is for a frame, in either direction."""

    dropped: float = 0.0
    repeated: float = 0.0
    reordered: float = 0.0
    delayed: float = 0.0
    delay_s: float = 0.05
    """The longest delay."""
    ends: bool = True
    """Whether ends are touched as well: a legacy bot says them once."""

    @property
    def is_fair(self) -> bool:
        """Whether every frame simply passes."""
        return self.dropped + self.repeated + self.reordered + self.delayed == 0


@dataclass(slots=True)
class Line:
    """One bot's connection, and the relay's behind it."""

    token: str
    bot: ServerConnection
    relay: ClientConnection
    opened_at: float
    connected_at: float = 0.0
    """When the relay has said `connected`."""
    aborted: bool = False

    def abort(self) -> None:
        """Break both connections without a goodbye."""
        self.aborted = True
        for socket in (self.bot, self.relay):
            socket.transport.abort()


@dataclass(slots=True)
class Wire:
    """Listens on a free port of this machine, and forwards to the relays in turn."""

    ports: list[int]
    heard: Callable[[Object, float], None]
    """Called with every message of a bot that is handed to a relay."""
    said: Callable[[Object, float], None]
    """Called with every message of a relay, whether or not the bot will get it."""
    random: Random
    weather: Weather = field(default_factory=Weather)
    did: Counter[str] = field(default_factory=Counter)
    lines: list[Line] = field(default_factory=list)
    refused: int = 0
    """How often no relay took a connection."""
    port: int = 0
    opened: list[Line] = field(default_factory=list)
    """All connections that there ever were."""
    _turns: count[int] = field(default_factory=count)

    @property
    def bots(self) -> int:
        """How many bots are connected; one that was cut off is none, noticed or not."""
        return sum(line.connected_at > 0 and not line.aborted for line in self.lines)

    async def start(self) -> Self:
        """Start to listen."""
        server = await serve(
            self._serve,
            "127.0.0.1",
            0,
            select_subprotocol=_offered,
            compression=None,
            ping_interval=None,
            close_timeout=0.1,
            max_size=2**20,
        )
        self.port = next(iter(server.sockets)).getsockname()[1]
        return self

    async def _serve(self, bot: ServerConnection) -> None:
        assert bot.request is not None
        headers = {}
        if (credential := bot.request.headers.get("Authorization")) is not None:
            headers["Authorization"] = credential
        relay = await self._connect(bot.request.path, headers)
        if relay is None:
            self.refused += 1
            bot.transport.abort()
            return
        token = (credential or bot.request.path).rpartition(" ")[2]
        line = Line(token, bot, relay, time.monotonic())
        self.lines.append(line)
        self.opened.append(line)
        ways = [
            asyncio.create_task(self._pump(bot, relay, to_relay=True, line=line)),
            asyncio.create_task(self._pump(relay, bot, to_relay=False, line=line)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.lines.remove(line)
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            line.abort()

    async def _connect(self, path: str, headers: dict[str, str]) -> ClientConnection | None:
        first = next(self._turns)
        ports = list(self.ports)
        for step in range(len(ports)):
            port = ports[(first + step) % len(ports)]
            with suppress(OSError, InvalidHandshake, TimeoutError):
                return await connect(
                    f"ws://127.0.0.1:{port}{path}",
                    additional_headers=headers,
                    subprotocols=_PROTOCOLS,
                    compression=None,
                    open_timeout=5,
                    close_timeout=0.1,
                    ping_interval=None,
                    max_size=2**20,
                )
        return None

    async def _pump(self, source: Socket, sink: Socket, *, to_relay: bool, line: Line) -> None:
        way = _Way(self, sink, line, to_relay=to_relay)
        sender = asyncio.create_task(way.run())
        try:
            async for frame in source:
                await way.put(frame)
        except (WebSocketException, OSError):
            return
        finally:
            # What the relay has said before it closed must still reach the bot.
            with suppress(WebSocketException, OSError):
                await way.flush()
            sender.cancel()


class _Way:
    """One direction of one connection."""

    def __init__(self, wire: Wire, sink: Socket, line: Line, *, to_relay: bool) -> None:
        self._wire = wire
        self._sink = sink
        self._line = line
        self._to_relay = to_relay
        self._waiting: list[tuple[float, int, str | bytes, Object | None]] = []
        self._numbers = count()
        self._news = asyncio.Event()

    async def put(self, frame: str | bytes) -> None:
        message = inner(frame)
        now = time.monotonic()
        if not self._to_relay and message is not None:
            if message.get("type") == "connected":
                self._line.connected_at = now
            self._wire.said(message, now)
        weather = self._wire.weather
        if weather.is_fair and not self._waiting:
            await self._send(frame, message)
            return
        for delay_s in self._copies(message, weather):
            heapq.heappush(self._waiting, (now + delay_s, next(self._numbers), frame, message))
        self._news.set()

    def _copies(self, message: Object | None, weather: Weather) -> list[float]:
        """Return the delay of each copy that is to be sent."""
        kind = message.get("type") if message is not None else None
        if kind not in _TOUCHED and not (weather.ends and kind in _ENDS):
            return [0.0]
        if self._happens("dropped", weather.dropped):
            return []
        delay_s = 0.0
        if self._happens("delayed", weather.delayed):
            delay_s = self._wire.random.uniform(0, weather.delay_s)
        elif self._happens("reordered", weather.reordered):
            delay_s = 0.005
        copies = [delay_s]
        if self._happens("repeated", weather.repeated):
            copies.append(delay_s + self._wire.random.uniform(0, weather.delay_s))
        return copies

    def _happens(self, what: str, likely: float) -> bool:
        happens = likely > 0 and self._wire.random.random() < likely
        self._wire.did[what] += happens
        return happens

    async def run(self) -> None:
        with suppress(WebSocketException, OSError):
            while True:
                self._news.clear()
                if not self._waiting:
                    await self._news.wait()
                    continue
                wait_s = self._waiting[0][0] - time.monotonic()
                if wait_s > 0:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), wait_s)
                    continue
                _, _, frame, message = heapq.heappop(self._waiting)
                await self._send(frame, message)

    async def flush(self) -> None:
        while self._waiting:
            _, _, frame, message = heapq.heappop(self._waiting)
            await self._send(frame, message)

    async def _send(self, frame: str | bytes, message: Object | None) -> None:
        if self._to_relay and message is not None:
            # Before it leaves: what a relay answers must find it in the books.
            self._wire.heard(message, time.monotonic())
        await self._sink.send(frame)


def _offered(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    # Existing SDKs offer none.
    return _PROTOCOLS[0] if _PROTOCOLS[0] in offered else None


def inner(frame: str | bytes) -> Object | None:
    """Return the message within a frame of the cable; None for the transport's own."""
    outer = json.loads(frame)
    message = outer.get("message")
    if "data" in outer and isinstance(outer["data"], str):
        message = json.loads(outer["data"])
    return message if isinstance(message, dict) else None
