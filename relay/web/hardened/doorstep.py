"""Where a connection waits until its first head is whole. It is a buffer and a deadline there.

A thousand connections that never say a whole request, and come back when they are cut, get no
further. What uvicorn and h11 keep for a connection takes far longer to make and to let go, and all
that time the streams of others wait.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import Final

from uvicorn.server import ServerState

from relay.limits.refusal import Refusal
from relay.web.hardened.config import HardenedConfig
from relay.web.hardened.heads import HEAD_BYTES_MAX, answer, deadline_s, too_large, too_late

TURNED_AWAY_S = 1.0
"""How long a connection that is one too many has to say something, and be answered. Closed before
it did, it would lose the answer with the connection."""

_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
"""h11's own: to it a line feed alone is the end of a line, too."""

_SEARCHED_MAX: Final = HEAD_BYTES_MAX + len(b"\r\n\r\n")
"""Where an end of a head that is not too large can be."""

_REQUEST_BEGINS: Final = 0x21
"""h11 refuses at once what begins with a byte below: a TLS hello, an empty line."""


class Doorstep(asyncio.Protocol):
    """What uvicorn makes for each connection. The configuration says who has it afterwards."""

    __slots__ = (
        *("_app_state", "_config", "_deadline", "_loop", "_refusal", "_said", "_server_state"),
        "_transport",
    )

    def __init__(
        self,
        config: HardenedConfig,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._said = b""
        self._refusal: Refusal | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer has connected: from now on it has so long to say what it wants."""
        self._transport = transport
        # uvicorn only asks them to shut down.
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        door = self._config.door
        # uvicorn asks the socket, an object that uvloop would have to make for it.
        peer: tuple[str, int] | None = transport.get_extra_info("peername")
        if door is not None and peer:
            self._refusal = door.enter(transport, peer[0], self._loop.time())
            if self._refusal is not None:
                if door.crowded:
                    transport.abort()
                else:
                    self._deadline = self._loop.call_later(TURNED_AWAY_S, self._turn_away)
                return
        self._deadline = self._loop.call_later(deadline_s(), too_late, transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The peer is gone, and has asked for nothing."""
        self._leave()
        if self._config.door is not None:
            self._config.door.leave(self._transport)

    def data_received(self, data: bytes) -> None:
        """Keep it, and look for the end of the head only where that may be."""
        if self._refusal is not None:
            self._turn_away()
            return
        unsearched = max(0, len(self._said) - 2)
        said = self._said = self._said + data
        if said[0] < _REQUEST_BEGINS or (
            b"\n" in data and _END_OF_HEAD.search(said, unsearched, _SEARCHED_MAX)
        ):
            self._hand_over()
        elif len(said) > HEAD_BYTES_MAX:
            too_large(self._transport)

    def shutdown(self) -> None:
        """The server ends."""
        self._transport.close()

    def _hand_over(self) -> None:
        """Let HTTP have the connection, and all that was said on it. It leaves the door then."""
        self._leave()
        http = self._config.indoors(
            config=self._config,
            server_state=self._server_state,
            app_state=self._app_state,
            _loop=self._loop,
        )
        self._transport.set_protocol(http)
        http.connection_made(self._transport)
        http.data_received(self._said)

    def _leave(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._server_state.connections.discard(self)

    def _turn_away(self) -> None:
        assert self._refusal is not None
        refused = self._config.turn_away(self._refusal)
        retry = f"Retry-After: {refused.headers['Retry-After']}\r\n"
        answer(self._transport, HTTPStatus(refused.status_code), bytes(refused.body), retry)
