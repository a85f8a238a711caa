"""What waits to be written to one socket, and the one writer that writes it.

Putting never blocks, never creates a task and never takes a lock; it wakes the writer, which
then writes everything that has gathered. A socket that does not read is bounded by bytes and
let go, so that it costs a known amount of memory and nobody else's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from relay.logs import get_logger

_logger = get_logger(__name__)

OUTBOX_MAX_BYTES: Final = 1_048_576
"""Queued and unwritten bytes of one socket (AnyCable's `max_pending` is the same 1 MiB)."""

ANSWERS_MAX_BYTES: Final = OUTBOX_MAX_BYTES // 2
"""A socket that has so much to read yet is not read from: whoever only writes slows itself down,
and the other half of the outbox stays for what others have to tell it."""

CLOSE_TIMEOUT_S = 5.0
"""How long the last frames of a socket that is being closed may take."""

NOBODY: Mapping[str, int] = MappingProxyType({})

_RENDERED_BYTES: Final = 256
"""What a frame that is rendered late counts for: an `ack` has about 150 bytes."""


class Outbox:
    """The frames of one socket, in order.

    One writer empties it: `run`, or whoever sets `on_news`, and `on_leisure` if there is something
    else to do first, and then calls `take` and `written`.
    `too_slow` is the farewell frame for a socket that let `max_bytes` pile up, `names` whose
    socket it is.
    """

    __slots__ = (
        "_drained",
        "_frames",
        "_late",
        "_latest",
        "_max_bytes",
        "_names",
        "_too_slow",
        "_writing",
        "closing",
        "on_leisure",
        "on_news",
        "pending_bytes",
    )

    def __init__(
        self,
        *,
        too_slow: str,
        max_bytes: int = OUTBOX_MAX_BYTES,
        names: Mapping[str, int] = NOBODY,
    ) -> None:
        self._names = names
        self._too_slow = too_slow
        self._max_bytes = max_bytes
        self._frames: list[str] = []
        self._late: list[tuple[int, Callable[[], Sequence[str]]]] | None = None
        """The places of frames that are made at the moment of writing, and what makes them."""
        self._latest: dict[str, int] | None = None
        """Which of these are to be replaced by a newer one of their key."""
        self.pending_bytes = 0
        """What is queued or being written."""
        self.closing = False
        """Whether nothing more is taken."""
        # None, as mostly: to look into an empty list for each frame would cost its cache line.
        self._drained: list[asyncio.Future[None]] | None = None
        self._writing: list[asyncio.Future[None]] | None = None
        self.on_news: Callable[[], None] | None = None
        """Called whenever there is something to write, or to close."""
        self.on_leisure: Callable[[], None] | None = None
        """Called instead, if anything, where there is something to write that can wait."""

    def put(self, frame: str) -> None:
        """Queue one frame. Ignored once the outbox is closing."""
        if not self.closing and self._charge(len(frame)):
            self._frames.append(frame)
            self._wake(can_wait=False)

    def put_late(
        self, make: Callable[[], Sequence[str]], size: int, *, can_wait: bool = False
    ) -> None:
        """Queue frames that are made at the moment of writing: some `size` bytes, or see `grow`.

        What may still change until then, or be joined by more, is made once and for all of it.
        What `can_wait` is written behind what cannot, or when the writer thinks fit.
        """
        if self.closing:
            return
        if self._charge(size):
            if self._late is None:
                self._late = [(len(self._frames), make)]
            else:
                self._late.append((len(self._frames), make))
            self._frames.append("")
            self._wake(can_wait=can_wait)

    def grow(self, size: int, *, can_wait: bool = False) -> None:
        """What was put to be made late, and is not written, will have so many bytes more."""
        if not self.closing and self._charge(size) and not can_wait:
            self._wake(can_wait=False)

    def put_latest(
        self, key: str, make: Callable[[], Sequence[str]], *, can_wait: bool = False
    ) -> None:
        """Queue a frame that states the newest of something, replacing one of the same key.

        Right for what is cumulative: whoever reads the newest needs none of those before.
        """
        if self.closing:
            return
        if self._latest is None:
            self._latest = {}
        known = self._latest.get(key)
        if known is not None and self._late is not None:
            self._late[known] = self._late[known][0], make
            self._wake(can_wait=can_wait)
            return
        self._latest[key] = len(self._late or ())
        self.put_late(make, _RENDERED_BYTES, can_wait=can_wait)

    def close(self, farewell: str | None = None) -> None:
        """Write what is queued and `farewell`, then end `run`. Idempotent; never blocks."""
        if self.closing:
            return
        if farewell is not None:
            self._frames.append(farewell)
        self.closing = True
        if self.on_news is not None:
            self.on_news()

    def abandon(self) -> None:
        """The socket is gone: forget everything and end `run`."""
        self._forget()
        self.close()

    async def drained(self) -> None:
        """Wait until everything queued so far was handed to the socket.

        Returns at once where the outbox is closing: what is left is then nobody's to wait for.
        """
        if self.closing or not self.pending_bytes:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._frames:
            self._drained = [*(self._drained or ()), waiter]
        else:
            self._writing = [*(self._writing or ()), waiter]
        await waiter

    def take(self) -> tuple[Sequence[str], int]:
        """Return what is queued, and what to call `written` with once the socket has it."""
        frames: Sequence[str] = self._frames
        self._frames = []
        if self._drained is not None:
            self._writing = [*(self._writing or ()), *self._drained]
            self._drained = None
        if self._late is not None:
            frames = self._made(frames)
        return frames, self.pending_bytes

    def written(self, size: int) -> None:
        """What was taken is with the socket."""
        self.pending_bytes -= size
        if self._writing is not None:
            _release(self._writing)
            self._writing = None

    def end(self) -> None:
        """Nothing is written any more: let nobody wait for it."""
        self.closing = True
        self._forget()
        for waiters in (self._writing, self._drained):
            if waiters is not None:
                _release(waiters)
        self._writing = self._drained = None

    async def run(self, send: Callable[[str], Awaitable[None]]) -> bool:
        """Write until closed; to be run once. `send` writes a frame and waits for the socket.

        Returns whether the socket took everything; where it did not, nothing more can be written
        to it. No error where it broke: whoever reads from it notices first.
        """
        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        try:
            async with asyncio.timeout(None) as deadline:

                def wake() -> None:
                    news.set()
                    if self.closing and deadline.when() is None:
                        deadline.reschedule(loop.time() + CLOSE_TIMEOUT_S)

                self.on_news = wake
                wake()
                while True:
                    news.clear()
                    while self._frames:
                        frames, size = self.take()
                        for frame in frames:
                            await send(frame)
                        self.written(size)
                    if self.closing:
                        return True
                    await news.wait()
        except TimeoutError:
            _logger.info("socket_abandoned", **self._names, reason="its last frames were not read")
        except OSError:
            pass
        finally:
            self.on_news = None
            self.end()
        return False

    def _made(self, queued: Sequence[str]) -> Sequence[str]:
        late, self._late, self._latest = self._late or (), None, None
        if len(late) == len(queued) == 1:  # mostly: receipts, and nothing else
            return late[0][1]()
        frames: list[str] = []
        at = 0
        for place, make in late:
            if place > at:
                frames += queued[at:place]
            frames += make()
            at = place + 1
        frames += queued[at:]
        return frames

    def _forget(self) -> None:
        self._frames.clear()
        self._late = self._latest = None

    def _charge(self, size: int) -> bool:
        """Whether there is room for so much more. There is none for a socket that does not read."""
        self.pending_bytes += size
        if self.pending_bytes <= self._max_bytes:
            return True
        self._forget()
        self.close(self._too_slow)
        return False

    def _wake(self, *, can_wait: bool) -> None:
        wake = (self.on_leisure if can_wait else None) or self.on_news
        if wake is not None:
            wake()


def _release(waiters: Iterable[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
