"""Acts on the frames of one socket, in the order in which they came.

Chunks are acted on at once, those of one stream together. Everything else may have to wait for
something (a database, a broker), so a task acts on it, and on all that comes behind it meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from typing import Final, Protocol

from relay.logs import get_logger
from relay.node.bots import StreamPort
from relay.protocol.events import Chunk
from relay.web.outbox import ANSWERS_MAX_BYTES, Outbox
from relay.wire.chunk_frame import read_chunk

_logger = get_logger(__name__)

WAITING_FRAMES_MAX: Final = 256
"""A socket with so many frames that wait is not read: whoever only writes slows itself down."""

WAITING_CHARS_MAX: Final = 262_144
"""Nor one whose frames that wait are so long."""

FRAMES_PER_TURN: Final = 64
"""After so many frames that did not have to wait for anything the other sockets get their turn."""


class FrameActor(Protocol):
    """Whoever acts on frames: of a `Connection`, what it takes for that."""

    __slots__ = ()

    async def receive(self, raw: str) -> None:
        """See `Connection.receive`."""
        ...

    def open_stream(self, identifier: str, stream_id: str) -> StreamPort | None:
        """See `Connection.open_stream`."""
        ...

    def receive_chunks(self, stream: StreamPort, chunks: Sequence[Chunk]) -> Awaitable[None] | None:
        """See `Connection.receive_chunks`."""
        ...


class Intake:
    """The frames of one socket.

    `hold` is called where too many wait, `go_on` once all are acted on, and `failed` where acting
    on one raised: a bug of ours, so the connection has to end. While the answers in `outbox` are
    not read, no frame that waits is acted on.
    """

    __slots__ = (
        "_connection",
        "_failed",
        "_go_on",
        "_hold",
        "_holding",
        "_names",
        "_outbox",
        "_task",
        "_waiting",
    )

    def __init__(
        self,
        connection: FrameActor,
        outbox: Outbox,
        *,
        names: Mapping[str, int],
        hold: Callable[[], None],
        go_on: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._outbox = outbox
        self._names = names
        self._hold = hold
        self._go_on = go_on
        self._failed = failed
        self._waiting: deque[str] = deque()
        self._holding = False
        self._task: asyncio.Task[None] | None = None

    def take(self, frames: Sequence[str]) -> None:
        """Act on text frames, now or in turn."""
        if self._task is None:
            pending, rest = self._at_once(frames)
            if not pending and not rest:
                return
            self._waiting.extend(rest)
            # A context of its own: what it logs must not carry another socket's names.
            self._task = asyncio.get_running_loop().create_task(
                self._in_turn(pending), context=Context()
            )
        else:
            self._waiting.extend(frames)
        if not self._holding and self._too_much_waits():
            self._holding = True
            self._hold()

    async def close(self) -> None:
        """Act on nothing more; returns once nothing is under way."""
        self._waiting.clear()
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        # Whoever is behind them knows this intake.
        self._hold = self._go_on = self._failed = _nothing

    def _too_much_waits(self) -> bool:
        waiting = self._waiting
        return len(waiting) > WAITING_FRAMES_MAX or sum(map(len, waiting)) > WAITING_CHARS_MAX

    async def _in_turn(self, pending: Sequence[Awaitable[None]]) -> None:
        done = 0
        try:
            while True:
                for one in pending:
                    await one
                if not self._waiting:
                    return
                await self._connection.receive(self._waiting.popleft())
                done += 1
                if self._outbox.pending_bytes > ANSWERS_MAX_BYTES:
                    await self._outbox.drained()
                elif done % FRAMES_PER_TURN == 0:
                    await asyncio.sleep(0)
                pending = ()
                if self._waiting and read_chunk(self._waiting[0]) is not None:
                    # Only then: to copy all that waits for each frame takes minutes for some.
                    frames = tuple(self._waiting)
                    self._waiting.clear()
                    pending, rest = self._at_once(frames)
                    self._waiting.extend(rest)
        except Exception:
            _logger.exception("connection_failed", **self._names)
            self._failed()
        finally:
            self._task = None
            if self._holding:
                self._holding = False
                self._go_on()

    def _at_once(self, frames: Sequence[str]) -> tuple[Sequence[Awaitable[None]], Sequence[str]]:
        """Act on the chunks at the beginning; returns what to await, and the other frames."""
        connection = self._connection
        if len(frames) == 1:  # mostly, while a bot is answering
            frame = read_chunk(frames[0])
            if frame is None:
                return (), frames
            identifier, stream_id, chunk = frame
            stream = connection.open_stream(identifier, stream_id)
            if stream is None:
                return (), frames
            waiting = connection.receive_chunks(stream, (chunk,))
            return () if waiting is None else (waiting,), ()
        batches: dict[StreamPort, list[Chunk]] = {}
        newest: list[Chunk] = []
        known = "", ""
        done = 0
        for raw in frames:
            frame = read_chunk(raw)
            if frame is None:
                break
            identifier, stream_id, chunk = frame
            if stream_id != known[1] or identifier != known[0]:
                stream = connection.open_stream(identifier, stream_id)
                if stream is None:
                    break
                newest = batches.setdefault(stream, [])
                known = identifier, stream_id
            newest.append(chunk)
            done += 1
        pending: list[Awaitable[None]] = []
        for stream, chunks in batches.items():
            waiting = connection.receive_chunks(stream, chunks)
            if waiting is not None:
                pending.append(waiting)
        return pending, frames[done:]


def _nothing() -> None: ...
