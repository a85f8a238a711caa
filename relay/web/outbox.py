"""What waits to be written to one socket, and the one writer that writes it.

Putting never blocks, never creates a task and never takes a lock; it wakes the writer, which
then writes everything that has gathered. A socket that does not read is bounded by bytes and
let go, so that it costs a known amount of memory and nobody else's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from relay.logs import get_logger

_logger = get_logger(__name__)

OUTBOX_MAX_BYTES = 1_048_576
"""Queued and unwritten bytes of one socket (AnyCable's `max_pending` is the same 1 MiB)."""

CLOSE_TIMEOUT_S = 5.0
"""How long the last frames of a socket that is being closed may take."""

NOBODY: Mapping[str, int] = MappingProxyType({})

_RENDERED_BYTES = 256
"""What a frame that is rendered late counts for: an `ack` has about 150 bytes."""

Frame = str | Callable[[], str]
"""A text frame, or what makes it at the moment of writing."""


class Outbox:
    """The frames of one socket, in order.

    `send` writes one text frame and blocks while the socket's own buffer is full; `too_slow`
    is the farewell frame for a socket that let `max_bytes` pile up, `names` whose socket it is.
    """

    __slots__ = (
        "_bytes",
        "_closing",
        "_deadline",
        "_drained",
        "_frames",
        "_latest",
        "_max_bytes",
        "_names",
        "_send",
        "_too_slow",
        "_wake",
        "_writing",
    )

    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        *,
        too_slow: str,
        max_bytes: int = OUTBOX_MAX_BYTES,
        names: Mapping[str, int] = NOBODY,
    ) -> None:
        self._send = send
        self._names = names
        self._too_slow = too_slow
        self._max_bytes = max_bytes
        self._frames: list[Frame] = []
        self._latest: dict[str, int] = {}
        self._bytes = 0
        self._closing = False
        self._deadline: asyncio.Timeout | None = None
        self._wake: asyncio.Future[None] | None = None
        self._drained: list[asyncio.Future[None]] = []
        self._writing: list[asyncio.Future[None]] = []

    @property
    def closing(self) -> bool:
        """Whether nothing more is taken."""
        return self._closing

    @property
    def pending_bytes(self) -> int:
        """What is queued or being written."""
        return self._bytes

    def put(self, frame: str) -> None:
        """Queue one frame. Ignored once the outbox is closing."""
        self._add(frame, len(frame))

    def put_latest(self, key: str, render: Callable[[], str]) -> None:
        """Queue a frame that states the newest of something, replacing one of the same key.

        Right for what is cumulative: whoever reads the newest needs none of those before.
        """
        place = self._latest.get(key)
        if place is not None and not self._closing:
            self._frames[place] = render
            return
        self._latest[key] = len(self._frames)
        self._add(render, _RENDERED_BYTES)

    def close(self, farewell: str | None = None) -> None:
        """Write what is queued and `farewell`, then end `run`. Idempotent; never blocks."""
        if self._closing:
            return
        if farewell is not None:
            self._frames.append(farewell)
        self._closing = True
        self._notify()
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + CLOSE_TIMEOUT_S)

    def abandon(self) -> None:
        """The socket is gone: forget everything and end `run`."""
        self._frames.clear()
        self._latest.clear()
        self.close()

    async def drained(self) -> None:
        """Wait until everything queued so far was handed to the socket.

        Returns at once where the outbox is closing: what is left is then nobody's to wait for.
        """
        if self._closing or not self._bytes:
            return
        waiter = asyncio.get_running_loop().create_future()
        (self._drained if self._frames else self._writing).append(waiter)
        await waiter

    async def run(self) -> bool:
        """Write until closed. The one writer of the socket; to be run once.

        Returns whether the socket took everything; where it did not, nothing more can be written
        to it. No error where it broke: whoever reads from it notices first.
        """
        try:
            async with asyncio.timeout(
                CLOSE_TIMEOUT_S if self._closing else None
            ) as self._deadline:
                while True:
                    while self._frames:
                        await self._write()
                    if self._closing:
                        return True
                    self._wake = asyncio.get_running_loop().create_future()
                    await self._wake
        except TimeoutError:
            _logger.info("socket_abandoned", **self._names, reason="its last frames were not read")
        except OSError:
            pass
        finally:
            self._closing = True
            _release(self._writing)
            _release(self._drained)
        return False

    async def _write(self) -> None:
        frames, size = self._frames, self._bytes
        self._frames, self._writing, self._drained = [], self._drained, []
        self._latest.clear()
        for frame in frames:
            await self._send(frame if isinstance(frame, str) else frame())
        self._bytes -= size
        _release(self._writing)

    def _add(self, frame: Frame, size: int) -> None:
        if self._closing:
            return
        self._bytes += size
        if self._bytes > self._max_bytes:
            self._frames.clear()
            self._latest.clear()
            self.close(self._too_slow)
            return
        self._frames.append(frame)
        self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
