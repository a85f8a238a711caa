"""One socket of `/cable` on the fast path: reads into its connection, writes from its outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from relay.logs import get_logger
from relay.web.fast.frames import texts
from relay.web.fast.passes import Passes
from relay.web.fast.websocket import Socket
from relay.web.intake import FrameActor, Intake
from relay.web.outbox import ANSWERS_MAX_BYTES, CLOSE_TIMEOUT_S, Outbox

_logger = get_logger(__name__)


_NONE: frozenset[str] = frozenset()


class SocketActor(FrameActor, Protocol):
    """Whoever acts on what a socket receives: of a `Connection`, what it takes for that."""

    __slots__ = ()

    def charge(self, size: int, frames: int = 1) -> float:
        """See `Connection.charge`."""
        ...

    def refuse_binary(self) -> None:
        """See `Connection.refuse_binary`."""
        ...


async def serve_socket(
    socket: Socket,
    connection: SocketActor,
    outbox: Outbox,
    names: Mapping[str, int],
    passes: Passes,
) -> None:
    """Act on the frames of a socket and write what is in the outbox, until the socket is gone."""
    user = CableSocket(socket, connection, outbox, names, passes)
    try:
        await user.gone
    finally:
        await user.close()


class CableSocket:
    """A `SocketUser`. `gone` is done once the socket is."""

    __slots__ = (
        *("_connection", "_deadline", "_intake", "_is_due", "_is_gone", "_is_waiting", "_loop"),
        *("_names", "_out", "_outbox", "_passes", "_pause", "_reasons_not_to_read", "_socket"),
        *("_unwritten", "gone"),
    )

    def __init__(
        self,
        socket: Socket,
        connection: SocketActor,
        outbox: Outbox,
        names: Mapping[str, int],
        passes: Passes,
    ) -> None:
        self._socket = socket
        self._out = socket.out
        self._connection = connection
        self._outbox = outbox
        self._names = names
        self._passes = passes
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._intake = Intake(
            connection,
            outbox,
            names=names,
            hold=partial(self._stop_reading, "waiting"),
            go_on=partial(self._read_on, "waiting"),
            # A bug of ours: its bot comes back and resends.
            failed=socket.abort,
        )
        self._is_due = self._is_waiting = self._is_gone = False
        self._reasons_not_to_read = _NONE
        self._unwritten = 0
        """Bytes that a full socket was given, and has not passed on."""
        self._deadline: asyncio.TimerHandle | None = None
        self._pause: asyncio.TimerHandle | None = None
        outbox.on_news = self._news
        outbox.on_leisure = self._news_that_waits
        self._news()
        socket.claim(self)

    async def close(self) -> None:
        """Act on nothing more; returns once nothing is under way."""
        self._is_gone = True
        self._drop_deadline()
        if self._pause is not None:
            self._pause.cancel()
        self._outbox.on_news = self._outbox.on_leisure = None
        self._outbox.end()
        if self.gone.cancelled() or not self.gone.done():
            self._socket.abort()
        await self._intake.close()

    # --- from the socket: see `SocketUser` ----------------------------------------------------

    def received(self, messages: Sequence[str], size: int) -> None:
        """See `SocketUser.received`."""
        if self._outbox.closing:
            return
        pause_s = self._connection.charge(size, len(messages))
        self._intake.take(messages)
        if pause_s:
            self._stop_reading("rate")
            if self._pause is not None:
                self._pause.cancel()
            self._pause = self._loop.call_later(pause_s, self._read_on, "rate")
        if self._outbox.pending_bytes > ANSWERS_MAX_BYTES:
            self._stop_reading("answers")
        self._passes.relieve()

    def received_binary(self, size: int) -> None:
        """See `SocketUser.received_binary`."""
        if self._outbox.closing:
            return
        self._connection.charge(size)
        self._connection.refuse_binary()

    def may_write(self) -> None:
        """See `SocketUser.may_write`."""
        size, self._unwritten = self._unwritten, 0
        self._outbox.written(size)
        self._news()

    def lost(self) -> None:
        """See `SocketUser.lost`."""
        self._outbox.end()
        self._is_gone = True
        if not self.gone.done():
            self.gone.set_result(None)

    def _stop_reading(self, reason: str) -> None:
        if not self._reasons_not_to_read:
            self._socket.pause_reading()
        self._reasons_not_to_read |= {reason}

    def _read_on(self, reason: str) -> None:
        if reason in self._reasons_not_to_read:
            self._reasons_not_to_read -= {reason}
            if not self._reasons_not_to_read:
                self._socket.resume_reading()

    # --- to the socket ------------------------------------------------------------------------

    def _news(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._passes.soon(self._flush)

    def _news_that_waits(self) -> None:
        if not self._is_due and not self._is_waiting:
            self._is_waiting = True
            self._passes.at_leisure(self._flush_at_leisure)

    def _flush_at_leisure(self) -> None:
        self._is_waiting = False
        if not self._is_due:
            self._flush()

    def _flush(self) -> None:
        self._is_due = False
        if self._is_gone:
            return
        outbox = self._outbox
        if self._socket.is_full:
            if outbox.closing and self._deadline is None:
                self._deadline = self._loop.call_later(CLOSE_TIMEOUT_S, self._abandon)
            return
        try:
            frames, size = outbox.take()
        except Exception:
            # A bug of ours: these frames are lost, so the connection has to end.
            self._socket.abort()
            raise
        if frames:
            self._out.write(texts(frames))
        self._wrote(size)
        if outbox.closing:
            self._drop_deadline()
            self._socket.close()

    def _wrote(self, size: int) -> None:
        if self._socket.is_full:
            # Still pending: else there could be as much again behind what it has not passed on.
            self._unwritten += size
        else:
            self._outbox.written(size)
            if self._reasons_not_to_read:
                self._read_on("answers")

    def _abandon(self) -> None:
        _logger.info("socket_abandoned", **self._names, reason="its last frames were not read")
        self._socket.abort()

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
