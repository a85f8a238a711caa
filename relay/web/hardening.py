"""uvicorn's two protocols with the limits that they lack.

A request's head must be complete within a few seconds and within 32 KiB, again for each request
of a kept connection: else a few thousand connections that never say anything (slowloris) keep
everybody out. A WebSocket that sends pings without end is cut: each costs a write, and the pongs
are the one thing that uvicorn writes without minding the peer's pace.

And a connection is counted before it has said anything: see `relay.limits.door`.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import h11
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from relay.errors import BadRequest, LimitReached
from relay.limits.bucket import Bucket
from relay.limits.door import Door
from relay.limits.refusal import Refusal
from relay.web.answers import json_error

HEAD_BYTES_MAX = 32_768
"""A request line and its headers. Ours have some 500 bytes, those behind proxies some 4,000."""

HEAD_DEADLINE_S = 5.0
"""How long they may take to arrive."""

TURNED_AWAY_S = 1.0
"""How long a connection that is one too many has to say something, and be answered. Closed before
it did, it would lose the answer with the connection."""

PINGS_PER_S = 10.0
"""Clients ping every 10 to 60 s. So few unread pongs take no memory to speak of."""

CLOSE_POLICY = 1008

_END_OF_HEAD = b"\r\n\r\n"


class HardenedConfig(uvicorn.Config):
    """uvicorn's configuration, which is all that its protocols are given, with the door in it."""

    door: Door | None = None


def _door(config: uvicorn.Config) -> Door | None:
    return config.door if isinstance(config, HardenedConfig) else None


class HardenedHttp(H11Protocol):
    """HTTP/1.1 whose request heads have a deadline and a limit."""

    _deadline: asyncio.TimerHandle | None = None
    _refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected: from now on it has so long to say what it wants."""
        super().connection_made(transport)
        door = _door(self.config)
        if door is not None and self.client is not None:
            self._refusal = door.enter(transport, self.client[0], self.loop.time())
            if self._refusal is not None:
                if door.crowded:
                    transport.abort()
                    return
                self._deadline = self.loop.call_later(TURNED_AWAY_S, self._turn_away)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._head_is_here()
        door = _door(self.config)
        if door is not None:
            door.leave(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent, unless its head is too large."""
        if self._refusal is not None:
            self._turn_away()
            return
        if self.conn.their_state is h11.IDLE and self._too_large(data):
            message = f"the request line and headers exceed {HEAD_BYTES_MAX} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, LimitReached.code, message)
            return
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._head_is_here()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The head is here, and another protocol has the connection from now on."""
        self._head_is_here()
        super().handle_websocket_upgrade(event)

    def _too_large(self, data: bytes) -> bool:
        waiting, _ = self.conn.trailing_data
        head, _, _ = (waiting + data).partition(_END_OF_HEAD)
        return len(head) > HEAD_BYTES_MAX

    def _await_head(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEAD_DEADLINE_S, self._too_late)

    def _head_is_here(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        message = f"the request line and headers took longer than {HEAD_DEADLINE_S:g} s"
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, BadRequest.code, message)

    def _turn_away(self) -> None:
        assert self._refusal is not None
        answer = json_error(self._refusal.error())
        retry = f"Retry-After: {answer.headers['Retry-After']}\r\n"
        self._answer(HTTPStatus(answer.status_code), bytes(answer.body), retry)

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        self._answer(status, json.dumps({"error": message, "code": code}).encode())

    def _answer(self, status: HTTPStatus, body: bytes, more: str = "") -> None:
        # h11 has no request that this would be the response to.
        self._head_is_here()
        if self.transport.is_closing():
            return
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"{more}Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class HardenedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose pings have a rate, and whose peer may be slowed down."""

    async def run_asgi(self) -> None:
        """Run the application, and take a handshake that it answered over HTTP as complete."""
        app = self.app

        async def answering(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)
            if self.initial_response is not None:
                # Else uvicorn logs an error for each that was refused (0.54).
                self.handshake_complete = True

        self.app = answering
        await super().run_asgi()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upgrade has begun."""
        self._pings = Bucket(PINGS_PER_S)
        self._heard_at = self.loop.time()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        door = _door(self.config)
        if door is not None:
            door.leave(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent."""
        self._heard_at = self.loop.time()
        super().data_received(data)

    def handle_ping(self) -> None:
        """Answer, or cut a peer that only asks."""
        if self.close_sent:
            return
        if self._pings.take(1.0, self.loop.time()):
            self._cut()
            return
        super().handle_ping()

    def keepalive_timeout(self) -> None:
        """Let go who does not answer, but not who is slowed down: its pong waits to be read."""
        silent_s = self.loop.time() - self._heard_at
        patience_s = self.ping_timeout or 0.0
        if self.read_paused or silent_s < patience_s:
            self.pong_timer = self.loop.call_later(patience_s, self.keepalive_timeout)
            return
        super().keepalive_timeout()

    def _cut(self) -> None:
        door = _door(self.config)
        if door is not None and self.client is not None:
            door.flooded(self.client[0], self.loop.time())
        self.conn.fail(CLOSE_POLICY, "rate_limited")
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()
