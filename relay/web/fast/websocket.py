"""uvicorn's WebSocket protocol, whose frames may be taken straight from the socket.

Until somebody claims it, it is the hardened protocol of uvicorn: it makes the handshake and runs
the ASGI application. Then its bytes go through `FrameReader`, and no more through ASGI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, assert_never, cast

from starlette.types import Scope
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from relay.web.fast import frames
from relay.web.fast.frames import Binary, Close, CloseCode, Control, FrameReader, Ping, Pong
from relay.web.hardening import HardenedWebSocket

EXTENSION = "relay.socket"
"""Where a scope's `extensions` have the socket."""


class SocketUser(Protocol):
    """Whoever claimed a socket."""

    def received(self, messages: Sequence[str], size: int) -> None:
        """The text messages that one read of the socket completed, and how many bytes it read."""
        ...

    def received_binary(self, size: int) -> None:
        """A binary message of so many bytes has come."""
        ...

    def may_write(self) -> None:
        """The socket has taken what was too much for it."""
        ...

    def lost(self) -> None:
        """The socket is gone."""
        ...


class Socket(Protocol):
    """A WebSocket after its handshake."""

    @property
    def is_full(self) -> bool:
        """Whether it takes no more just now: then wait for `may_write`."""
        ...

    def claim(self, user: SocketUser) -> None:
        """Give what is received to `user` from now on."""
        ...

    def write(self, messages: Sequence[str]) -> None:
        """Write text messages at once."""
        ...

    def close(self) -> None:
        """Say goodbye behind what was written, and wait a while for the answer."""
        ...

    def abort(self) -> None:
        """Close without a word."""
        ...

    def pause_reading(self) -> None:
        """Read no more."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...


class FastWebSocket(HardenedWebSocket):
    """See `Socket`."""

    _user: SocketUser | None = None
    _reader: FrameReader
    is_full = False

    def handle_connect(self, event: Request) -> None:
        """Make the handshake, and offer the socket to the application."""
        super().handle_connect(event)
        scope = cast("Scope | None", getattr(self, "scope", None))
        if scope is not None:
            scope["extensions"][EXTENSION] = self

    # --- from the socket ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client."""
        user = self._user
        if user is None:
            super().data_received(data)
            return
        self._heard_at = self.loop.time()
        reader = self._reader
        messages = reader.feed(data)
        if messages:
            user.received(messages, len(data))
        if reader.control:
            control, reader.control = reader.control, []
            for event in control:
                self._control(user, event)
        if reader.failure is not None and not self.close_sent:
            self._end(frames.close(reader.failure.code, reader.failure.reason))

    def _control(self, user: SocketUser, event: Control) -> None:
        match event:
            case Ping(payload):
                # Made by `conn`, because the hardened protocol writes what that has to send.
                self.conn.send_pong(payload)
                self.handle_ping()
            case Pong(payload):
                self.handle_pong(Frame(Opcode.PONG, payload))
            case Binary(size):
                user.received_binary(size)
            case Close(code):
                self._end(b"" if self.close_sent else frames.close(code))
            case _:
                assert_never(event)

    def _end(self, last: bytes) -> None:
        self.stop_keepalive()
        self.close_sent = True
        if last:
            self.transport.write(last)
        self.transport.close()

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        super().pause_writing()
        self.is_full = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        super().resume_writing()
        self.is_full = False
        if self._user is not None:
            self._user.may_write()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        super().connection_lost(exc)
        if self._user is not None:
            self._user.lost()

    # --- to the socket: see `Socket` --------------------------------------------------------

    def claim(self, user: SocketUser) -> None:
        """See `Socket.claim`."""
        self._user = user
        self._reader = FrameReader(self.config.ws_max_size)
        if self.disconnected:
            user.lost()

    def write(self, messages: Sequence[str]) -> None:
        """See `Socket.write`."""
        self.transport.write(b"".join(map(frames.text, messages)))

    def close(self) -> None:
        """See `Socket.close`."""
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.close_sent = True
        self.transport.write(frames.close(CloseCode.NORMAL))
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

    def abort(self) -> None:
        """See `Socket.abort`."""
        self.transport.abort()

    def pause_reading(self) -> None:
        """See `Socket.pause_reading`."""
        self.read_paused = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Socket.resume_reading`."""
        self.read_paused = False
        if not self.transport.is_closing():
            self.transport.resume_reading()


def socket_in(scope: Scope) -> FastWebSocket | None:
    """Return the socket that a scope offers, None where the server has no fast path.

    None as well where frames came before the handshake was over: ASGI has them.
    """
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, FastWebSocket) and found.queue.empty() else None
