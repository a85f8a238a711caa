"""uvicorn's WebSocket protocol, whose frames may be taken straight from the socket.

Until somebody claims it, it is the hardened protocol of uvicorn: it makes the handshake and runs
the ASGI application. Then its bytes go through `FrameReader`, and no more through ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, assert_never, cast

from starlette.types import Scope
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from relay.web.fast import frames
from relay.web.fast.controls import Binary, Close, Control, Ping, Pong
from relay.web.fast.frames import CloseCode, FrameReader
from relay.web.fast.passes import Output
from relay.web.hardened.websocket import HardenedWebSocket

EXTENSION = "relay.socket"
"""Where a scope's `extensions` have the socket."""

PORTION_BYTES = 4_096
"""What is decoded at a time: some 17 chunks; or half a millisecond of frames that are as small as
they can be, each of which costs less here than by ASGI."""

TURN_S = 0.0003
"""After how long no further portion of a socket is decoded before the others have their turn. What
was decoded by then is acted on together: some 130 chunks, so that those of one stream, which come
behind each other wherever the relay is behind, cost one event and one write."""


class SocketUser(Protocol):
    """Whoever claimed a socket."""

    def received(self, messages: Sequence[str], size: int) -> None:
        """Text messages that came together, and how many bytes were read for them."""
        ...

    def received_binary(self, size: int) -> None:
        """A binary message of so many bytes has come."""
        ...

    def may_write(self) -> None:
        """The socket has taken what was too much for it."""
        ...

    def lost(self) -> None:
        """Nothing more is received, and nothing more can be written. May be told twice."""
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

    @property
    def out(self) -> Output:
        """Where frames are written, at once."""
        ...

    def close(self) -> None:
        """Say goodbye behind what was written. The answer is awaited without the user."""
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

    __slots__ = (
        *("_decoded", "_is_open", "_loop", "_pongs", "_reader", "_unpaid", "_user"),
        *("is_full", "out"),
    )

    _reader: FrameReader

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upgrade has begun."""
        self._user: SocketUser | None = None
        self._pongs: list[bytes] = []
        """Not written yet."""
        self._decoded: list[str] = []
        """Messages of this turn that nobody was told of."""
        self._unpaid = 0
        """Bytes that were read, and no message told of."""
        self.is_full = False
        self._is_open = False
        """Whether somebody has claimed it, and closing has not begun."""
        self._loop = self.loop
        super().connection_made(transport)
        self.out = self.transport

    def handle_connect(self, event: Request) -> None:
        """Make the handshake, and offer the socket to the application."""
        super().handle_connect(event)
        scope = cast("Scope | None", getattr(self, "scope", None))
        if scope is not None:
            scope["extensions"][EXTENSION] = self

    # --- from the socket ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """See `HardenedWebSocket.data_received`."""
        if not self._is_open or len(data) > PORTION_BYTES or self._portions.waiting:
            super().data_received(data)
            return
        # As `take` does; to call a method costs a look into uvicorn's dictionary of attributes.
        self._heard_at = self._loop.time()
        reader, user = self._reader, self._user
        messages = reader.feed(data)
        if messages and not self._unpaid and user is not None:
            user.received(messages, len(data))
        else:
            self._decoded = messages
            self._unpaid += len(data)
            self._tell()
        if reader.control is not None or reader.failure is not None:
            self._answer()

    def take(self, data: bytes) -> None:
        """Take a portion of what the client sent."""
        if self._user is None:
            super().take(data)
            return
        reader = self._reader
        self._decoded += reader.feed(data)
        self._unpaid += len(data)
        if reader.control is not None or reader.failure is not None:
            self._tell()
            self._answer()

    def _tell(self) -> None:
        """Tell of the messages that were decoded, and of all bytes that were read for them."""
        messages, self._decoded = self._decoded, []
        if messages and self._user is not None:
            size, self._unpaid = self._unpaid, 0
            self._user.received(messages, size)

    def _answer(self) -> None:
        """Answer what was no message."""
        user, reader = self._user, self._reader
        if reader.control is not None and user is not None:
            control, reader.control = reader.control, None
            for event in control:
                if self.transport.is_closing():
                    break
                self._control(user, event)
            self._write_pongs()
        if reader.failure is not None and not self.close_sent:
            if reader.failure.is_flood:
                self._note_flood()
            self._refuse(frames.close(reader.failure.code, reader.failure.reason))

    def _control(self, user: SocketUser, event: Control) -> None:
        match event:
            case Ping() | Pong() if self.close_sent:
                pass
            case Ping(payload):
                if self.may_ping():
                    self._pongs.append(frames.frame(frames.PONG, payload))
            case Pong(payload):
                self.handle_pong(Frame(Opcode.PONG, payload))
            case Binary(size):
                user.received_binary(size)
            case Close(code):
                self._write_pongs()
                self._end(b"" if self.close_sent else frames.close(code))
            case _:
                assert_never(event)

    def _write_pongs(self) -> None:
        """Those for pings that came together at once: 50 writes would take a millisecond."""
        if self._pongs:
            self.transport.write(b"".join(self._pongs))
            self._pongs.clear()

    def _end(self, last: bytes) -> None:
        self.stop_keepalive()
        self.close_sent = True
        if last:
            self.transport.write(last)
        self.transport.close()
        self._part()

    def _refuse(self, last: bytes) -> None:
        """Close, and read on what the peer is still sending, without a look at it.

        To close a socket with something unread resets it, and the peer would lose the last word.
        """
        self.stop_keepalive()
        self.close_sent = True
        self.transport.write(last)
        if self.transport.can_write_eof():
            # Its answer is not looked at either: this is how it knows that it may hang up.
            self.transport.write_eof()
        self.resume_reading()
        self._part()

    def _part(self) -> None:
        """Closing has begun: whoever takes none of the last words does not keep the socket."""
        self._is_open = False
        if self._user is None:
            return
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)
        self._user.lost()

    def handle_parser_exception(self) -> None:
        """The peer is told why, and is gone."""
        self._write_pongs()
        super().handle_parser_exception()
        self._part()

    def keepalive_timeout(self) -> None:
        """A peer that does not answer is gone."""
        super().keepalive_timeout()
        if self.close_sent:
            self._part()

    def shutdown(self) -> None:
        """The server ends."""
        super().shutdown()
        self._part()

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
        self._is_open = False
        super().connection_lost(exc)
        # The scope is ours, and knows us.
        scope = cast("Scope | None", getattr(self, "scope", None)) or {}
        scope.get("extensions", {}).pop(EXTENSION, None)
        user, self._user = self._user, None
        if user is not None:
            user.lost()

    # --- to the socket: see `Socket` --------------------------------------------------------

    def claim(self, user: SocketUser) -> None:
        """See `Socket.claim`."""
        self._user = user
        self._reader = FrameReader(self.config.ws_max_size)
        self._portions.portion_bytes = PORTION_BYTES
        self._portions.turn_s = TURN_S
        self._portions.turn_over = self._tell
        self._is_open = not self.close_sent
        if self.disconnected:
            user.lost()
        else:
            self.take_early()

    def close(self) -> None:
        """See `Socket.close`."""
        if self.close_sent or self.transport.is_closing():
            return
        self.stop_keepalive()
        self.close_sent = True
        self.transport.write(frames.close(CloseCode.NORMAL))
        self.resume_reading()
        self._part()

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
            self._portions.go_on()

    @property
    def has_frames(self) -> bool:
        """Whether the library has something of what was sent, or a part of something."""
        begun = self.frames or self.conn.reader.buffer or self._portions.waiting
        return bool(begun) or not self.queue.empty()


def socket_in(scope: Scope) -> FastWebSocket | None:
    """Return the socket that a scope offers, None where the server has no fast path.

    None as well where frames were read by the library: ASGI has them.
    """
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, FastWebSocket) and not found.has_frames else None
