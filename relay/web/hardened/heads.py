"""What the head of a request may take, and what a peer hears that no request was heard from."""

from __future__ import annotations

import asyncio
import json
from functools import cache
from http import HTTPStatus
from random import random

from relay.errors import BadRequest, LimitReached

HEAD_BYTES_MAX = 32_768
"""A request line and its headers. Ours have some 500 bytes, those behind proxies some 4,000."""

HEAD_DEADLINE_S = 5.0
"""How long they may take to arrive."""

HEAD_DEADLINE_SPREAD = 0.2
"""And at most by how much longer."""


def deadline_s() -> float:
    """How long one head has: connections that came together are not all cut in the same moment."""
    return HEAD_DEADLINE_S * (1.0 + HEAD_DEADLINE_SPREAD * random())  # noqa: S311 - no secret


def too_late(transport: asyncio.Transport) -> None:
    """Refuse a head that has not arrived in time."""
    message = f"the request line and headers took longer than {HEAD_DEADLINE_S:g} s"
    refuse(transport, HTTPStatus.REQUEST_TIMEOUT, BadRequest.code, message)


def too_large(transport: asyncio.Transport) -> None:
    """Refuse a head of too many bytes."""
    message = f"the request line and headers exceed {HEAD_BYTES_MAX} bytes"
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    refuse(transport, status, LimitReached.code, message)


def refuse(transport: asyncio.Transport, status: HTTPStatus, code: str, message: str) -> None:
    """Answer with a typed error, and close."""
    answer(transport, status, _error(code, message))


def answer(transport: asyncio.Transport, status: HTTPStatus, body: bytes, more: str = "") -> None:
    """Write a response, and close. h11 has no request that this would be the response to."""
    if transport.is_closing():
        return
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{more}Connection: close\r\n\r\n"
    )
    transport.write(head.encode() + body)
    transport.close()


@cache
def _error(code: str, message: str) -> bytes:
    """Return the same few again and again: whoever is refused often comes with a thousand more."""
    return json.dumps({"error": message, "code": code}).encode()
