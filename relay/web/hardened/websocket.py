"""A WebSocket whose pings have a rate, and whose peer may be slowed down."""

from __future__ import annotations

import asyncio
from random import random
from typing import Final, cast

from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from relay.limits.bucket import Bucket
from relay.web.hardened.config import door_of
from relay.web.hardened.portions import Portions, others_first

PINGS_PER_S = 10.0
"""Clients ping every 10 to 60 s. So few unread pongs take no memory to speak of."""

FRAGMENTS_MAX = 256
"""Of one message: 256 bytes each, where it is as large as it may be. SDKs send one."""

AFTER_CLOSE_BYTES_MAX = 524_288
"""What is read of a peer that we have closed, while we wait for its answer. A bot may have so much
on its way; above it nothing more is read."""

CONDUCT: Final = "relay.conduct"
"""Where a scope's `extensions` have how the peer behaves."""

CLOSE_NO_TEXT, CLOSE_POLICY, CLOSE_TOO_LARGE = 1007, 1008, 1009


class Conduct:
    """How the peer of a WebSocket behaves. It outlives the connection, for whoever served it."""

    __slots__ = ("flooded",)

    def __init__(self) -> None:
        self.flooded = False
        """Whether it was cut for what it sent before anybody could read it."""


def has_flooded(scope: Scope) -> bool:
    """Whether the peer of this scope's WebSocket was cut for a flood; False by another server."""
    conduct = (scope.get("extensions") or {}).get(CONDUCT)
    return isinstance(conduct, Conduct) and conduct.flooded


class HardenedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's, with what follows."""

    # uvicorn's own are too many for anything but a dictionary in each instance; these are quicker.
    __slots__ = (
        *("_conduct", "_early", "_fragments", "_heard_at", "_pings", "_portions"),
        "_said_after_close",
    )

    async def run_asgi(self) -> None:
        """Run the application, and take a handshake that it answered over HTTP as complete."""
        app = self.app

        async def answering(scope: Scope, receive: Receive, send: Send) -> None:
            await others_first()
            await app(scope, receive, send)
            if self.initial_response is not None:
                # Else uvicorn logs an error for each that was refused (0.54).
                self.handshake_complete = True

        self.app = answering
        await super().run_asgi()
        self.app = app

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upgrade has begun."""
        self._pings = Bucket(PINGS_PER_S)
        self._heard_at = self.loop.time()
        self._fragments = 0
        self._said_after_close = 0
        self._early = b""
        self._conduct = Conduct()
        super().connection_made(transport)
        self._portions = Portions(
            self.loop, self.transport, self.take, lambda: not self.read_paused
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._portions.close()
        door = door_of(self.config)
        if door is not None:
            door.leave(self.transport)
        super().connection_lost(exc)
        # It waits for bytes, and knows `conn`, which knows it.
        self.conn.parser.close()

    def handle_connect(self, event: Request) -> None:
        """Make the handshake; whoever serves the peer may ask later how it behaved."""
        super().handle_connect(event)
        scope = cast("Scope | None", getattr(self, "scope", None))
        if scope is not None:
            scope["extensions"][CONDUCT] = self._conduct

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent, in portions; behind our own close not much of it."""
        self._heard_at = self.loop.time()
        if self.handshake_initiated and not self.handshake_complete:
            # No client may send before its handshake is answered (RFC 6455, 4.1), but some do.
            # Nobody could be told of a wrong frame yet.
            self._early += data
            self.transport.pause_reading()
            return
        if self.close_sent:
            self._said_after_close += len(data)
            if self._said_after_close > AFTER_CLOSE_BYTES_MAX:
                # Whoever goes on and on will not answer the close: a timer ends it.
                self._portions.drop()
                self.transport.pause_reading()
                return
        self._portions.feed(data)

    def take(self, data: bytes) -> None:
        """Decode a portion."""
        super().data_received(data)

    async def send(self, message: ASGISendEvent) -> None:
        """Send.

        Raises:
            ClientDisconnected: the connection is being closed. uvicorn calls that a mistake of the
                application, which cannot know that its peer has just sent a wrong frame.
        """
        if self.close_sent and self.initial_response is None:
            raise ClientDisconnected
        await super().send(message)

    def take_early(self) -> None:
        """Take what came before the handshake was answered, now that somebody wants it."""
        if self._early and self.handshake_complete and not self.disconnected:
            early, self._early = self._early, b""
            self.transport.resume_reading()
            self.data_received(early)

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message; what was read already comes before what is read now."""
        self.take_early()
        message = await super().receive()
        if not self.read_paused:
            self._portions.go_on()
        return message

    def send_receive_event_to_app(self) -> None:
        """Hand a message on, or end a connection whose text is none: uvicorn logs a traceback."""
        whole = b"".join(self.frames)
        self.frames, self._fragments = [whole], 0
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_utf8(whole):
            self.frames = []
            self._fail(CLOSE_NO_TEXT, "not UTF-8")
            return
        super().send_receive_event_to_app()

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment, but not any number of them: an empty one takes memory, too."""
        self._fragments += 1
        if self._fragments > FRAGMENTS_MAX:
            self.frames = []
            if not self.close_sent:
                self._note_flood()
                self._fail(CLOSE_TOO_LARGE, "too many fragments")
            return
        super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:
        """Take note of an answer, and cut a peer that only answers what nobody asked."""
        asked = self.pending_ping_payload is not None
        if not asked and not self.close_sent and self._pings.take(1.0, self.loop.time()):
            self._cut()
            return
        super().handle_pong(event)

    def handle_ping(self) -> None:
        """Answer, or cut a peer that only asks."""
        if self.may_ping():
            super().handle_ping()

    def may_ping(self) -> bool:
        """Whether to answer one more ping. A peer that has sent too many is cut."""
        if self.close_sent:
            return False
        if self._pings.take(1.0, self.loop.time()):
            self._cut()
            return False
        return True

    def start_keepalive(self) -> None:
        """Ping from now on. Peers that came together are not all asked in the same moment."""
        if self.ping_interval:
            first_s = self.ping_interval * (0.5 + 0.5 * random())  # noqa: S311 - no secret
            self.ping_timer = self.loop.call_later(first_s, self.send_keepalive_ping)

    def keepalive_timeout(self) -> None:
        """Let go who does not answer, but not who is slowed down: its pong waits to be read."""
        silent_s = self.loop.time() - self._heard_at
        patience_s = self.ping_timeout or 0.0
        if self.read_paused or self._portions.waiting or silent_s < patience_s:
            self.pong_timer = self.loop.call_later(patience_s, self.keepalive_timeout)
            return
        super().keepalive_timeout()

    def _cut(self) -> None:
        self._note_flood()
        self._fail(CLOSE_POLICY, "rate_limited")

    def _note_flood(self) -> None:
        self._conduct.flooded = True
        door = door_of(self.config)
        if door is not None and self.client is not None:
            door.flooded(self.client[0], self.loop.time())

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
