"""Responses that their application left unfinished, as where a device was let go: they are cut."""

from __future__ import annotations

from typing import Final

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

CUT_S: Final = 0.5
"""How long a response that is cut may take with what was written already."""


def cutting(app: ASGI3Application, protocol: H11Protocol) -> ASGI3Application:
    """Return an application whose unfinished responses end their connection, and are no error.

    uvicorn alone logs an error for each, as often as somebody stops to read, and keeps a connection
    that takes nothing with all that was written to it.
    """

    async def cutting_app(
        scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        await app(scope, receive, send)
        cycle = protocol.cycle
        if not cycle.response_started or cycle.response_complete or cycle.disconnected:
            return
        cycle.disconnected = True
        cut(protocol)

    return cutting_app


def cut(protocol: H11Protocol) -> None:
    """Close a connection in the middle of a response."""
    if protocol.flow.write_paused:
        # What it does not read would keep the connection, and its memory, for long.
        protocol.transport.abort()
    else:
        protocol.transport.close()
        protocol.loop.call_later(CUT_S, protocol.transport.abort)
