"""`GET /healthz/stream`: a stream of a second's fraction, for whoever wants to time its pieces.

A proxy that buffers makes a streamed answer arrive in one lump, and nothing in its bytes shows
that. This is a device stream's twin: the same headers, pieces at known times, and no key.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from relay.web.sse import SSE_HEADERS
from relay.wire import sse

PATH: Final = "/healthz/stream"
PIECES: Final = 5
PAUSE_S: Final = 0.1

AT_ONCE_MAX: Final = 8
"""It asks for no key, so it must not be a way to hold many sockets."""

Pause = Callable[[float], Awaitable[None]]


def probe_route(pause: Pause = asyncio.sleep) -> Route:
    """Return the route. `pause` is what passes between two pieces."""
    running = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal running
        running += 1
        try:
            for number in range(1, PIECES + 1):
                yield sse.comment(f"piece {number} of {PIECES}")
                if number < PIECES:
                    await pause(PAUSE_S)
        finally:
            running -= 1

    async def probe(_request: Request) -> Response:
        if running >= AT_ONCE_MAX:
            body = {"status": "busy"}
            return JSONResponse(body, status_code=503, headers={"Retry-After": "1"})
        return StreamingResponse(pieces(), media_type="text/event-stream", headers=SSE_HEADERS)

    return Route(PATH, probe)
