"""What uvicorn's HTTP lacks: a deadline and a limit for heads, again for each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import h11
import pytest
import pytest_asyncio

from relay.web.hardened.heads import HEAD_BYTES_MAX
from relay.web.hardened.listener import BEHIND_MS
from tests.unit.web.hardened.peers import END, REQUEST, Stage, TcpSocket
from tests.unit.web.ways import Way


@pytest_asyncio.fixture(params=[Way.FAST, Way.PLAIN])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A connection that is kept behind a first request."""
    stage = Stage(request.param)
    stage.connect()
    stage.say(REQUEST + b"\r\n")
    await stage.answered()
    yield stage
    stage.protocol.connection_lost(ConnectionResetError())


async def test_the_next_request_of_a_kept_connection_has_a_deadline_too(kept: Stage) -> None:
    """From its first byte on; until then uvicorn's own limit for idle connections holds."""
    assert kept.deadline() is None
    kept.say(b"GET")
    deadline = kept.deadline()
    assert deadline is not None
    kept.say(b" / HTTP/1.1\r\n")
    assert kept.deadline() is deadline
    kept.expire()
    assert kept.refusal() == (b"HTTP/1.1 408 Request Timeout", "bad_request")
    assert kept.wire.closed


async def test_a_later_head_in_time_ends_the_deadline(kept: Stage) -> None:
    """The answer may take as long as it likes."""
    kept.say(REQUEST)
    kept.say(b"\r\n")
    assert kept.deadline() is None
    assert (await kept.answered()).startswith(b"HTTP/1.1 204")
    assert not kept.wire.closed


async def test_a_connection_that_is_lost_in_a_later_head_leaves_no_timer(kept: Stage) -> None:
    """It would be told that it is late."""
    kept.say(b"GET")
    deadline = kept.deadline()
    assert deadline is not None
    kept.protocol.connection_lost(ConnectionResetError())
    assert deadline.cancelled()


async def test_a_later_head_that_trickles_in_is_read_line_by_line(
    kept: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte wakes us up; the parser would read all of the head again each time."""
    fed: list[bytes] = []
    feed = h11.Connection.receive_data

    def counted(parser: h11.Connection, data: bytes) -> None:
        fed.append(data)
        feed(parser, data)

    monkeypatch.setattr(h11.Connection, "receive_data", counted)
    slow = b"X-Slow: " + b"s" * 100 + b"\r\n"
    kept.say(REQUEST)
    for byte in slow:
        kept.say(bytes((byte,)))
    assert b"".join(fed) == REQUEST + slow
    assert len(fed) == 2
    for byte in b"\r\n":
        kept.say(bytes((byte,)))
    assert (await kept.answered()).startswith(b"HTTP/1.1 204")


async def test_a_later_line_that_trickles_in_without_an_end_is_refused(kept: Stage) -> None:
    """Where the head is as long as it may be, and not before."""
    kept.say(REQUEST)
    kept.say(b"X-Long: ")
    for _ in range(HEAD_BYTES_MAX - len(REQUEST) - len(b"X-Long: ")):
        kept.say(b"x")
    assert not kept.wire.written
    kept.say(b"x")
    assert kept.refusal()[0].startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("pieces", [1, 1000])
async def test_a_later_head_that_is_too_large_is_refused(kept: Stage, pieces: int) -> None:
    """Whether it comes at once or bit by bit; nothing of it reaches the application."""
    kept.say_in_pieces(REQUEST + b"X-Large: " + b"x" * HEAD_BYTES_MAX + END, pieces)
    while not kept.wire.closed:  # noqa: ASYNC110 - the wire has no event for it
        await asyncio.sleep(0)
    assert kept.refusal() == (
        b"HTTP/1.1 431 Request Header Fields Too Large",
        "limit_reached",
    )
    assert not kept.state.tasks


async def test_a_device_that_is_behind_is_judged_by_us_and_not_by_the_kernel(kept: Stage) -> None:
    """That takes one with a small buffer for dead after 10 s, though it reads all the while."""
    kept.wire.socket = tcp = TcpSocket()
    kept.protocol.pause_writing()
    assert tcp.options == [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, BEHIND_MS)]
    kept.protocol.resume_writing()
