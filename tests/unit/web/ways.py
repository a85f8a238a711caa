"""The ways from a socket to an application: each has to be as hard as the others.

The third is what the fast path does with a socket that nobody claims: the same class, and ASGI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import StrEnum

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from relay.limits.door import Door
from relay.server import server_config
from relay.web.fast.http import FastHttp, stream_in
from relay.web.fast.websocket import FastWebSocket, socket_in
from tests.unit.web.fakes import running

Hear = Callable[[Sequence[str]], None]
"""Takes the texts that came together."""


class Way(StrEnum):
    """How an application is given what comes from a socket."""

    FAST = "fast"
    PLAIN = "plain"
    UNCLAIMED = "unclaimed"

    @property
    def is_fast(self) -> bool:
        """Whether the sockets are those of the fast path."""
        return self is not Way.PLAIN

    def config(self, app: ASGIApp) -> uvicorn.Config:
        """Return how the relay has uvicorn run this application."""
        config = server_config(app, fast=self.is_fast)
        config.load()
        return config

    def serve(self, app: ASGIApp, door: Door | None = None) -> AbstractAsyncContextManager[int]:
        """Serve this application on a free port, which is yielded."""
        return running(app, fast=self.is_fast, door=door)

    async def listen_to(
        self, scope: Scope, receive: Receive, send: Send, hear: Hear = lambda _: None
    ) -> None:
        """Accept a WebSocket and hear its texts until it is gone."""
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        socket = socket_in(scope)
        assert (socket is not None) is self.is_fast
        if socket is not None and self is Way.FAST:
            await _Listener(socket, hear).gone
            return
        while (message := await receive())["type"] != "websocket.disconnect":
            if "text" in message:
                hear([message["text"]])

    async def answer_until_lost(self, scope: Scope, receive: Receive) -> None:
        """Have the response that has begun until the device is gone."""
        stream = stream_in(scope)
        assert (stream is not None) is self.is_fast
        if stream is not None:
            await _Answerer(stream).gone
            return
        while (await receive())["type"] != "http.disconnect":
            pass


class _User:
    """Whoever claimed a socket or a response. `gone` is done once that is."""

    def __init__(self) -> None:
        self.gone = asyncio.get_running_loop().create_future()

    def may_write(self) -> None:
        """There is room again."""

    def must_wait(self) -> None:
        """There is no room."""

    def lost(self) -> None:
        """There is nobody."""
        if not self.gone.done():
            self.gone.set_result(None)


class _Answerer(_User):
    """A `StreamUser`."""

    def __init__(self, stream: FastHttp) -> None:
        super().__init__()
        assert stream.claim(self)


class _Listener(_User):
    """A `SocketUser`."""

    def __init__(self, socket: FastWebSocket, hear: Hear) -> None:
        super().__init__()
        self._hear = hear
        socket.claim(self)

    def received(self, messages: Sequence[str], size: int) -> None:
        """See `SocketUser`."""
        self._hear(messages)

    def received_binary(self, size: int) -> None:
        """See `SocketUser`."""
