"""What the head of a request may take, and what is said to whom it takes more."""

from __future__ import annotations

from http import HTTPStatus

from relay.web.hardened.heads import (
    HEAD_DEADLINE_S,
    HEAD_DEADLINE_SPREAD,
    answer,
    deadline_s,
    refuse,
    too_large,
    too_late,
)
from tests.unit.web.hardened.peers import Wire


def test_heads_that_began_together_do_not_all_end_in_one_moment() -> None:
    """A thousand at once would delay every stream. None has less time than is promised."""
    times = [deadline_s() for _ in range(100)]
    assert min(times) >= HEAD_DEADLINE_S
    assert max(times) <= HEAD_DEADLINE_S * (1.0 + HEAD_DEADLINE_SPREAD)
    assert max(times) - min(times) > HEAD_DEADLINE_S * HEAD_DEADLINE_SPREAD / 2


def test_a_head_that_took_too_long_is_told_so() -> None:
    """In words and with a code; the connection ends with it."""
    wire = Wire()
    too_late(wire)
    assert wire.written == (
        b"HTTP/1.1 408 Request Timeout\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 85\r\n"
        b"Connection: close\r\n\r\n"
        b'{"error": "the request line and headers took longer than 5 s", "code": "bad_request"}'
    )
    assert wire.closed


def test_a_head_that_is_too_large_is_told_so() -> None:
    """As above."""
    wire = Wire()
    too_large(wire)
    assert wire.written == (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: 85\r\n"
        b"Connection: close\r\n\r\n"
        b'{"error": "the request line and headers exceed 32768 bytes", "code": "limit_reached"}'
    )
    assert wire.closed


def test_each_refusal_has_its_own_words() -> None:
    """They are made once, and not mixed up."""
    bodies = []
    for code, message in (("a", "x"), ("b", "x"), ("a", "y"), ("a", "x")):
        wire = Wire()
        refuse(wire, HTTPStatus.BAD_REQUEST, code, message)
        bodies.append(wire.written.partition(b"\r\n\r\n")[2])
    assert bodies == [
        b'{"error": "x", "code": "a"}',
        b'{"error": "x", "code": "b"}',
        b'{"error": "y", "code": "a"}',
        b'{"error": "x", "code": "a"}',
    ]


def test_an_answer_may_have_one_more_header() -> None:
    """As that of whoever may come back later."""
    wire = Wire()
    answer(wire, HTTPStatus.TOO_MANY_REQUESTS, b"{}", "Retry-After: 5\r\n")
    head, _, body = wire.written.partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"HTTP/1.1 429 Too Many Requests"
    assert b"Retry-After: 5" in head.splitlines()
    assert body == b"{}"


def test_nothing_is_said_on_a_connection_that_is_closing() -> None:
    """It has been answered, or nobody is there."""
    wire = Wire()
    wire.close()
    too_late(wire)
    assert not wire.written
