"""uvicorn's HTTP protocol, whose responses may be written straight to the socket.

The head and the first bytes of a response go through ASGI as always. Then an endpoint that streams
may `claim` the rest of the body, write it chunk by chunk (RFC 9112, section 7.1), and `finish` it.
With the claim the ASGI application returns: a task that waits in it would take 6 KB of memory for
each reader that is quiet, which most of them are.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Protocol, cast

import h11
from starlette.types import Scope
from uvicorn._types import HTTPScope

from relay.web.fast.passes import Output
from relay.web.hardened.http import HardenedHttp
from relay.web.hardened.unfinished import cut

EXTENSION = "relay.stream"
"""Where a scope's `extensions` have the stream."""


class StreamUser(Protocol):
    """Whoever claimed a response."""

    def may_write(self) -> None:
        """The socket has taken what was too much for it."""
        ...

    def must_wait(self) -> None:
        """The socket takes no more just now."""
        ...

    def lost(self) -> None:
        """The socket is gone."""
        ...


class Stream(Protocol):
    """The body of a response that has begun."""

    @property
    def is_full(self) -> bool:
        """Whether the socket takes no more just now: then wait for `may_write`."""
        ...

    @property
    def out(self) -> Output:
        """Where what `chunk_of` made is written."""
        ...

    def finish(self, last: bytes) -> None:
        """Write the last bytes, if any, and end the body. The connection stays."""
        ...

    def cut(self) -> None:
        """Close the connection in the middle of the response."""
        ...


class FastHttp(HardenedHttp):
    """See `Stream`."""

    # uvicorn's own are too many for anything but a dictionary in each instance; these are quicker.
    __slots__ = ("_user", "is_full", "out")

    _asked_for_by_nobody: ClassVar = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected."""
        self._user: StreamUser | None = None
        self.is_full = False
        self.out = transport
        super().connection_made(transport)

    def handle_events(self) -> None:
        """Take requests, and offer the application to stream their responses."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and self._is_framed:
            scope = cast("Scope", self.scope)
            scope.setdefault("extensions", {})[EXTENSION] = self

    @property
    def _is_framed(self) -> bool:
        """Whether the body will be in chunks: to an older client it ends with the connection."""
        return self.scope["http_version"] == "1.1" and self.scope["method"] != "HEAD"

    def claim(self, user: StreamUser) -> bool:
        """Let `user` write the body from now on; False where the client is gone already."""
        cycle = self.cycle
        if cycle.disconnected or self.transport.is_closing():
            return False
        self._user = user
        # Else uvicorn takes the application's return for a response that it forgot to complete.
        cycle.response_complete = True
        # Nobody asks for the request any more, nor waits for more of it, and it takes some 3 KB.
        cycle.message_event = self._asked_for_by_nobody
        self.scope = cycle.scope = cast("HTTPScope", {})
        self.headers = []
        if self.is_full:
            user.must_wait()
        return True

    def finish(self, last: bytes) -> None:
        """See `Stream.finish`: what uvicorn does where an application completes its response."""
        self._user = None
        if self.transport.is_closing():
            return
        body = self.conn.send(h11.Data(data=last)) if last else b""
        end = self.conn.send(h11.EndOfMessage())
        self.transport.write((body or b"") + (end or b""))
        if self.conn.our_state is h11.MUST_CLOSE or not self.cycle.keep_alive:
            self.conn.send(h11.ConnectionClosed())
            self.transport.close()
        self.on_response_complete()

    def shutdown(self) -> None:
        """The server ends: a body that is being written may come to its own end."""
        if self._user is None:
            super().shutdown()
        else:
            self.cycle.keep_alive = False

    def cut(self) -> None:
        """See `Stream.cut`."""
        cut(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone."""
        super().connection_lost(exc)
        # The scope is ours, and knows us.
        scope = cast("Scope | None", getattr(self, "scope", None)) or {}
        scope.get("extensions", {}).pop(EXTENSION, None)
        user, self._user = self._user, None
        if user is not None:
            user.lost()

    def pause_writing(self) -> None:
        """The peer reads too slowly."""
        super().pause_writing()
        self.is_full = True
        if self._user is not None:
            self._user.must_wait()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        super().resume_writing()
        self.is_full = False
        if self._user is not None:
            self._user.may_write()


def stream_in(scope: Scope) -> FastHttp | None:
    """Return the stream that a scope offers, None where the server has no fast path."""
    found = (scope.get("extensions") or {}).get(EXTENSION)
    return found if isinstance(found, FastHttp) else None
