"""HTTP/1.1 whose heads have a deadline and a limit, and whose bodies have not many chunks.

It has a connection from its first whole head on (`doorstep`): a head that it waits for is a later
one, of a connection that was kept.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from relay.errors import LimitReached
from relay.web.hardened.config import door_of
from relay.web.hardened.heads import HEAD_BYTES_MAX, deadline_s, refuse, too_large, too_late
from relay.web.hardened.listener import be_patient
from relay.web.hardened.portions import Flow, Portions
from relay.web.hardened.unfinished import cutting
from relay.web.hardened.websocket import HardenedWebSocket

BODY_CHUNKS_MAX = 256
"""Of one request that comes chunked: 4 KiB each, where it is as large as it may be."""

_END_OF_HEAD = b"\r\n\r\n"


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
    """uvicorn's, with what follows."""

    _deadline: asyncio.TimerHandle | None = None
    _trickle = b""
    """What came of a head behind that which h11 has."""
    _room = 0
    """How much more of the line that has begun may come before anybody looks at it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A request is here."""
        super().connection_made(transport)
        self.app = cutting(self.app, self)
        self.conn = self._chunks = _ChunkCounter(
            h11.SERVER, self.config.h11_max_incomplete_event_size or HEAD_BYTES_MAX
        )
        self._portions = Portions(
            self.loop, transport, self._take, lambda: not self.flow.read_paused
        )
        self.flow = Flow(transport, self._portions)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        self._part()
        self._head_is_here()
        door = door_of(self.config)
        if door is not None:
            door.leave(self.transport)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        super().pause_writing()
        be_patient(self.transport)

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent, in portions, unless its head is too large."""
        if len(data) < self._room and b"\n" not in data and not self._portions.waiting:
            # A byte each second, from a thousand peers: that is all that is done with it.
            self._room -= len(data)
            self._trickle += data
            return
        self._portions.feed(data)

    def _take(self, data: bytes) -> None:
        self._room = 0
        if self.conn.their_state is h11.IDLE:
            waiting, _ = self.conn.trailing_data
            data, self._trickle = self._trickle + data, b""
            head, _, _ = (waiting + data).partition(_END_OF_HEAD)
            if len(head) > HEAD_BYTES_MAX:
                too_large(self.transport)
                return
            if waiting and b"\n" not in data:
                # No line has ended, so nothing has; h11 would read all of the head again.
                self._trickle = data
                self._room = HEAD_BYTES_MAX - len(head)
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
        refuse(self.transport, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, LimitReached.code, message)

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

    def _await_head(self) -> None:
        if self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(deadline_s(), too_late, self.transport)

    def _head_is_here(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
