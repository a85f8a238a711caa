"""uvicorn's two protocols with the limits that they lack.

A request's head must be complete within a few seconds and within 32 KiB, again for each request
of a kept connection: else a few thousand connections that never say anything (slowloris) keep
everybody out. A WebSocket that only sends pings is cut before its unread pongs fill the memory:
they are the one thing that uvicorn writes without minding the peer's pace.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from relay.errors import BadRequest, LimitReached

HEAD_BYTES_MAX = 32_768
"""A request line and its headers. Ours have some 500 bytes, those behind proxies some 4,000."""

HEAD_DEADLINE_S = 5.0
"""How long they may take to arrive."""

UNREAD_BYTES_MAX = 1_048_576
"""Pongs that a peer did not read; it is cut above that."""

_END_OF_HEAD = b"\r\n\r\n"


class HardenedHttp(H11Protocol):
    """HTTP/1.1 whose request heads have a deadline and a limit."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected: from now on it has so long to say what it wants."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent, unless its head is too large."""
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

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        # h11 has no request that this would be the response to.
        self._head_is_here()
        if self.transport.is_closing():
            return
        body = json.dumps({"error": message, "code": code}).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


class HardenedWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket whose pings are answered only while the answers are read."""

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

    def handle_ping(self) -> None:
        """Answer, or cut a peer that only asks."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            # Not a close frame: it would wait behind the pongs that nobody reads.
            self.transport.abort()
