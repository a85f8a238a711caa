"""What a peer has sent, in portions, so that no peer holds the loop.

One read of a socket brings up to 256 KiB, and uvicorn decodes all of it before anybody else gets
a turn. A bot's chunks of that size take 15 ms; pings, empty fragments or one-byte chunks of a
body, six bytes each, take half a second, as often as somebody sends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl

PORTION_BYTES: Final = 256
"""42 of the smallest frames, or half a millisecond; most of what an ordinary request has."""

TURN_S: Final = 0.0001
"""How long one connection decodes before the others have their turn."""

TURN_BYTES: Final = 32_768
"""How much one connection decodes before that, however quick it is."""


async def others_first() -> None:
    """Let everybody else read and write: a handshake is as much work as some twenty chunks.

    In the first pass of the event loop they read, and what they have to write is written behind
    this in the second.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)


class Portions:
    """What one connection has sent, as far as its protocol has not taken it yet.

    `take` is what decodes. `ready` is whether the protocol would read on by itself: it is not where
    it waits for its application, and says `go_on` once that has caught up. `turn_over` is called
    behind the last portion of each turn: for who decodes portions, and acts on turns.
    """

    __slots__ = (
        "_at",
        "_data",
        "_loop",
        "_ready",
        "_take",
        "_transport",
        "_turn",
        "portion_bytes",
        "turn_over",
        "turn_s",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        take: Callable[[bytes], object],
        ready: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._take = take
        self._ready = ready
        self._data = b""
        self._at = 0
        self._turn: asyncio.Handle | None = None
        self.portion_bytes = PORTION_BYTES
        self.turn_s = TURN_S
        self.turn_over: Callable[[], None] = _nothing_to_do

    @property
    def waiting(self) -> bool:
        """Whether something is left to take."""
        return bool(self._data)

    def feed(self, data: bytes) -> None:
        """Take what was read, as much as one turn allows; no more is read before the rest."""
        if self._data:
            self._data, self._at = self._data[self._at :] + data, 0
        elif len(data) <= self.portion_bytes:
            self._take(data)
            self.turn_over()
        else:
            self._data = data
            self._take_turn()

    def go_on(self) -> None:
        """The application has caught up: take on soon what is left."""
        if self._data:
            self._transport.pause_reading()
            self._schedule()

    def drop(self) -> bytes:
        """Forget what is left, and return it."""
        left = self._data[self._at :]
        self._data, self._at = b"", 0
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        return left

    def close(self) -> bytes:
        """Forget what is left, and return it, and whom it was for.

        They know each other: a garbage collector would have to find out that nobody else does.
        """
        self._take, self._ready, self.turn_over = _nothing, _not_ready, _nothing_to_do
        return self.drop()

    def _schedule(self) -> None:
        if self._turn is None:
            self._turn = self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        until, end = self._loop.time() + self.turn_s, self._at + TURN_BYTES
        while self._at < len(self._data) and not self._transport.is_closing():
            portion = self._data[self._at : self._at + self.portion_bytes]
            self._at += self.portion_bytes
            self._take(portion)
            if self._at >= end or self._loop.time() >= until:
                break
        self.turn_over()
        if self._transport.is_closing():
            self.drop()
        elif self._at < len(self._data):
            self._transport.pause_reading()
            if self._ready():
                self._schedule()
        else:
            self.drop()
            if self._ready():
                self._transport.resume_reading()


class Flow(FlowControl):
    """Reads on only behind what was read already.

    Its event is made for who waits for it: it takes 0.8 KB, and most sockets are never full.
    """

    def __init__(self, transport: asyncio.Transport, portions: Portions) -> None:
        self._transport = transport
        self._portions = portions
        self._writable: asyncio.Event | None = None
        self.read_paused = self.write_paused = False

    async def drain(self) -> None:
        """See `FlowControl`."""
        if self.write_paused:
            self._writable = self._writable or asyncio.Event()
            await self._writable.wait()

    def pause_writing(self) -> None:
        """See `FlowControl`."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """See `FlowControl`."""
        self.write_paused = False
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def resume_reading(self) -> None:
        """See `FlowControl`."""
        super().resume_reading()
        self._portions.go_on()


def _nothing(_: bytes) -> None: ...


def _nothing_to_do() -> None: ...


def _not_ready() -> bool:
    return False
