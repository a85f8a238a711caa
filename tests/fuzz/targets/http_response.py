"""The responses that the SDK reads with a parser of its own, from whoever listens there."""

from __future__ import annotations

from typing import Final

from relay_sdk.http1 import HEAD_BYTES_MAX, MalformedResponse, ResponseParser
from tests.fuzz.pieces import cut, number
from tests.fuzz.target import Target

Read = tuple[object, bytes, bool, bool]


def check(data: bytes) -> None:
    """Where the bytes are cut changes neither head nor body, nor whether they are refused."""
    size = 1 + number(data, 6)
    assert _read(cut(data, size)) == _read([data])


def _read(pieces: list[bytes]) -> Read:
    parser, body = ResponseParser(), b""
    try:
        for piece in pieces:
            body += parser.feed(piece)
            assert parser.head is not None or not body
        parser.feed_eof()
    except MalformedResponse:
        # How much of a broken body was handed on is a matter of the cuts.
        return parser.head, b"", False, True
    assert parser.head is not None
    assert 200 <= parser.head.status < 600
    return parser.head, body, parser.finished, False


def seeds() -> list[bytes]:
    """Every way to say where a body ends."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    return [
        ok + b"Content-Length: 5\r\n\r\nhello",
        ok + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
        ok + b"\r\nuntil the end",
        b"HTTP/1.1 100 Continue\r\n\r\n" + ok + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 401 \r\nRelay-Error: unauthorized\r\n\r\n{}",
        ok + b"A: " + b"a" * HEAD_BYTES_MAX,
    ]


TARGET: Final = Target(check, seeds, long_bytes=0)
