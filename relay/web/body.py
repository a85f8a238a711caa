"""Reading a request's body within limits."""

from __future__ import annotations

import asyncio

from starlette.types import Receive

from relay.errors import BadRequest, LimitReached

BODY_MAX_BYTES = 1_048_576
"""Real requests have 600 to 700 bytes; an image as a data URL is what needs the room."""

BODY_DEADLINE_S = 10.0
"""The whole body must be here by then. A slow sender would otherwise hold a slot for ever."""


class ClientGone(Exception):
    """The client hung up before its request was complete: there is nobody to answer."""


async def read_body(
    receive: Receive, *, max_bytes: int = BODY_MAX_BYTES, deadline_s: float = BODY_DEADLINE_S
) -> bytes:
    """Return the whole body.

    Raises `LimitReached` above `max_bytes`, `BadRequest` after `deadline_s`, `ClientGone`.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > max_bytes:
                    raise LimitReached(f"the body is larger than {max_bytes} bytes")
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise BadRequest(f"the body took longer than {deadline_s:g} s", field="body") from None
