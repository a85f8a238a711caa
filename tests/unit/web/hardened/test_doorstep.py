"""Until its first head is whole, a connection is a buffer and a deadline; it is counted before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import cast

import h11
import pytest
import pytest_asyncio
from hypothesis import example, given
from hypothesis import strategies as st
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from relay.limits import door as door_module
from relay.limits.allowance import Allowance
from relay.limits.door import Door
from relay.web.hardened import doorstep as doorstep_module
from relay.web.hardened.config import HardenedConfig
from relay.web.hardened.doorstep import Doorstep
from relay.web.hardened.heads import HEAD_BYTES_MAX
from tests.unit.web.hardened.peers import (
    BOTH_WAYS,
    END,
    REQUEST,
    TIMEOUT_S,
    UPGRADE,
    Stage,
    Wire,
    patient,
)
from tests.unit.web.ways import Way


@pytest_asyncio.fixture(params=[Way.FAST, Way.PLAIN])
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


async def test_half_a_head_costs_no_more_than_itself(stage: Stage) -> None:
    """Nothing of HTTP is made for it, and what waits has room for what it knows, and no more."""
    stage.say(REQUEST)
    assert stage.is_at_the_door
    assert not hasattr(stage.protocol, "__dict__")
    stage.say(b"\r\n")
    assert not stage.is_at_the_door


@pytest.mark.parametrize("pieces", [1, 10, 1000])
async def test_a_head_in_time_ends_the_deadline(stage: Stage, pieces: int) -> None:
    """The answer may take as long as it likes."""
    deadline = stage.deadline()
    assert deadline is not None
    stage.say_in_pieces(REQUEST + b"\r\n", pieces)
    assert deadline.cancelled()
    assert stage.deadline() is None
    assert (await stage.answered()).startswith(b"HTTP/1.1 204")
    assert not stage.wire.closed


class Indoors(asyncio.Protocol):
    """Notes what it is handed."""

    def __init__(self, **_: object) -> None:
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data


def is_waited_for_by_h11(said: bytes) -> bool:
    """Whether h11 would want more of this before it said anything."""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(said)
    try:
        return parser.next_event() is h11.NEED_DATA
    except h11.RemoteProtocolError:
        return False


LINES = (b"GET / HTTP/1.1", b"Host: a", b"a", b" ", b"\x16", b"\x80", b":")
PIECES = st.sampled_from([*LINES, b"\r", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"])


@example([b"!"], 1)
@example([b" "], 1)
@given(st.lists(PIECES, min_size=1, max_size=8), st.integers(1, 5))
def test_a_connection_is_handed_over_exactly_when_h11_has_something_to_say(
    pieces: list[bytes], size: int
) -> None:
    """Whatever ends a line, and however it comes; and then nothing of it is missing."""
    config = Way.PLAIN.config(patient(Way.PLAIN))
    assert isinstance(config, HardenedConfig)
    config.indoors = cast("type[H11Protocol]", Indoors)
    loop, wire = asyncio.new_event_loop(), Wire()
    doorstep = Doorstep(config, ServerState(), {}, loop)
    wire.set_protocol(doorstep)
    doorstep.connection_made(wire)
    said = b"".join(pieces)
    for end in range(size, len(said) + size, size):
        doorstep.data_received(said[end - size : end])
        if is_waited_for_by_h11(said[:end]):
            assert wire.protocol is doorstep
            continue
        assert isinstance(wire.protocol, Indoors)
        assert wire.protocol.heard == said[:end]
        break
    else:
        doorstep.connection_lost(None)
    loop.close()


@pytest.mark.parametrize("end", [END, b"\n\n", b"\n\r\n", b"\r\n\n"])
@pytest.mark.parametrize("pieces", [1, 1000])
async def test_a_head_may_end_as_h11_lets_it(stage: Stage, end: bytes, pieces: int) -> None:
    """A line feed is enough (RFC 9112, 2.2)."""
    stage.say_in_pieces(REQUEST.rstrip() + end, pieces)
    assert (await stage.answered()).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize("first", [b"\x16\x03\x01", b"\r\n", b"\n", b" GET", bytes(300)])
async def test_what_is_no_request_is_refused_at_once(stage: Stage, first: bytes) -> None:
    """A TLS client would wait until the deadline to be told, and say nothing more."""
    stage.say(first)
    assert stage.wire.written.startswith(b"HTTP/1.1 400 ")
    assert stage.wire.closed


@pytest.mark.parametrize("pieces", [1, 1000])
async def test_a_head_that_is_too_large_is_refused(stage: Stage, pieces: int) -> None:
    """Whether it comes at once or bit by bit; nobody even looks for its end."""
    stage.say_in_pieces(REQUEST + b"X-Large: " + b"x" * HEAD_BYTES_MAX + END, pieces)
    assert stage.refusal() == (
        b"HTTP/1.1 431 Request Header Fields Too Large",
        "limit_reached",
    )
    assert stage.wire.closed
    assert stage.is_at_the_door


async def test_a_head_that_has_no_end_is_refused_where_it_is_too_large(stage: Stage) -> None:
    """Not before."""
    stage.say(REQUEST + b"X: " + b"x" * (HEAD_BYTES_MAX - len(REQUEST) - len(b"X: ")))
    assert not stage.wire.written
    stage.say(b"x")
    assert stage.refusal()[0].startswith(b"HTTP/1.1 431")


async def test_a_large_head_within_the_limit_is_served(stage: Stage) -> None:
    """The limit is about the head; a body behind it in the same packet is not counted."""
    head = REQUEST + b"Content-Length: 40000\r\nX-Large: "
    head += b"x" * (HEAD_BYTES_MAX - len(head)) + END
    stage.say(head + b"b" * 40_000)
    assert (await stage.answered()).startswith(b"HTTP/1.1 204")


async def test_a_second_request_with_the_first_is_served_too(stage: Stage) -> None:
    """What is behind the head is handed over with it."""
    stage.say((REQUEST + b"\r\n") * 2)
    answers = await stage.answered()
    while answers.count(b"HTTP/1.1 204") < 2:
        answers += await stage.answered()
        await asyncio.sleep(0)
    assert not stage.wire.closed


async def test_the_server_ends_a_connection_that_has_not_said_what_it_wants(stage: Stage) -> None:
    """Uvicorn asks each to shut down when it ends, and waits until they have."""
    stage.say(REQUEST)
    for connection in stage.state.connections:
        connection.shutdown()
    assert stage.wire.closed
    stage.protocol.connection_lost(None)
    assert not stage.state.connections


async def test_the_server_knows_who_has_a_connection_and_nobody_else(stage: Stage) -> None:
    """Else it would wait for who has not."""
    connections: set[object] = set(stage.state.connections)
    assert connections == {stage.protocol}
    stage.say(REQUEST + b"\r\n")
    assert not stage.is_at_the_door
    connections = set(stage.state.connections)
    assert connections == {stage.protocol}


async def test_a_connection_that_is_lost_at_the_door_leaves_nothing(stage: Stage) -> None:
    """No timer, and nobody for the server to end."""
    deadline = stage.deadline()
    assert deadline is not None
    stage.protocol.connection_lost(None)
    assert deadline.cancelled()
    assert not stage.state.connections


@BOTH_WAYS
async def test_who_says_no_more_in_the_middle_of_a_head_is_let_go(way: Way) -> None:
    """There is nobody to serve, and nothing to say to it."""
    async with way.serve(patient(way)) as port, asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


# --- the door -------------------------------------------------------------------------------


async def say(port: int, data: bytes = REQUEST + b"\r\n") -> bytes:
    """Connect, say this, and return all that is answered until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answered = await reader.read()
    writer.close()
    return answered


@BOTH_WAYS
@pytest.mark.parametrize(
    "first",
    [b"", b"GET", REQUEST + b"\r\n", UPGRADE],
    ids=["silent", "slow", "a request", "a WebSocket"],
)
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
    monkeypatch.setattr(doorstep_module, "TURNED_AWAY_S", 0.1)
    door = Door(Allowance(connections_per_address=1))
    async with way.serve(patient(way), door) as port, asyncio.timeout(TIMEOUT_S):
        _, first = await asyncio.open_connection("127.0.0.1", port)
        assert (await say(port, b"")).startswith(b"HTTP/1.1 429 ")
        first.close()


@BOTH_WAYS
async def test_who_is_turned_away_has_that_deadline_and_no_other(way: Way) -> None:
    """Nothing else is awaited of it, and nothing is left when it leaves before."""
    door = Door(Allowance(connections_per_address=1))
    stages = [Stage(way, door), Stage(way, door)]
    for stage in stages:
        stage.wire.peer = ("192.0.2.1", 4711)
        stage.connect()
    deadline = stages[1].deadline()
    assert deadline is not None
    assert deadline.when() <= stages[1].loop.time() + doorstep_module.TURNED_AWAY_S
    for stage in stages:
        stage.protocol.connection_lost(None)
    assert deadline.cancelled()
    assert not len(door)


@BOTH_WAYS
async def test_a_crowd_that_is_turned_away_is_cut_without_a_word(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even to be refused takes a descriptor: of those there are so many and no more."""
    monkeypatch.setattr(door_module, "SPARE", 2)
    monkeypatch.setattr(doorstep_module, "TURNED_AWAY_S", 0.1)
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
