"""uvicorn's two protocols with the limits that they lack.

A request's head must be complete within a few seconds and within 32 KiB, again for each request
of a kept connection: else a few thousand connections that never say anything (slowloris) keep
everybody out. A WebSocket that sends pings without end is cut: each costs a write, and the pongs
are the one thing that uvicorn writes without minding the peer's pace.

And a connection is counted before it has said anything (`relay.limits.door`), and what it says is
decoded in portions (`portions`), because the smallest frames are those that take the longest.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from random import random

import h11
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from relay.errors import BadRequest, LimitReached
from relay.limits.bucket import Bucket
from relay.limits.door import Door
from relay.limits.refusal import Refusal
from relay.web.answers import json_error
from relay.web.listener import be_patient
from relay.web.portions import Flow, Portions
from relay.web.unfinished import cutting

HEAD_BYTES_MAX = 32_768
"""A request line and its headers. Ours have some 500 bytes, those behind proxies some 4,000."""

HEAD_DEADLINE_S = 5.0
"""How long they may take to arrive."""

HEAD_DEADLINE_SPREAD = 0.2
"""And at most by how much longer."""

TURNED_AWAY_S = 1.0
"""How long a connection that is one too many has to say something, and be answered. Closed before
it did, it would lose the answer with the connection."""

PINGS_PER_S = 10.0
"""Clients ping every 10 to 60 s. So few unread pongs take no memory to speak of."""

FRAGMENTS_MAX = 256
"""Of one message: 256 bytes each, where it is as large as it may be. SDKs send one."""

BODY_CHUNKS_MAX = 256
"""Of one request that comes chunked: 4 KiB each, where it is as large as it may be."""

AFTER_CLOSE_BYTES_MAX = 524_288
"""What is read of a peer that we have closed, while we wait for its answer. A bot may have so much
on its way; above it nothing more is read."""

CLOSE_NO_TEXT, CLOSE_POLICY, CLOSE_TOO_LARGE = 1007, 1008, 1009

_END_OF_HEAD = b"\r\n\r\n"


class HardenedConfig(uvicorn.Config):
    """uvicorn's configuration, which is all that its protocols are given, with the door in it."""

    door: Door | None = None


def _door(config: uvicorn.Config) -> Door | None:
    return config.door if isinstance(config, HardenedConfig) else None


class _ChunkCounter(h11.Connection):
    """Counts the chunks of a body: each costs the same, whether it has a byte or a thousand."""

    body_chunks = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        """See `h11.Connection`."""
        event = super().next_event()
        match event:
            case h11.Data(chunk_start=True):
                self.body_chunks += 1
            case h11.Request():
                self.body_chunks = 0
            case _:
                pass
        return event


class HardenedHttp(H11Protocol):
    """HTTP/1.1 whose heads have a deadline and a limit, and whose bodies have not many chunks."""

    _deadline: asyncio.TimerHandle | None = None
    _refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected: from now on it has so long to say what it wants."""
        super().connection_made(transport)
        self.app = cutting(self.app, self)
        self.conn = self._chunks = _ChunkCounter(
            h11.SERVER, self.config.h11_max_incomplete_event_size or HEAD_BYTES_MAX
        )
        self._portions = Portions(
            self.loop, transport, self._take, lambda: not self.flow.read_paused
        )
        self.flow = Flow(transport, self._portions)
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
        self._part()
        self._head_is_here()
        door = _door(self.config)
        if door is not None:
            door.leave(self.transport)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        super().pause_writing()
        be_patient(self.transport)

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent, in portions, unless its head is too large."""
        if self._refusal is not None:
            self._turn_away()
            return
        self._portions.feed(data)

    def _take(self, data: bytes) -> None:
        if self.conn.their_state is h11.IDLE and self._too_large(data):
            message = f"the request line and headers exceed {HEAD_BYTES_MAX} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, LimitReached.code, message)
            return
        super().data_received(data)
        if self._chunks.body_chunks > BODY_CHUNKS_MAX:
            self._cut_body()
        elif self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._head_is_here()

    def _cut_body(self) -> None:
        if self.cycle.response_started:
            self.transport.close()
            return
        message = f"the body comes in more than {BODY_CHUNKS_MAX} chunks"
        self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, LimitReached.code, message)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The head is here, and another protocol has the connection from now on."""
        self._head_is_here()
        early = self.conn.trailing_data[0] + self._part()
        super().handle_websocket_upgrade(event)
        protocol = self.transport.get_protocol()
        if early and isinstance(protocol, HardenedWebSocket):
            # uvicorn loses what came with the handshake.
            protocol.data_received(early)

    def _part(self) -> bytes:
        """Let go of what knows this connection, and return what it sent and nobody took."""
        self.app = self.config.loaded_app
        return self._portions.close()

    def _too_large(self, data: bytes) -> bool:
        waiting, _ = self.conn.trailing_data
        head, _, _ = (waiting + data).partition(_END_OF_HEAD)
        return len(head) > HEAD_BYTES_MAX

    def _await_head(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            # Connections that came together are not all cut in the same moment.
            deadline_s = HEAD_DEADLINE_S * (1.0 + HEAD_DEADLINE_SPREAD * random())  # noqa: S311
            self._deadline = self.loop.call_later(deadline_s, self._too_late)

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
        self.app = app

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upgrade has begun."""
        self._pings = Bucket(PINGS_PER_S)
        self._heard_at = self.loop.time()
        self._fragments = 0
        self._said_after_close = 0
        self._early = b""
        super().connection_made(transport)
        self._portions = Portions(
            self.loop, self.transport, self.take, lambda: not self.read_paused
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._portions.close()
        door = _door(self.config)
        if door is not None:
            door.leave(self.transport)
        super().connection_lost(exc)
        # It waits for bytes, and knows `conn`, which knows it.
        self.conn.parser.close()

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
        """Send; behind the answer to the handshake, take what came too early.

        Raises:
            ClientDisconnected: the connection is being closed. uvicorn calls that a mistake of the
                application, which cannot know that its peer has just sent a wrong frame.
        """
        if self.close_sent and self.initial_response is None:
            raise ClientDisconnected
        await super().send(message)
        if self._early and self.handshake_complete:
            early, self._early = self._early, b""
            self.transport.resume_reading()
            self.data_received(early)

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next message; what was read already comes before what is read now."""
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

    def keepalive_timeout(self) -> None:
        """Let go who does not answer, but not who is slowed down: its pong waits to be read."""
        silent_s = self.loop.time() - self._heard_at
        patience_s = self.ping_timeout or 0.0
        if self.read_paused or self._portions.waiting or silent_s < patience_s:
            self.pong_timer = self.loop.call_later(patience_s, self.keepalive_timeout)
            return
        super().keepalive_timeout()

    def _cut(self) -> None:
        door = _door(self.config)
        if door is not None and self.client is not None:
            door.flooded(self.client[0], self.loop.time())
        self._fail(CLOSE_POLICY, "rate_limited")

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
