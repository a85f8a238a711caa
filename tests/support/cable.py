"""A WebSocket that speaks ActionCable for a test: every frame is kept and can be awaited."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Frame = dict[str, Any]
WAIT_S = 10.0


class Cable:
    """One connection. `frames` is everything that came, in order, pings left out."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.pings: list[Frame] = []
        self.closed = False
        self.on_frame: Callable[[Frame], Awaitable[None]] = _ignore
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for raw in self.socket:
                frame = json.loads(raw)
                (self.pings if frame.get("type") == "ping" else self.frames).append(frame)
                await self.on_frame(frame)
                async with self._news:
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        finally:
            self.closed = True
            async with self._news:
                self._news.notify_all()

    # --- sending ------------------------------------------------------------------------

    async def send(self, frame: Frame) -> None:
        """Send one frame."""
        await self.socket.send(to_json(frame))

    async def send_raw(self, text: str | bytes) -> None:
        """Send what may be no frame at all; bytes are a binary frame."""
        await self.socket.send(text)

    async def perform(self, identifier: str, payload: Frame) -> None:
        """Send one message of a channel."""
        data = to_json(payload)
        await self.send({"command": "message", "identifier": identifier, "data": data})

    async def subscribe(self, identifier: str) -> Frame:
        """Subscribe; returns the confirmation or the rejection."""
        start = len(self.frames)
        await self.send({"command": "subscribe", "identifier": identifier})
        return await self.wait(
            lambda frame: (
                frame.get("identifier") == identifier
                and str(frame.get("type")).endswith("_subscription")
            ),
            after=start,
        )

    # --- waiting ------------------------------------------------------------------------

    async def wait(self, wanted: Callable[[Frame], bool], *, after: int = 0) -> Frame:
        """Return the first wanted frame from number `after` on, whenever it came or comes."""

        def found() -> Frame | None:
            return next((frame for frame in self.frames[after:] if wanted(frame)), None)

        try:
            async with asyncio.timeout(WAIT_S), self._news:
                await self._news.wait_for(lambda: found() is not None or self.closed)
        except TimeoutError:
            pass
        frame = found()
        assert frame is not None, f"{'closed' if self.closed else 'no such frame'}: {self.frames}"
        return frame

    async def wait_message(self, kind: str, *, after: int = 0, **fields: object) -> Frame:
        """Return the first channel message of this type whose fields are these."""

        def wanted(frame: Frame) -> bool:
            message = frame.get("message")
            return (
                isinstance(message, dict)
                and message.get("type") == kind
                and all(message.get(name) == value for name, value in fields.items())
            )

        message: Frame = (await self.wait(wanted, after=after))["message"]
        return message

    async def wait_pings(self, count: int) -> None:
        """Wait for this many pings."""
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(lambda: len(self.pings) >= count)

    def messages(self, kind: str | None = None) -> list[Frame]:
        """The channel messages so far, of one type or all."""
        found = [f["message"] for f in self.frames if isinstance(f.get("message"), dict)]
        return [message for message in found if kind in (None, message.get("type"))]

    async def wait_closed(self) -> None:
        """Wait until the relay has closed the socket."""
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(lambda: self.closed)

    async def close(self) -> None:
        """Close the socket in good order."""
        await self.socket.close()
        await self._reader

    def abort(self) -> None:
        """Cut the connection without a word, as a process that was killed does."""
        self.socket.transport.abort()


async def _ignore(_frame: Frame) -> None:
    pass


def to_json(value: object) -> str:
    """Write JSON as JavaScript does: short, non-ASCII as it is, lone surrogates escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return json.dumps(value, separators=(",", ":"))
    return text


@asynccontextmanager
async def open_cable(
    url: str, *, bearer: str | None = None, subprotocols: tuple[str, ...] = ()
) -> AsyncIterator[Cable]:
    """Connect; existing SDKs offer no sub-protocol, and neither does this by default."""
    async with connect(
        url,
        compression=None,
        ping_interval=None,
        max_size=None,
        additional_headers={"Authorization": f"Bearer {bearer}"} if bearer else None,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
    ) as socket:
        cable = Cable(socket)
        try:
            yield cable
        finally:
            await cable.close()
