"""A WebSocket proxy before the relay's /cable that drops, repeats, delays and cuts by chance.

    async with WeatherProxy(relay.port, Weather(dropped=0.1), Random(1)) as proxy:
        Bot(proxy.url, token)

Only what either side has to say again is touched. A command is said once: who loses it has lost
the question, not the answer.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

_SUBPROTOCOLS = [Subprotocol("actioncable-v1-json")]
_TOUCHED = frozenset({"stream_chunk", "stream_end", "ack", "missing", "stream_closed"})


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely each is for a message, in either direction."""

    dropped: float = 0.0
    repeated: float = 0.0
    delayed: float = 0.0
    cut: float = 0.0
    delay_s: float = 0.05
    """What a delayed message, and all that is behind it, waits."""


class WeatherProxy:
    """Listens on a free port of this machine. `did` counts what it has done."""

    def __init__(self, port: int, weather: Weather, random: Random) -> None:
        self.url = ""
        self.did: Counter[str] = Counter()
        self._relay = f"ws://127.0.0.1:{port}"
        self._weather = weather
        self._random = random
        self._server = serve(
            self._forward,
            "127.0.0.1",
            0,
            subprotocols=_SUBPROTOCOLS,
            compression=None,
            close_timeout=0.1,
        )

    async def __aenter__(self) -> Self:
        server = await self._server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.server.close()
        await self._server.server.wait_closed()

    async def _forward(self, bot: ServerConnection) -> None:
        assert bot.request is not None
        async with connect(
            self._relay + bot.request.path,
            additional_headers={"Authorization": bot.request.headers["Authorization"]},
            subprotocols=_SUBPROTOCOLS,
            compression=None,
            close_timeout=0.1,
        ) as relay:
            ways = [asyncio.create_task(self._pump(*way)) for way in ((bot, relay), (relay, bot))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.wait(ways)
            for socket in (bot, relay):
                socket.transport.abort()

    async def _pump(
        self, source: ServerConnection | ClientConnection, sink: ServerConnection | ClientConnection
    ) -> None:
        try:
            async for frame in source:
                copies = 1
                if _kind(frame) in _TOUCHED:
                    if self._happens("cut", self._weather.cut):
                        return
                    if self._happens("delayed", self._weather.delayed):
                        await asyncio.sleep(self._weather.delay_s)
                    if self._happens("dropped", self._weather.dropped):
                        copies = 0
                    elif self._happens("repeated", self._weather.repeated):
                        copies = 2
                for _ in range(copies):
                    await sink.send(frame)
        except ConnectionClosed:
            return

    def _happens(self, what: str, likely: float) -> bool:
        happens = self._random.random() < likely
        self.did[what] += happens
        return happens


def _kind(frame: str | bytes) -> str:
    """Return the type of the inner message, or "" for a frame of the transport."""
    outer = json.loads(frame)
    inner = json.loads(outer["data"]) if "data" in outer else outer.get("message")
    return str(inner.get("type", "")) if isinstance(inner, dict) else ""
