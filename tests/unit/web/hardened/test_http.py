"""What uvicorn's HTTP lacks: a deadline and a limit for heads, and a door."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import h11
import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from relay.limits import door as door_module
from relay.limits.allowance import Allowance
from relay.limits.door import Door
from relay.web.hardened import http as http_module
from relay.web.hardened.heads import HEAD_BYTES_MAX, HEAD_DEADLINE_S, HEAD_DEADLINE_SPREAD
from relay.web.hardened.http import HardenedHttp
from relay.web.hardened.listener import BEHIND_MS
from tests.unit.web.hardened.peers import (
    BOTH_WAYS,
    END,
    REQUEST,
    TIMEOUT_S,
    UPGRADE,
    TcpSocket,
    Wire,
    patient,
)
from tests.unit.web.ways import Way


class Stage:
    """A protocol on a wire, and the timers that it set."""

    def __init__(self, way: Way) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        config = way.config(app)
        self.loop = asyncio.get_running_loop()
        self.state = ServerState()
        make: Callable[..., asyncio.Protocol] = config.http_protocol_class
        protocol = make(config, self.state, {}, self.loop)
        assert isinstance(protocol, HardenedHttp)
        self.protocol = protocol
        self.wire = Wire()

    def connect(self) -> None:
        self.protocol.connection_made(self.wire)

    def say(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def deadline(self) -> asyncio.TimerHandle | None:
        """The timer of the head that is awaited; None where none is."""
        return self.protocol._deadline  # noqa: SLF001 - else the test would wait for it

    def expire(self) -> None:
        """Let the deadline pass."""
        deadline = self.deadline()
        assert deadline is not None
        last = HEAD_DEADLINE_S * (1.0 + HEAD_DEADLINE_SPREAD)
        assert deadline.when() <= self.loop.time() + last
        deadline._run()  # noqa: SLF001 - as above
        deadline.cancel()

    async def answered(self) -> None:
        """Wait until the application has answered."""
        while self.state.tasks or self.protocol._portions.waiting:  # noqa: ASYNC110, SLF001
            await asyncio.sleep(0)

    def refusal(self) -> tuple[bytes, str]:
        """The status line, and the code of the typed error."""
        head, _, body = self.wire.written.partition(END)
        return head.splitlines()[0], json.loads(body)["code"]


@pytest.fixture(params=[Way.FAST, Way.PLAIN])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A peer that has connected."""
    stage = Stage(request.param)
    stage.connect()
    yield stage
    stage.protocol.connection_lost(ConnectionResetError())


async def test_a_connection_that_says_nothing_is_closed_with_a_word(stage: Stage) -> None:
    """Slowloris: the deadline runs from the connection on, and a dribble does not move it."""
    deadline = stage.deadline()
    assert deadline is not None
    stage.say(REQUEST)
    stage.say(b"X-Slow: 1\r\n")
    assert stage.deadline() is deadline
    stage.expire()
    assert stage.refusal() == (b"HTTP/1.1 408 Request Timeout", "bad_request")
    assert stage.wire.closed


async def test_a_head_that_trickles_in_is_read_line_by_line(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte wakes us up; the parser would read all of the head again each time."""
    fed: list[bytes] = []
    feed = h11.Connection.receive_data

    def counted(parser: h11.Connection, data: bytes) -> None:
        fed.append(data)
        feed(parser, data)

    monkeypatch.setattr(h11.Connection, "receive_data", counted)
    slow = b"X-Slow: " + b"s" * 100 + b"\r\n"
    stage.say(REQUEST)
    for byte in slow:
        stage.say(bytes((byte,)))
    assert b"".join(fed) == REQUEST + slow
    assert len(fed) == 2
    for byte in b"\r\n":
        stage.say(bytes((byte,)))
    await stage.answered()
    assert stage.wire.written.startswith(b"HTTP/1.1 204")


async def test_a_line_that_trickles_in_without_an_end_is_refused(stage: Stage) -> None:
    """Where the head is as long as it may be, and not before."""
    stage.say(REQUEST)
    stage.say(b"X-Long: ")
    for _ in range(HEAD_BYTES_MAX - len(REQUEST) - len(b"X-Long: ")):
        stage.say(b"x")
    assert not stage.wire.written
    stage.say(b"x")
    assert stage.refusal()[0].startswith(b"HTTP/1.1 431")


async def test_a_head_in_time_ends_the_deadline(stage: Stage) -> None:
    """The answer may take as long as it likes."""
    stage.say(REQUEST + b"\r\n")
    assert stage.deadline() is None
    await stage.answered()
    assert stage.wire.written.startswith(b"HTTP/1.1 204")
    assert not stage.wire.closed


async def test_the_next_request_of_a_kept_connection_has_a_deadline_too(stage: Stage) -> None:
    """From its first byte on; until then uvicorn's own limit for idle connections holds."""
    stage.say(REQUEST + b"\r\n")
    await stage.answered()
    assert stage.deadline() is None
    stage.say(b"GET")
    assert stage.deadline() is not None
    stage.expire()
    assert stage.wire.closed


@pytest.mark.parametrize("pieces", [1, 1000])
async def test_a_head_that_is_too_large_is_refused(stage: Stage, pieces: int) -> None:
    """Whether it comes at once or bit by bit; nothing of it reaches the application."""
    head = REQUEST + b"X-Large: " + b"x" * HEAD_BYTES_MAX + END
    size = len(head) // pieces + 1
    for start in range(0, len(head), size):
        if not stage.wire.closed:
            stage.say(head[start : start + size])
    await stage.answered()
    assert stage.refusal() == (
        b"HTTP/1.1 431 Request Header Fields Too Large",
        "limit_reached",
    )
    assert stage.wire.closed
    assert not stage.state.tasks


async def test_a_large_head_within_the_limit_is_served(stage: Stage) -> None:
    """The limit is about the head; a body behind it in the same packet is not counted."""
    head = REQUEST + b"Content-Length: 40000\r\nX-Large: "
    head += b"x" * (HEAD_BYTES_MAX - len(head)) + END
    stage.say(head + b"b" * 40_000)
    await stage.answered()
    assert stage.wire.written.startswith(b"HTTP/1.1 204")


async def test_a_device_that_is_behind_is_judged_by_us_and_not_by_the_kernel(stage: Stage) -> None:
    """That takes one with a small buffer for dead after 10 s, though it reads all the while."""
    stage.wire.socket = tcp = TcpSocket()
    stage.protocol.pause_writing()
    assert tcp.options == [(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, BEHIND_MS)]
    stage.protocol.resume_writing()


# --- the door -------------------------------------------------------------------------------


async def say(port: int, data: bytes = REQUEST + b"\r\n") -> bytes:
    """Connect, say this, and return all that is answered until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answered = await reader.read()
    writer.close()
    return answered


@BOTH_WAYS
@pytest.mark.parametrize("first", [b"", b"GET", UPGRADE], ids=["silent", "slow", "a WebSocket"])
async def test_one_connection_too_many_is_told_so_until_another_leaves(
    first: bytes, way: Way
) -> None:
    """Whatever the first one is: its place is free again once it is gone."""
    door = Door(Allowance(connections_per_address=1))
    async with way.serve(patient(way), door) as port, asyncio.timeout(TIMEOUT_S):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        while len(door) < 1:  # noqa: ASYNC110 - a socket has no event for it
            await asyncio.sleep(0.001)
        head, _, body = (await say(port)).partition(END)
        assert head.splitlines()[0] == b"HTTP/1.1 429 Too Many Requests"
        assert b"Retry-After: 5" in head.splitlines()
        assert json.loads(body) == {
            "error": "your address has as many connections as it may; try again in 5 s",
            "code": "rate_limited",
            "limit": "connections_per_address",
        }
        assert (await say(port, UPGRADE)).startswith(b"HTTP/1.1 429 ")
        writer.transport.abort()
        while len(door):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        assert (await say(port, REQUEST + b"Connection: close" + END)).startswith(b"HTTP/1.1 204")


@BOTH_WAYS
async def test_who_is_turned_away_is_told_so_even_if_it_says_nothing(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second; a connection that is merely cut tells nobody why."""
    monkeypatch.setattr(http_module, "TURNED_AWAY_S", 0.1)
    door = Door(Allowance(connections_per_address=1))
    async with way.serve(patient(way), door) as port, asyncio.timeout(TIMEOUT_S):
        _, first = await asyncio.open_connection("127.0.0.1", port)
        assert (await say(port, b"")).startswith(b"HTTP/1.1 429 ")
        first.close()


@BOTH_WAYS
async def test_a_crowd_that_is_turned_away_is_cut_without_a_word(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even to be refused takes a descriptor: of those there are so many and no more."""
    monkeypatch.setattr(door_module, "SPARE", 2)
    monkeypatch.setattr(http_module, "TURNED_AWAY_S", 0.1)
    door = Door(Allowance(connections_per_address=1))
    async with way.serve(patient(way), door) as port, asyncio.timeout(TIMEOUT_S):
        open_ = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        reader, writer = open_[3]
        writer.write(REQUEST)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        assert [await reader.read() != b"" for reader, _ in open_[1:3]] == [True, True]
        for _, writer in open_:
            writer.close()
